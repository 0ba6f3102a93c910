//! A server that does what the test says, over UDP.

use std::net::SocketAddr;
use std::time::Duration;

use coreflake_client::{Client, ClientBuilder};
use tokio::net::UdpSocket;

use crate::peer::{Asked, cut, generated, within};

pub(crate) struct UdpPeer {
    socket: UdpSocket,
}

/// One datagram of the client.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) nonce: u64,
    pub(crate) asked: Asked,
    pub(crate) size: usize,
    pub(crate) from: SocketAddr,
}

impl UdpPeer {
    pub(crate) async fn bind() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("udp://{}", self.socket.local_addr().unwrap())
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let builder = Client::builder().endpoint(self.endpoint());
        builder.call_timeout(Duration::from_secs(20))
    }

    /// A client that sends again soon.
    pub(crate) fn client(&self) -> Client {
        self.builder().retry_interval(Duration::from_millis(20)).build().unwrap()
    }

    /// A client that never sends twice while a test runs.
    pub(crate) fn patient_client(&self) -> Client {
        self.builder().retry_interval(Duration::from_secs(60)).build().unwrap()
    }

    pub(crate) async fn receive(&self) -> Datagram {
        let mut bytes = [0; 2048];
        let (size, from) = within(self.socket.recv_from(&mut bytes)).await.unwrap();
        let ((nonce, asked), consumed) = cut(&bytes[..size]).unwrap();
        assert!(bytes[consumed..size].iter().all(|byte| *byte == 0), "padding is zeros");
        assert!(size <= 1200);
        Datagram { nonce, asked, size, from }
    }

    pub(crate) async fn send(&self, bytes: &[u8], to: &Datagram) {
        within(self.socket.send_to(bytes, to.from)).await.unwrap();
    }

    /// Answers `to` with runs, under any nonce.
    pub(crate) async fn ids(&self, to: &Datagram, nonce: u64, runs: &[(u64, u32)]) {
        let reply = generated(nonce, runs);
        assert!(reply.len() <= to.size, "a reply is never longer than its request");
        self.send(&reply, to).await;
    }
}
