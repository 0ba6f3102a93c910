//! Calls that make no sense, are too large, come too late, or are given up.

use core::time::Duration;

use coreflake_grpc::id_generator_client::IdGeneratorClient;
use coreflake_grpc::{GenerateBatchRequest, GenerateIdRequest};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::channel::{DEADLINE, Raw, client, message, run, survives};
use crate::common::Server;

const BATCH: &str = "IDGenerator/GenerateBatch";

/// What the libraries of gRPC answer to a message that cannot be read.
#[test]
fn a_message_that_cannot_be_read_is_an_error_of_its_own() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        for bytes in [
            // Wire types that no field has, and ones that this field has not.
            &b"\xff\xff\xff\xff"[..],
            b"\x0b",
            b"\x0a\x01x",
            b"\x0d\0\0\0\0",
            // Cut off, and longer than it is.
            b"\x08",
            b"\x08\x80",
            b"\x7a\xff\xff\xff\xff\x0f",
            // Field 0, and a number that never ends.
            b"\0\0",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let outcome = raw.call(BATCH, &[], message(0, bytes)).await;
            assert_eq!(outcome.code, Code::InvalidArgument, "{bytes:?}: {outcome:?}");
            assert!(outcome.data.is_empty(), "{outcome:?}");
        }
    });
}

#[test]
fn a_call_without_a_whole_message_is_no_call() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        for body in
            [&b""[..], b"\0", b"\0\0\0\0\x02\x08", b"\x02\0\0\0\0", b"\x07\0\0\0\x02\x08\x01"]
        {
            let outcome = raw.call(BATCH, &[], body.to_vec()).await;
            assert_ne!(outcome.code, Code::Ok, "{body:?}: {outcome:?}");
        }
    });
}

#[test]
fn a_message_of_100_mib_is_refused_by_its_length() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        let before = server.memory_kib();
        for size in [4 * 1_024 + 1, 100 * 1_024 * 1_024] {
            let outcome = raw.call(BATCH, &[], message(0, &vec![0x78; size])).await;
            let refused = [Code::ResourceExhausted];
            assert!(refused.contains(&outcome.code), "{outcome:?}");
        }
        // The length alone says it, whatever comes behind it.
        let claim = b"\0\xff\xff\xff\xff\x08\x01".to_vec();
        let outcome = raw.call(BATCH, &[], claim).await;
        assert_eq!(outcome.code, Code::ResourceExhausted, "{outcome:?}");
        let grown = server.memory_kib().saturating_sub(before);
        assert!(grown < 8 * 1_024, "{grown} KiB");
    });
}

#[test]
fn nothing_is_unpacked() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        let outcome = raw.call(BATCH, &[], message(1, b"\x08\x01")).await;
        assert_eq!(outcome.code, Code::InvalidArgument, "a flag without an encoding: {outcome:?}");
        for encoding in ["gzip", "zstd", "br"] {
            let headers = [("grpc-encoding", encoding)];
            let outcome = raw.call(BATCH, &headers, message(1, b"\x08\x01")).await;
            assert_eq!(outcome.code, Code::Unimplemented, "{outcome:?}");
        }
    });
}

#[test]
fn an_unknown_method_is_not_implemented() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        for method in [
            "IDGenerator/Other",
            "IDGenerator/generateID",
            "IDGenerator/",
            "idgenerator/GenerateID",
            "other.Service/GenerateID",
            "api/v1/id",
            "",
        ] {
            let outcome = raw.call(method, &[], message(0, b"")).await;
            assert_eq!(outcome.code, Code::Unimplemented, "{method}: {outcome:?}");
        }
    });
}

#[test]
fn what_is_not_grpc_gets_no_id() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        let mut ask = async |content| {
            let headers = [("content-type", content)];
            raw.call(BATCH, &headers, message(0, b"\x08\x01")).await
        };
        for content in ["text/plain", "application/json", "application/grpc-web", "grpc", ""] {
            let outcome = ask(content).await;
            assert!(outcome.text.contains("415") && outcome.data.is_empty(), "{outcome:?}");
        }
        for content in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert_eq!(ask(content).await.code, Code::Ok, "{content}");
        }
    });
}

#[test]
fn a_deadline_that_is_over_is_exceeded() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        for timeout in ["0n", "0S", "00000000H"] {
            let headers = [("grpc-timeout", timeout)];
            let outcome = raw.call(BATCH, &headers, message(0, b"\x08\x01")).await;
            assert_eq!(outcome.code, Code::DeadlineExceeded, "{timeout}: {outcome:?}");
        }
        for timeout in ["99999999H", "5S", "2000m"] {
            let headers = [("grpc-timeout", timeout)];
            let outcome = raw.call(BATCH, &headers, message(0, b"\x08\x01")).await;
            assert_eq!(outcome.code, Code::Ok, "{timeout}: {outcome:?}");
        }
    });
}

