//! Every byte of a record damaged in turn, and every way a write can tear: the floor never sinks.

use core::time::Duration;
use std::process::Command;

use fastrand::Rng;

use crate::common::{feed, pause};
use crate::seed;
use crate::state::{BLOCK_SIZE, Block, COPIES, State, encode};

/// Which copies are damaged.
const DAMAGES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

const SERVERS: usize = 20;

/// What `slots show` prints of slot 0: it reads as a server does that starts.
fn shown(state: &State) -> Result<String, String> {
    let finished = state.slots("show", &[]);
    match finished.status.code() {
        Some(0) => Ok(finished.stdout.trim().to_owned()),
        Some(1) => Err(finished.stderr),
        _ => panic!("{finished:?}"),
    }
}

fn flipped(mut block: Block, at: usize, mask: u8) -> Block {
    block[at] ^= mask;
    block
}

#[test]
fn no_damaged_byte_lowers_the_floor() {
    let mut random = Rng::with_seed(seed("flipped bytes"));
    let state = State::new("bytes").with_record();
    let good = [state.block(0), state.block(1)];
    assert_eq!(good[0], good[1]);
    let expected = shown(&state).unwrap();
    for damaged in DAMAGES {
        for at in 0..BLOCK_SIZE {
            let mask = random.u8(1..=255);
            damaged.iter().for_each(|copy| state.put_block(*copy, &flipped(good[*copy], at, mask)));
            match shown(&state) {
                Ok(row) => {
                    assert!(damaged.len() < COPIES.len(), "byte {at} of both: {row}");
                    assert_eq!(row, expected, "byte {at} of {damaged:?}");
                }
                Err(row) => {
                    assert_eq!(damaged.len(), COPIES.len(), "byte {at} of {damaged:?}: {row}");
                    assert!(row.contains("both copies are unreadable"), "{row}");
                }
            }
            damaged.iter().for_each(|copy| state.put_block(*copy, &good[*copy]));
        }
    }
    // What lies between the copies and behind them is nobody's.
    for _ in 0..30 {
        let (copy, at) = (random.usize(..2), random.u64(BLOCK_SIZE as u64..4_096));
        state.put(COPIES[copy] + at, &[random.u8(1..)]);
    }
    assert_eq!(shown(&state).unwrap(), expected);
}

#[test]
fn servers_start_on_one_good_copy_and_on_none() {
    let mut random = Rng::with_seed(seed("servers on damaged copies"));
    let state = State::new("bytes-servers").with_record();
    for _ in 0..SERVERS {
        let good = [state.block(0), state.block(1)];
        let bound_ms = state.bound_ms();
        let damaged = DAMAGES[random.usize(..DAMAGES.len())];
        let (at, mask) = (random.usize(..BLOCK_SIZE), random.u8(1..));
        damaged.iter().for_each(|copy| state.put_block(*copy, &flipped(good[*copy], at, mask)));
        if damaged.len() == COPIES.len() {
            let words = ["slot-0000.record", "both copies are unreadable", "slots adopt"];
            state.refuses(&[], &words);
            state.slots("adopt", &[]).assert_code(1).assert_says(&words[..2]);
            damaged.iter().for_each(|copy| state.put_block(*copy, &good[*copy]));
            continue;
        }
        let log = state.serves_above(bound_ms, &[]);
        let warned = log.iter().any(|line| line.contains("one copy is damaged"));
        assert!(warned, "byte {at} of {damaged:?}: {log:#?}");
        assert_eq!(state.records().len(), 2, "both are good again");
    }
}

/// Whoever looks has to see that only one copy is left.
#[test]
fn show_tells_of_a_damaged_copy() {
    let state = State::new("bytes-show").with_record();
    let good = state.block(1);
    state.put_block(1, &flipped(good, 100, 1));
    let finished = state.slots("list", &[]);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("damaged") || said.contains("checksum"), "{finished:?}");
}

/// A sector that cannot be read any more is a damaged copy like any other.
#[test]
fn one_copy_that_cannot_be_read_is_not_missed() {
    let state = State::new("bytes-unreadable").with_record();
    let expected = shown(&state).unwrap();
    let record = state.record_path();
    for nth in ["1", "2"] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=pread64", "-P"]).arg(&record);
        strace.arg("-e").arg(format!("inject=pread64:error=EIO:when={nth}"));
        strace.arg(env!("CARGO_BIN_EXE_coreflake")).args(["slots", "show", "--worker-id", "0"]);
        let finished = feed(strace.arg("--state-dir").arg(state.path()), b"");
        let row = &finished.stdout;
        // Whatever it says of the damage: the bound is the one of the copy that is left.
        assert!(row.starts_with(&expected), "read {nth} fails: {finished:?}");
    }
}

#[test]
fn a_torn_write_leaves_the_bound_before_it_or_its_own() {
    let state = State::new("torn").with_record();
    let old = state.block(0);
    let before = shown(&state).unwrap();
    let mut record = state.record();
    record.bound_ms += 400;
    record.written_ms += 100;
    record.attempt = !record.attempt;
    let new = encode(&record, &old);
    state.put_block(0, &new);
    // A slot is shown as free when its last window is over.
    pause(Duration::from_millis(500));
    let after = shown(&state).unwrap();
    assert_ne!(before, after);
    for torn_at in 0..=BLOCK_SIZE {
        // While the first copy is written, the second one is the old one.
        let torn: Block = [&new[..torn_at], &old[torn_at..]].concat().try_into().unwrap();
        state.put_block(0, &torn);
        state.put_block(1, &old);
        let row = shown(&state).unwrap();
        let whole = torn == new;
        assert_eq!(row, if whole { after.clone() } else { before.clone() }, "torn at {torn_at}");
        // While the second is written, the first one is the new one: that may be in use.
        state.put_block(0, &new);
        state.put_block(1, &torn);
        assert_eq!(shown(&state).unwrap(), after, "torn at {torn_at}");
    }
}

#[test]
fn of_two_good_copies_the_larger_bound_wins() {
    for newer in 0..COPIES.len() {
        let state = State::new(&format!("newer-{newer}")).with_record();
        let mut record = state.record();
        record.bound_ms += 700;
        state.put_block(newer, &encode(&record, &state.block(newer)));
        state.serves_above(record.bound_ms, &[]);
    }
}
