//! The REST door.

use crate::peer::{TOKEN, TempFile, loadgen};
use crate::rest_peer::{Step, What, honest, ids, numbers, reply, start};

#[test]
fn a_clean_run_is_reported_in_full() {
    for (flags, per_request) in [("--count 1", 1.0), ("--count 10", 10.0)] {
        let target = start(|asked| Step::Send(honest(asked.what)));
        let flags = format!("{flags} --rate 1000 --duration 300ms --connections 4 --verify");
        let outcome = loadgen(&target, &flags);
        outcome.assert_code(0);
        let requests = outcome.number("requests");
        assert_eq!(requests + outcome.number("unsent"), 300.0);
        assert_eq!(outcome.number("ids"), requests * per_request);
        assert_eq!(outcome.number("distinct"), requests * per_request);
        for name in ["errors", "duplicates", "order_violations", "foreign_ids", "lost"] {
            assert_eq!(outcome.number(name), 0.0, "{name}");
        }
        assert_eq!(outcome.report["target"], target);
        assert_eq!(outcome.report["lanes"].as_array().unwrap().len(), 0);
        assert!(outcome.number("latency_us.p50") > 0.0);
    }
}

#[test]
fn the_largest_batch_fits() {
    let target = start(|asked| Step::Send(honest(asked.what)));
    let flags = "--rate 50 --duration 200ms --connections 1 --count 4096 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    assert_eq!(outcome.number("ids"), 10.0 * 4096.0);
    assert_eq!(outcome.number("errors"), 0.0);
}

#[test]
fn requests_are_pipelined_and_answered_in_order() {
    // Nothing is answered before eight requests are there; then all are, in one write.
    let mut held = Vec::new();
    let mut waiting = 0;
    let target = start(move |asked| {
        held.extend(honest(asked.what));
        waiting += u32::from(matches!(asked.what, What::Ids(..)));
        if matches!(asked.what, What::Health) || waiting == 8 {
            waiting = 0;
            return Step::Send(std::mem::take(&mut held));
        }
        Step::Silence
    });
    let flags = "--rate max --duration 1s --connections 1 --pipeline 8 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    assert!(outcome.number("requests") >= 8.0);
    assert_eq!(outcome.number("order_violations"), 0.0);
}

#[test]
fn a_reply_may_come_byte_by_byte() {
    let target = start(|asked| Step::Drip(honest(asked.what)));
    let flags = "--rate 100 --duration 200ms --connections 2 --count 3 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    assert_eq!(outcome.number("requests"), 20.0);
    assert_eq!(outcome.number("errors"), 0.0);
}

