//! The end of a server whose store is of no use any more.

use std::net::TcpStream;

use coreflake_protocol::ErrorCode;

use crate::common::frames::generate;
use crate::common::{Peer, Server, until};
use crate::ledger::Taken;

/// Takes IDs until the end of the window, and waits for the end of the server, which has to come by
/// itself. Gives what was said.
#[track_caller]
pub(crate) fn use_up(server: Server, taken: &mut Taken) -> String {
    // On a machine with other things to do the end may have come.
    let mut peer = TcpStream::connect(server.tcp).ok().map(Peer::over);
    // Between the end of the window and that of the server there may be refusals.
    until("the end of the server", || {
        let Some(peer) = &mut peer else { return Some(()) };
        peer.send(&generate(7, 100));
        let reply = peer.try_reply();
        match reply.as_ref().map(|reply| reply.error().and_then(|error| error.known_code())) {
            None | Some(Some(ErrorCode::Draining)) => return Some(()),
            Some(Some(code)) => assert_eq!(code, ErrorCode::WindowExhausted),
            Some(None) => reply.unwrap().runs().into_iter().for_each(|run| taken.push(run)),
        }
        None
    });
    let ended = server.wait();
    ended.assert_no_panic();
    assert_eq!(ended.status.code(), Some(69), "{ended:#?}");
    ended.log.join("\n")
}
