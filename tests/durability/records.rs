//! Records with checksums that match, and something in them that does not.

use std::fs::OpenOptions;

use crate::state::{COPIES, State, seal};

/// How the namespace of this server shows in a message.
fn fingerprint() -> String {
    format!("{:016x}", coreflake_protocol::Namespace::DEFAULT.fingerprint())
}

#[test]
fn a_record_of_another_namespace_is_refused() {
    let state = State::new("namespace").with_record();
    state.craft(|record| record.fingerprint = 0xdead_beef_0bad_cafe);
    let words = ["slot-0000.record", "deadbeef0badcafe", &fingerprint(), "another slot"];
    state.refuses(&[], &words);
    for command in ["adopt", "retire"] {
        state.slots(command, &[]).assert_code(1).assert_says(&words);
    }
    // What its numbers mean is not known, so none is shown.
    state.slots("show", &[]).assert_code(1).assert_says(&words[1..3]);
    let listed = state.slots("list", &[]);
    let row = listed.assert_code(0).stdout.lines().last();
    assert!(
        row.is_some_and(|row| row.starts_with("   0   -       -  foreign  is of namespace dead")),
        "{row:?}"
    );
}

#[test]
fn a_record_of_another_slot_is_refused() {
    let state = State::new("slot").with_record();
    state.craft(|record| record.slot = 5);
    let words = ["slot-0000.record", "of slot 5, not 0"];
    state.refuses(&[], &words);
    for command in ["adopt", "retire"] {
        state.slots(command, &[]).assert_code(1).assert_says(&words);
    }
}

#[test]
fn a_record_of_another_release_is_refused() {
    let state = State::new("version").with_record();
    for copy in 0..COPIES.len() {
        let mut block = state.block(copy);
        block[5] = 2;
        seal(&mut block);
        state.put_block(copy, &block);
    }
    let words = ["slot-0000.record", "version 2 was written by another release"];
    state.refuses(&[], &words);
    for command in ["adopt", "retire"] {
        state.slots(command, &[]).assert_code(1).assert_says(&words);
    }
}

#[test]
fn a_record_of_another_machine_is_refused() {
    let state = State::new("machine").with_record();
    for copy in 0..COPIES.len() {
        let mut block = state.block(copy);
        block[196..212].copy_from_slice(&[0x5a; 16]);
        seal(&mut block);
        state.put_block(copy, &block);
    }
    state.refuses(&[], &["slot-0000.record", "is a copy", "coreflake slots adopt"]);
}

#[test]
fn a_record_that_was_cut_short_is_refused_with_advice() {
    let state = State::new("cut").with_record();
    let cut = |size| {
        OpenOptions::new().write(true).open(state.record_path()).unwrap().set_len(size).unwrap();
    };
    for size in [215, 100, 1] {
        cut(size);
        state.refuses(&[], &["slot-0000.record", "coreflake slots adopt"]);
    }
    // Empty is as good as deleted.
    cut(0);
    state.refuses(&[], &["slot-0000.record", "is lost", "coreflake slots adopt"]);
}

/// The first copy is the newer one, if they differ.
#[test]
fn a_record_that_lost_its_second_copy_is_used() {
    let state = State::new("half").with_record();
    for size in [4_311, 4_096, 216] {
        let bound_ms = state.bound_ms();
        let file = OpenOptions::new().write(true).open(state.record_path()).unwrap();
        file.set_len(size).unwrap();
        let log = state.serves_above(bound_ms, &[]);
        assert!(log.iter().any(|line| line.contains("one copy is damaged")), "{size}: {log:#?}");
    }
}

#[test]
fn a_record_of_zeros_is_a_lost_one() {
    let state = State::new("zeros").with_record();
    state.put(0, &[0; 8_192]);
    state.refuses(&[], &["slot-0000.record", "is lost", "coreflake slots adopt"]);
}

/// No release writes such a bound, and none may fall over it.
#[test]
fn a_bound_beyond_the_layout_is_refused() {
    let state = State::new("beyond").with_record();
    state.craft(|record| record.bound_ms = i64::MAX as u64);
    state.refuses(&[], &["slot-0000.record"]);
}

#[test]
fn a_term_that_cannot_rise_is_refused() {
    let state = State::new("term").with_record();
    state.craft(|record| record.term = u64::MAX);
    state.refuses(&[], &["slot-0000.record"]);
}