#[test]
fn what_is_no_answer_is_counted_by_its_kind() {
    let target = start(|asked| {
        let What::Ids(number, count) = asked.what else {
            return Step::Send(honest(asked.what));
        };
        let exhausted = r#"{"code":"WINDOW_EXHAUSTED","message":"late","retry_after_ms":100}"#;
        Step::Send(match number % 8 {
            0 => reply(503, exhausted),
            1 => reply(404, "<html>not here</html>"),
            2 => reply(503, r#"{"code":"NEWER"}"#),
            3 => ids(count, &numbers(number, 2)),
            4 => reply(200, r#"{"ids":[5,6,7],"ids_str":["5","6","8"]}"#),
            5 => reply(200, "{}"),
            _ => honest(asked.what),
        })
    });
    let flags = "--rate 1000 --duration 200ms --connections 1 --count 3 --pipeline 1024 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(0);
    for (name, count) in [
        ("WINDOW_EXHAUSTED", 25.0),
        ("http_404", 25.0),
        ("http_503", 25.0),
        ("wrong_count", 25.0),
        ("invalid_reply", 50.0),
    ] {
        assert_eq!(outcome.number(&format!("errors_by_code.{name}")), count, "{name}");
    }
    assert_eq!(outcome.number("requests"), 50.0);
    // Those of a reply of the wrong length came all the same.
    assert_eq!(outcome.number("distinct"), 50.0 * 3.0 + 25.0 * 2.0);
}

#[test]
fn duplicates_and_broken_order_are_found() {
    let target = start(|asked| {
        Step::Send(match asked.what {
            What::Ids(number @ 100..105, count) => honest(What::Ids(number - 50, count)),
            other => honest(other),
        })
    });
    // There is room for all requests at once, so they leave however late the machine is.
    let flags = "--rate 1000 --duration 300ms --connections 1 --count 2 --pipeline 300 --verify";
    let outcome = loadgen(&target, flags);
    outcome.assert_code(1);
    assert_eq!(outcome.number("duplicates"), 10.0);
    assert_eq!(outcome.number("order_violations"), 1.0);
}

#[test]
fn ids_of_another_slot_are_foreign() {
    let target = start(|asked| {
        Step::Send(match asked.what {
            What::Health => reply(200, r#"{"status":"healthy","worker_id":1,"datacenter_id":1}"#),
            other => honest(other),
        })
    });
    let outcome = loadgen(&target, "--rate 100 --duration 100ms --connections 1 --verify");
    outcome.assert_code(1);
    assert_eq!(outcome.number("foreign_ids"), 10.0);
}

#[test]
fn a_connection_that_breaks_is_given_up() {
    for (step, name) in [
        (None, "connection_closed"),
        (Some("SSH-2.0-OpenSSH_9.6\r\n"), "invalid_reply"),
        (Some("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), "invalid_reply"),
    ] {
        let target = start(move |asked| match (asked.what, step) {
            (What::Ids(40, _), None) => Step::Close,
            (What::Ids(40, _), Some(text)) => Step::Send(text.into()),
            (other, _) => Step::Send(honest(other)),
        });
        // Again there is room for all of them, so only those of one connection are not answered.
        let flags = "--rate 1000 --duration 300ms --connections 4 --pipeline 75";
        let outcome = loadgen(&target, flags);
        outcome.assert_code(0);
        assert_eq!(outcome.number(&format!("errors_by_code.{name}")), 1.0);
        assert!(outcome.number("lost") >= 1.0);
        assert!(outcome.number("requests") >= 225.0, "the other three go on");
        let answered = outcome.number("requests") + outcome.number("lost");
        assert_eq!(answered, outcome.number("attempted"));
    }
}

#[test]
fn a_reply_without_a_request_breaks_the_connection() {
    let target = start(|asked| match asked.what {
        What::Ids(..) => Step::Send([honest(asked.what), honest(asked.what)].concat()),
        What::Health => Step::Send(honest(asked.what)),
    });
    let outcome = loadgen(&target, "--rate 100 --duration 100ms --connections 1 --pipeline 1");
    assert_eq!(outcome.number("errors_by_code.invalid_reply"), 1.0);
}

#[test]
fn replies_that_never_come_do_not_hang_the_end() {
    let target = start(|asked| match asked.what {
        What::Ids(30.., _) => Step::Silence,
        other => Step::Send(honest(other)),
    });
    let outcome = loadgen(&target, "--rate 1000 --duration 2s --connections 1 --pipeline 8");
    outcome.assert_code(0);
    assert_eq!(outcome.number("requests"), 30.0);
    assert_eq!(outcome.number("lost"), 8.0);
}

#[test]
fn what_is_no_coreflake_is_unreachable() {
    for (bytes, cause) in [
        (&b"220 mail.example ESMTP\r\n"[..], "invalid reply"),
        (&reply(404, "not found"), "404"),
        (&reply(200, "{}"), "worker_id"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "transfer-encoding"),
    ] {
        let bytes = bytes.to_vec();
        let target = start(move |_| Step::Send(bytes.clone()));
        let outcome = loadgen(&target, "--duration 100ms");
        outcome.assert_code(69);
        let message = &outcome.stderr;
        assert!(message.contains(&target) && message.contains(cause), "{message}");
    }
    let target = start(|_| Step::Close);
    loadgen(&target, "--duration 100ms").assert_code(69);
}

#[test]
fn the_token_travels_with_every_request() {
    let right = String::from_utf8(TOKEN.to_vec()).unwrap().replace(' ', "-");
    let file = TempFile::new("loadgen-rest-token");
    let path = file.path().display();
    let flags = format!("--rate 100 --duration 100ms --connections 1 --token-file {path}");
    for (token, code) in [(right.as_str(), 0), ("wrong", 69), ("not\u{1}visible", 2)] {
        file.write(format!("{token}\n"));
        let right = right.clone();
        let target = start(move |asked| {
            Step::Send(if asked.token.as_ref() == Some(&right) {
                honest(asked.what)
            } else {
                reply(401, r#"{"code":"UNAUTHENTICATED","message":"show a token"}"#)
            })
        });
        let outcome = loadgen(&target, &flags);
        outcome.assert_code(code);
        let part =
            ["UNAUTHENTICATED", "--token-file"].iter().find(|p| outcome.stderr.contains(**p));
        assert_eq!(part.is_some(), code != 0, "{}", outcome.stderr);
    }
}
