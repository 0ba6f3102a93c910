//! Many requests on one connection, and many connections.

use std::thread;

use crate::common::{Server, until};
use crate::http::{Http, get, request, survives};

#[test]
fn a_thousand_requests_at_once_are_answered_in_order() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        let mut bytes = Vec::new();
        for number in 0..1_000 {
            // Each one has a reply that names it.
            let target = match number % 3 {
                0 => format!("/{number}"),
                1 => format!("/api/v1/parse?id=x{number}"),
                _ => format!("/api/v1/ids?count={}", number % 100 + 1),
            };
            bytes.extend(request("GET", &target, ""));
        }
        let mut last = 0;
        let mut writing = Http::connect(server.http());
        std::mem::swap(&mut writing, &mut http);
        let mut sender = writing.stream().try_clone().unwrap();
        let sending =
            thread::spawn(move || std::io::Write::write_all(&mut sender, &bytes).unwrap());
        for number in 0..1_000 {
            let answer = writing.answer();
            let body = answer.json();
            let text = body["message"].as_str().unwrap_or_default();
            match number % 3 {
                0 => assert!(answer.status == 404 && text.ends_with(&format!("/{number}"))),
                1 => assert!(answer.status == 400 && text.contains(&format!("`x{number}`"))),
                _ => {
                    let ids = body["ids"].as_array().unwrap();
                    assert_eq!(ids.len(), number % 100 + 1);
                    assert!(ids[0].as_u64().unwrap() > last);
                    last = ids[ids.len() - 1].as_u64().unwrap();
                }
            }
        }
        sending.join().unwrap();
        assert_eq!(writing.ask(&request("GET", "/api/v1/live", "")).status, 200);
    });
}

#[test]
fn close_is_the_end_of_what_is_answered() {
    survives(|server| {
        let mut http = Http::connect(server.http());
        let last = request("GET", "/api/v1/id", "Connection: close\r\n");
        http.send(&last.repeat(3));
        let answer = http.expect_last(200);
        assert_eq!(answer.header("connection"), Some("close"));
    });
}

/// A peer that reads nothing is not written to without end.
#[test]
fn whoever_does_not_read_is_not_read_from() {
    survives(|server| {
        // What every server needs for replies of that size.
        let many = request("GET", "/api/v1/ids?count=4096", "").repeat(50);
        let mut reading = Http::connect(server.http());
        reading.send(&many);
        for _ in 0..50 {
            assert_eq!(reading.answer().status, 200);
        }
        let before = server.memory_kib();
        let deaf = Http::connect(server.http());
        deaf.stream().set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let (mut sent, mut stream) = (0, deaf.stream());
        while let Ok(size) = std::io::Write::write(&mut stream, &many) {
            sent += size;
            assert!(sent < 64 * 1_024 * 1_024, "it reads on and on");
        }
        let grown = server.memory_kib().saturating_sub(before);
        println!("{sent} bytes of requests were taken, {grown} KiB more are held");
        assert!(grown < 8 * 1_024, "{grown} KiB");
        // Others are served meanwhile.
        assert_eq!(get(server, "/api/v1/id").status, 200);
    });
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let server = Server::start(&["--max-connections-per-ip", "3"]);
    let live = request("GET", "/api/v1/live", "");
    let mut open: Vec<_> = (0..3).map(|_| Http::connect(server.http())).collect();
    for http in &mut open {
        assert_eq!(http.ask(&live).status, 200);
    }
    for _ in 0..10 {
        Http::connect(server.http()).expect_closed();
        // gRPC has the same connections.
        Http::connect(server.grpc()).expect_closed();
    }
    for http in &mut open {
        assert_eq!(http.ask(&live).status, 200);
    }
    // Whoever leaves makes room, as soon as the server has seen it.
    for _ in 0..3 {
        open.remove(0).finish();
        let next = until("a place that was left", || {
            let mut http = Http::connect(server.http());
            let answered = http.send_some(&live) && http.try_answer(true).is_some();
            answered.then_some(http)
        });
        open.push(next);
    }
    let counters = server.stop();
    assert!(counters.get("connection_per_ip_limit") >= 20, "{counters:?}");
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    survives(|server| {
        for _ in 0..1_000 {
            drop(Http::connect(server.http()));
        }
        assert_eq!(get(server, "/api/v1/live").status, 200);
    });
}
