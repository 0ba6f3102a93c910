//! Who gets a slot: one process, with the record that belongs there. And what the commands do that
//! repair one.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::{Peer, Server, pause, until};
use crate::state::{State, first_id, now_ms};

#[test]
fn a_slot_serves_one_process_and_a_directory_many_slots() {
    let state = State::new("second");
    let first = state.start(&[]);
    let mut peer = Peer::connect(first.tcp);
    peer.generate(10);
    let words = ["slot-0000.record", "in use by another process", "stop that one", "--state-dir"];
    state.refuses(&[], &words);
    // Not even when it brings other shards and another port.
    state.refuses(&["--shards", "2", "--listen", "[::1]:0"], &words);
    let other = state.start(&["--datacenter-id", "3", "--worker-id", "7"]);
    Peer::connect(other.tcp).generate(10);
    peer.generate(10);
    other.stop();
    let shown = state.slots("list", &[]);
    shown.assert_code(0);
    assert_eq!(shown.stdout.lines().count(), 3, "a header and two slots: {}", shown.stdout);
    first.stop();
}

#[test]
fn a_copied_record_is_refused_until_it_is_adopted() {
    let original = State::new("original").with_record();
    let copy = original.copy("copy");
    let bound_ms = original.bound_ms();
    copy.refuses(&[], &["slot-0000.record", "is a copy", "coreflake slots adopt"]);
    assert_eq!(copy.bound_ms(), bound_ms, "a refusal changes nothing");
    copy.slots("adopt", &["--window-ms", "300"]).assert_code(0);
    let adopted_ms = copy.bound_ms();
    assert!(adopted_ms > bound_ms);
    copy.serves_above(adopted_ms, &[]);
    // The file it was copied from is what it always was.
    original.serves_above(bound_ms, &[]);
}

#[test]
fn a_record_that_was_moved_is_the_same_record() {
    let state = State::new("moved").with_record();
    let bound_ms = state.bound_ms();
    let elsewhere = State::new("moved-to");
    fs::rename(state.path(), elsewhere.path()).unwrap();
    elsewhere.serves_above(bound_ms, &[]);
}

#[test]
fn a_lost_record_is_no_first_start() {
    let state = State::new("lost").with_record();
    let bound_ms = state.bound_ms();
    state.lose_record();
    let words = ["slot-0000.record", "is lost", "coreflake slots adopt"];
    state.refuses(&[], &words);
    // The file that the refusal may have left behind tells nothing new.
    state.refuses(&[], &words);
    state.slots("adopt", &["--window-ms", "300"]).assert_code(0);
    let adopted_ms = state.bound_ms();
    assert!(adopted_ms > bound_ms);
    state.serves_above(adopted_ms, &[]);
}

#[test]
fn without_record_and_mark_a_slot_is_new() {
    let state = State::new("new").with_record();
    state.lose_record();
    fs::remove_file(state.mark_path()).unwrap();
    state.serves_above(0, &[]);
    assert!(state.mark_path().exists());
}

#[test]
fn a_record_without_its_mark_counts_and_is_marked_again() {
    let state = State::new("unmarked").with_record();
    let bound_ms = state.bound_ms();
    fs::remove_file(state.mark_path()).unwrap();
    state.serves_above(bound_ms, &[]);
    assert!(state.mark_path().exists());
}

#[test]
fn nobody_repairs_what_is_in_use() {
    let state = State::new("repair-in-use");
    let server = state.start(&["--window-ms", "600000"]);
    let record = state.record();
    for command in ["adopt", "retire"] {
        let finished = state.slots(command, &[]);
        finished.assert_code(1).assert_says(&["slot-0000.record", "in use by another process"]);
    }
    assert_eq!(state.record(), record);
    Peer::connect(server.tcp).generate(10);
    server.stop();
}

#[test]
fn no_command_lowers_a_bound() {
    let state = State::new("never-lower").with_record();
    let mut bound_ms = state.bound_ms();
    let mut check = |what: &str| {
        let before_ms = core::mem::replace(&mut bound_ms, state.bound_ms());
        assert!(bound_ms >= before_ms, "{what}: from {before_ms} to {bound_ms}");
    };
    for window_ms in ["600000", "100", "3000"] {
        state.slots("adopt", &["--window-ms", window_ms]).assert_code(0);
        check("adopt");
        state.slots("list", &[]).assert_code(0);
        check("list");
    }
    // Ten minutes ahead: nobody is served, and whoever waits changes nothing.
    let mut waiting = Server::command(&["--state-dir", state.path()]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    pause(Duration::from_millis(500));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    check("a start that waits");
    state.slots("retire", &[]).assert_code(0);
    check("retire");
    let retired = state.slots("list", &[]);
    assert!(retired.assert_code(0).stdout.contains("retired"), "{retired:?}");
    state.slots("adopt", &[]).assert_code(0);
    check("adopt of a retired slot");
}

/// A server that could only wait for the end of the layout says so at once, and ends.
#[test]
fn a_start_on_a_retired_slot_ends_and_says_why() {
    let state = State::new("retired-start").with_record();
    state.slots("retire", &[]).assert_code(0);
    let mut server = Server::command(&["--state-dir", state.path()]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let status = until("the end, or time enough for one", || {
        let status = server.try_wait().unwrap();
        (status.is_some() || begin.elapsed() > Duration::from_secs(15)).then_some(status)
    });
    let _ = server.kill();
    let said = std::io::read_to_string(server.stderr.take().unwrap()).unwrap();
    server.wait().unwrap();
    let code = status.and_then(|status| status.code());
    assert_eq!(code, Some(78), "it does not end with 78; it says: {said}");
    assert!(said.contains("retired") && said.contains("slot"), "{said}");
}

#[test]
fn show_prints_what_is_there() {
    let state = State::new("show");
    state.start(&["--datacenter-id", "3", "--worker-id", "7"]).stop();
    let shown = state.slots("list", &[]);
    let rows: Vec<Vec<_>> =
        shown.assert_code(0).stdout.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["slot", "dc", "worker", "state", "term", "bound", "age", "host"]);
    assert_eq!(rows[1][..5], ["103", "3", "7", "free", "3"], "{shown:?}");
    fs::write(state.path().to_owned() + "/slot-0104.record", [0xa5; 8_192]).unwrap();
    let damaged = state.slots("list", &[]);
    assert!(damaged.assert_code(1).stdout.contains("slot-0104.record"), "{damaged:?}");
}

/// Looking is not making.
#[test]
fn show_makes_no_directory() {
    let state = State::new("show-nothing");
    let shown = state.slots("list", &[]);
    assert!(!std::path::Path::new(state.path()).exists(), "it was made: {shown:?}");
}

#[test]
fn a_kill_in_the_middle_of_a_window_is_no_reason_to_refuse() {
    let state = State::new("killed");
    let server = state.start(&["--window-ms", "1000"]);
    first_id(&server);
    let killed_ms = now_ms();
    server.signal(Signal::KILL);
    let _ = server.wait();
    let bound_ms = state.bound_ms();
    assert!(bound_ms > killed_ms - 100, "{bound_ms} is not ahead of {killed_ms}");
    state.serves_above(bound_ms, &["--window-ms", "1000"]);
}