/// Whoever cannot wait is told so while the line is long, and whoever can is served.
#[test]
fn a_deadline_passes_while_a_call_waits_for_sequence_space() {
    survives(async |server| {
        let client = client(server).await;
        let mut calls = JoinSet::new();
        for number in 0..200 {
            let mut client = client.clone();
            calls.spawn(async move {
                let mut request =
                    Request::new(GenerateBatchRequest { count: 1_000, ..Default::default() });
                let short = number % 2 == 0;
                request.set_timeout(if short { Duration::from_millis(5) } else { DEADLINE });
                (short, client.generate_batch(request).await.map(|_| ()))
            });
        }
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                (_, Ok(())) => {}
                (short, Err(status)) => {
                    // tonic has a clock of its own, which says Cancelled.
                    let codes = [Code::DeadlineExceeded, Code::Cancelled];
                    assert!(short && codes.contains(&status.code()), "{status:?}");
                }
            }
        }
    });
}

/// Makes 120 calls for 4,096 IDs each at once. Tells how many are served, and how many are told to
/// come back.
async fn crowd(client: &IdGeneratorClient<Channel>) -> (u32, u32) {
    let mut calls = JoinSet::new();
    for _ in 0..120 {
        let mut client = client.clone();
        calls.spawn(async move {
            client
                .generate_batch(GenerateBatchRequest { count: 4_096, ..Default::default() })
                .await
                .map(|_| ())
        });
    }
    let (mut served, mut told) = (0, 0);
    for call in calls.join_all().await {
        match call {
            Ok(()) => served += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                assert!(status.message().starts_with("OVERLOADED: "), "{status:?}");
                told += 1;
            }
        }
    }
    (served, told)
}

/// A line of 64 ticks' worth of IDs is long enough: others would wait behind it in vain.
#[test]
fn who_would_wait_behind_too_many_ids_is_told_to_come_back() {
    // Long ticks: half a second passes before the line has let in those who are too many. Whoever
    // waits for two seconds is told the same, so a machine that stands still may spoil a round.
    let server = Server::start(&["--tick-ms", "10"]);
    run(async {
        let client = client(&server).await;
        let mut rounds: Vec<(u32, u32)> = Vec::new();
        while !matches!(rounds.last(), Some((64..=99, 1..))) {
            assert!(rounds.len() < 10, "served and told: {rounds:?}");
            rounds.push(crowd(&client).await);
        }
    });
    server.stop();
}

#[test]
fn a_timeout_that_is_none_is_refused() {
    survives(async |server| {
        let mut raw = Raw::connect(server).await;
        for timeout in ["", "S", "1", "-1S", "1s", "1.5S", "123456789S", "1 S", "1SS", "\u{e9}"] {
            let headers = [("grpc-timeout", timeout)];
            let outcome = raw.call(BATCH, &headers, message(0, b"\x08\x01")).await;
            assert_eq!(outcome.code, Code::InvalidArgument, "{timeout}: {outcome:?}");
            assert!(outcome.text.contains("grpc-timeout"), "{outcome:?}");
        }
    });
}

#[test]
fn calls_that_are_given_up_are_forgotten() {
    survives(async |server| {
        let client = client(server).await;
        for _ in 0..10 {
            let mut calls = JoinSet::new();
            for _ in 0..100 {
                let mut client = client.clone();
                calls.spawn(async move {
                    client
                        .generate_batch(GenerateBatchRequest { count: 1_000, ..Default::default() })
                        .await
                        .map(|_| ())
                });
            }
            // The first reply: others are on their way.
            calls.join_next().await.unwrap().unwrap().unwrap();
            calls.abort_all();
        }
        // The connection itself may have been closed for that many resets.
        let _ = client.clone().generate_id(GenerateIdRequest::default()).await;
    });
}

#[test]
fn a_thousand_calls_at_once_are_all_answered() {
    survives(async |server| {
        let client = client(server).await;
        let mut calls = JoinSet::new();
        for _ in 0..1_000 {
            let mut client = client.clone();
            calls.spawn(async move { client.generate_id(GenerateIdRequest::default()).await });
        }
        let mut ids = std::collections::HashSet::new();
        while let Some(call) = calls.join_next().await {
            assert!(ids.insert(call.unwrap().unwrap().into_inner().id), "an ID came twice");
        }
        assert_eq!(ids.len(), 1_000);
    });
}

#[test]
fn metadata_of_1_mib_is_too_much() {
    survives(async |server| {
        for (size, said) in [(9 * 1_024, "431"), (1_024 * 1_024, "no reply")] {
            let mut raw = Raw::connect(server).await;
            let long = "a".repeat(size);
            let headers = [("x-long", &*long)];
            let outcome = raw.call(BATCH, &headers, message(0, b"\x08\x01")).await;
            assert_ne!(outcome.code, Code::Ok, "{outcome:?}");
            assert!(outcome.text.contains(said), "{outcome:?}");
        }
    });
}
