//! A state directory, looked at and tampered with from outside.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coreflake_engine::record::{RECORD_SIZE, Record};
use coreflake_protocol::ErrorCode;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::common::frames::generate;
use crate::common::{Finished, Peer, Scratch, Server, coreflake, feed, until};
use crate::ledger::unix_ms;

/// Bytes of one copy: a record, what binds it to its file, and a CRC-32 over both.
pub(crate) const BLOCK_SIZE: usize = 216;

/// Where the two copies begin.
pub(crate) const COPIES: [u64; 2] = [0, 4_096];

/// One copy, whole or not.
pub(crate) type Block = [u8; BLOCK_SIZE];

/// A state directory that goes away with the value.
pub(crate) struct State {
    directory: PathBuf,
    /// Takes everything with it when it goes.
    _scratch: Scratch,
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec).unwrap() * 1_000 + u64::try_from(time.tv_nsec).unwrap() / 1_000_000
}

impl State {
    /// `name` is that of the test.
    pub(crate) fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("durability-{name}"));
        let directory = scratch.path().join("state");
        Self { directory, _scratch: scratch }
    }

    /// The same in a directory of a file system that was mounted for the test.
    pub(crate) fn inside(name: &str, directory: &Path) -> Self {
        let scratch = Scratch::new(&format!("durability-{name}"));
        Self { directory: directory.to_owned(), _scratch: scratch }
    }

    pub(crate) fn path(&self) -> &str {
        self.directory.to_str().unwrap()
    }

    /// The record of slot 0.
    pub(crate) fn record_path(&self) -> PathBuf {
        self.directory.join("slot-0000.record")
    }

    /// What says that slot 0 had a record.
    pub(crate) fn mark_path(&self) -> PathBuf {
        self.directory.join("slot-0000.made")
    }

    /// A server of slot 0 on this directory.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str]) -> Server {
        Server::start(&[&["--state-dir", self.path()], args].concat())
    }

    /// Starts a server that has to end by itself, with the code for a configuration that makes no
    /// sense, and to say these words.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], words: &[&str]) {
        let args = [&["--state-dir", self.path()], args].concat();
        let finished = feed(&mut Server::command(&args), b"");
        finished.assert_code(78).assert_says(words);
        assert_eq!(finished.stdout, "", "it is not ready");
    }

    /// Starts a server and checks that its first IDs are above `floor_ms`, then stops it.
    #[track_caller]
    pub(crate) fn serves_above(&self, floor_ms: u64, args: &[&str]) -> Vec<String> {
        let server = self.start(args);
        let id = first_id(&server);
        assert!(unix_ms(id) > floor_ms, "{id} is of {}, not above {floor_ms}", unix_ms(id));
        server.signal(Signal::TERM);
        let ended = server.wait();
        ended.assert_clean();
        ended.log
    }

    /// Runs `coreflake slots COMMAND` for slot 0.
    pub(crate) fn slots(&self, command: &str, args: &[&str]) -> Finished {
        let mut process = coreflake();
        process.args(["slots", command, "--state-dir", self.path()]);
        if command != "list" {
            process.args(["--datacenter-id", "0", "--worker-id", "0"]);
        }
        feed(process.args(args), b"")
    }

    /// Starts a server, so that there is a record, and stops it.
    #[track_caller]
    pub(crate) fn with_record(self) -> Self {
        self.start(&["--window-ms", "300"]).stop();
        self
    }

    pub(crate) fn block(&self, copy: usize) -> Block {
        let mut block = [0; BLOCK_SIZE];
        File::open(self.record_path()).unwrap().read_exact_at(&mut block, COPIES[copy]).unwrap();
        block
    }

    /// Writes into the file as it is: it stays the same file.
    pub(crate) fn put(&self, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.record_path()).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    pub(crate) fn put_block(&self, copy: usize, block: &Block) {
        self.put(COPIES[copy], block);
    }

    /// The records of the copies that are good.
    pub(crate) fn records(&self) -> Vec<Record> {
        (0..COPIES.len()).filter_map(|copy| decode(&self.block(copy))).collect()
    }

    /// The record that counts.
    #[track_caller]
    pub(crate) fn record(&self) -> Record {
        let records = self.records().into_iter();
        records.max_by_key(|record| record.bound_ms).expect("a good copy")
    }

    /// Up to where ticks are taken, as it is durable.
    #[track_caller]
    pub(crate) fn bound_ms(&self) -> u64 {
        self.record().bound_ms
    }

    /// Changes the record in both copies, with checksums that match.
    pub(crate) fn craft(&self, change: impl Fn(&mut Record)) {
        for copy in 0..COPIES.len() {
            let block = self.block(copy);
            let mut record = decode(&block).expect("a good copy");
            change(&mut record);
            self.put_block(copy, &encode(&record, &block));
        }
    }

    /// Copies the whole directory elsewhere, as an administrator would.
    pub(crate) fn copy(&self, name: &str) -> Self {
        let copy = Self::new(name);
        let status = Command::new("cp").args(["-a", self.path(), copy.path()]).status().unwrap();
        assert!(status.success());
        copy
    }

    /// Removes the record.
    pub(crate) fn lose_record(&self) {
        fs::remove_file(self.record_path()).unwrap();
    }
}

/// The first ID that a server gives. Of a short window nothing may be left for a moment, when the
/// machine had other things to do.
#[track_caller]
pub(crate) fn first_id(server: &Server) -> u64 {
    let mut peer = Peer::connect(server.tcp);
    until("an ID", || {
        let reply = peer.ask(&generate(1, 1));
        if reply.error().is_some() {
            reply.assert_error(ErrorCode::WindowExhausted, 1);
            return None;
        }
        Some(reply.runs()[0].first().get())
    })
}

/// Asks for an ID where a server may listen that has none to give: whoever answers is starting.
#[track_caller]
pub(crate) fn ask_in_vain(server: SocketAddr) -> Option<Peer> {
    let mut peer = Peer::over(TcpStream::connect(server).ok()?);
    peer.stream().write_all(&generate(1, 1)).ok()?;
    peer.try_reply()?.assert_error(ErrorCode::Starting, 1);
    Some(peer)
}

/// A block with this record, bound to the file that `block` is bound to.
pub(crate) fn encode(record: &Record, block: &Block) -> Block {
    let mut block = *block;
    block[..RECORD_SIZE].copy_from_slice(&record.encode());
    seal(&mut block);
    block
}

/// Makes the outer checksum match.
pub(crate) fn seal(block: &mut Block) {
    let checksum = crc32fast::hash(&block[..BLOCK_SIZE - 4]);
    block[BLOCK_SIZE - 4..].copy_from_slice(&checksum.to_be_bytes());
}

/// The record of a copy, if both of its checksums match.
fn decode(block: &Block) -> Option<Record> {
    let (checked, checksum) = block.split_at(BLOCK_SIZE - 4);
    let good = crc32fast::hash(checked).to_be_bytes() == checksum;
    Record::decode(&checked[..RECORD_SIZE]).ok().filter(|_| good)
}
