//! IDs of 128 bits, and connections that are made anew.

use coreflake_protocol::{AnyId, Kind};

use crate::peer::{Answer, honest, loadgen, wide};
use crate::{tcp, udp};

/// `count` IDs that never repeat and always grow.
fn grown(kind: Kind, number: u64, count: u32) -> Answer {
    let first = number * 1_000;
    Answer::Wide((first..first + u64::from(count)).map(|number| wide(kind, number)).collect())
}

#[test]
fn a_clean_run_of_every_wide_kind_is_verified() {
    for kind in [Kind::Uuid1, Kind::Ulid, Kind::Uuid7] {
        let flags = format!(
            "--kind {kind} --rate 500 --duration 300ms --connections 2 --count 10 --verify"
        );
        for target in [
            tcp(move |number, count| grown(kind, number, count)),
            udp(move |n, c| grown(kind, n, c)),
        ] {
            let outcome = loadgen(&target, &flags);
            outcome.assert_code(0);
            assert_eq!(outcome.report["kind"], kind.name());
            assert_eq!(outcome.number("distinct"), outcome.number("whole_run.ids"));
            assert_eq!((outcome.number("duplicates"), outcome.number("foreign_ids")), (0.0, 0.0));
            let smallest = outcome.report["smallest_id"].as_str().unwrap();
            assert_eq!(AnyId::read(smallest, Some(kind), None).unwrap().bits(), wide(kind, 0));
        }
    }
}

#[test]
fn replies_with_fewer_ids_than_asked_for_are_told() {
    let target = udp(|number, _| grown(Kind::Ulid, number, 74));
    let flags = "--kind ulid --rate 500 --duration 300ms --connections 2 --count 100 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    let warnings = outcome.report["warnings"].to_string();
    assert!(warnings.contains("brought 74.0 IDs on average, not 100"), "{warnings}");
}

#[test]
fn a_duplicate_among_wide_ids_is_found_and_named() {
    let target =
        tcp(|number, count| grown(Kind::Ulid, if number == 90 { 40 } else { number }, count));
    // There is room for all requests at once, so they leave however late the machine is.
    let flags = "--kind ulid --rate 500 --duration 400ms --connections 1 --pipeline 200 --count 3";
    let outcome = loadgen(&target, &format!("{flags} --verify"));
    outcome.assert_code(1);
    assert_eq!(outcome.number("duplicates"), 3.0);
    assert_eq!(outcome.number("order_violations"), 1.0);
    let examples = outcome.report["duplicate_examples"].to_string();
    assert!(examples.contains("01HF"), "{examples}");
}

/// Other random bits make two IDs different, and the same place makes them a broken promise.
#[test]
fn the_same_place_with_other_random_bits_is_a_duplicate() {
    for kind in [Kind::Uuid1, Kind::Ulid, Kind::Uuid7] {
        let target = tcp(move |number, _| match number {
            90 => Answer::Wide(vec![wide(kind, 89) ^ 0x55 << 24]),
            _ => Answer::Wide(vec![wide(kind, number)]),
        });
        let flags = "--rate 500 --duration 400ms --connections 1 --pipeline 200 --verify";
        let outcome = loadgen(&target, &format!("--kind {kind} {flags}"));
        outcome.assert_code(1);
        assert_eq!(outcome.number("duplicates"), 1.0, "{kind}");
        assert_eq!(outcome.number("order_violations"), 0.0, "{kind} sorts behind the one before");
    }
}

#[test]
fn a_uuid1_has_the_order_of_its_time() {
    // The first field has the lowest bits of the time, which begin anew every seven minutes.
    let is_before = |at: &u64| wide(Kind::Uuid1, at + 1_000) < wide(Kind::Uuid1, *at);
    let early = (0..430_000).step_by(1_000).find(is_before).unwrap();
    let late = early + 1_000;
    let target = tcp(move |number, _| {
        Answer::Wide(vec![wide(Kind::Uuid1, [early, late][usize::from(number > 0)] + number)])
    });
    let flags = "--kind uuid1 --rate 500 --duration 200ms --connections 1 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    assert_eq!(outcome.number("order_violations"), 0.0);
}

#[test]
fn an_id_of_another_kind_is_no_reply() {
    let target = udp(|number, count| grown(Kind::Ulid, number, count));
    let flags = "--kind uuid7 --rate 200 --duration 200ms --connections 1 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("requests"), 0.0);
    let target = tcp(honest);
    let outcome = loadgen(&target, "--kind ulid --rate 200 --duration 200ms --connections 1");
    assert_eq!(outcome.number("errors_by_code.invalid_reply"), 1.0);
}

#[test]
fn a_connection_that_breaks_is_made_anew() {
    let target = tcp(|number, count| match number {
        40 | 41 | 90 => Answer::Close,
        _ => honest(number, count),
    });
    // Time and room enough for all 300, but not for all to be out on connections that break.
    let flags = "--rate 100 --duration 3s --connections 2 --pipeline 64 --reconnect --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    assert_eq!(outcome.number("errors_by_code.connection_closed"), 3.0);
    assert_eq!((outcome.number("duplicates"), outcome.number("unsent")), (0.0, 0.0));
    assert!(outcome.number("requests") > 100.0);
    // Each may have met another process, whose counters say nothing about the run.
    for lane in outcome.report["lanes"].as_array().unwrap() {
        assert!(lane["connections"].as_u64() > Some(0) && lane["ids"].is_null(), "{lane}");
    }
}
