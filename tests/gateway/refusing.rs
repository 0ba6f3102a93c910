//! A server that cannot issue IDs, and says so through every door until it can.

use std::thread;

use coreflake_grpc::{GenerateIdRequest, HealthCheckRequest, ParseIdRequest};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use crate::channel::{client, run, wait_until_healthy};
use crate::common::{PATIENCE, Server, free_port, until};
use crate::faked::{HOUR_MS, Place, kill, log_of};
use crate::http::{Answer, Http, get, request};

/// Waits until `ready` is answered with this status.
#[track_caller]
fn wait_until_ready_is(server: &Server, status: u16) -> Answer {
    until("ready says so", || {
        let answer = get(server, "/api/v1/ready");
        (answer.status == status).then_some(answer)
    })
}

/// A server whose clock goes back by an hour.
fn start(name: &str) -> (Place, Server) {
    let place = Place::new(name);
    let server = place.start(&[]);
    // What was never issued cannot come twice.
    assert_eq!(get(&server, "/api/v1/id").status, 200);
    (place, server)
}

#[test]
fn rest_says_why_there_are_no_ids_and_when_to_ask_again() {
    let (place, server) = start("gateway-rest");
    place.set_ms(-HOUR_MS);
    let ready = wait_until_ready_is(&server, 503);
    assert_eq!(ready.json(), json!({ "status": "clock_regression" }));
    for target in ["/api/v1/id", "/api/v1/ids?count=4096"] {
        let answer = get(&server, target);
        answer.assert_error(503, "CLOCK_REGRESSION");
        let retry_after_ms = answer.json()["retry_after_ms"].as_u64().unwrap();
        assert!(retry_after_ms > 0 && answer.header("retry-after").is_some(), "{answer:?}");
    }
    let health = get(&server, "/api/v1/health");
    let body = health.json();
    assert_eq!((health.status, &body["status"]), (503, &json!("clock_regression")));
    assert_eq!(body.as_object().unwrap().len(), 17, "in full: {body}");
    // What needs no IDs is answered as ever.
    for target in ["live", "parse?id=1", "metrics", "openapi.json"] {
        assert_eq!(get(&server, &format!("/api/v1/{target}")).status, 200, "{target}");
    }
    place.set_ms(0);
    wait_until_ready_is(&server, 200);
    until("IDs", || (get(&server, "/api/v1/id").status == 200).then_some(()));
    assert_eq!(get(&server, "/api/v1/health").json()["status"], "healthy");
    log_of(server);
}

#[test]
fn grpc_is_unavailable_with_the_time_to_ask_again() {
    let (place, server) = start("gateway-grpc");
    place.set_ms(-HOUR_MS);
    wait_until_ready_is(&server, 503);
    run(async {
        let mut client = client(&server).await;
        let status = client.generate_id(GenerateIdRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().starts_with("CLOCK_REGRESSION"), "{status:?}");
        let retry = status.get_details_retry_info().expect("RetryInfo in the details");
        assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()), "{retry:?}");
        let health = client.health_check(HealthCheckRequest {}).await.unwrap().into_inner();
        assert_eq!(health.status, "clock_regression");
        client.parse_id(ParseIdRequest { id: 1, ..Default::default() }).await.unwrap();
        place.set_ms(0);
        wait_until_ready_is(&server, 200);
        let reply = client.generate_id(GenerateIdRequest::default()).await.unwrap();
        assert!(reply.into_inner().id > 0);
    });
    log_of(server);
}

#[test]
fn whoever_watches_over_grpc_is_told_of_every_change() {
    let (place, server) = start("gateway-watch");
    run(async {
        let mut health = wait_until_healthy(&server).await;
        let ask = || tonic_health::pb::HealthCheckRequest { service: String::new() };
        let mut watched = health.watch(ask()).await.unwrap().into_inner();
        for (set_ms, expected) in [
            (0, ServingStatus::Serving),
            (-HOUR_MS, ServingStatus::NotServing),
            (0, ServingStatus::Serving),
        ] {
            place.set_ms(set_ms);
            let told = watched.message().await.unwrap().expect("the watch goes on");
            assert_eq!(told.status(), expected);
            let checked = health.check(ask()).await.unwrap().into_inner();
            assert_eq!(checked.status(), expected);
        }
    });
    log_of(server);
}

/// Behind a kill the rest of a window has to pass.
#[test]
fn a_server_that_starts_says_so() {
    let place = Place::new("gateway-starting");
    // The slot was made a while ago: a clock before that is refused at once.
    place.set_ms(-600_000);
    log_of(place.start(&[]));
    place.set_ms(0);
    let server = place.start(&[]);
    assert_eq!(get(&server, "/api/v1/id").status, 200);
    // What it has reserved lies half a minute ahead.
    place.set_ms(-30_000);
    kill(server);
    let port = free_port();
    let mut command = place.command(&[]);
    command.env("COREFLAKE_HTTP", format!("127.0.0.1:{port}"));
    let starting = thread::spawn(move || Server::launch(command));
    until("somebody listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let ask = |path: &str| {
        let mut http = Http::connect(([127, 0, 0, 1], port).into());
        http.ask(&request("GET", &format!("/api/v1/{path}"), ""))
    };
    let refused = ask("id");
    refused.assert_error(503, "STARTING");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let ready = ask("ready");
    assert_eq!((ready.status, ready.json()), (503, json!({ "status": "starting" })));
    assert_eq!((ask("health").status, ask("live").status), (503, 200));
    place.set_ms(0);
    let server = starting.join().unwrap().expect("it starts");
    assert_eq!(ask("id").status, 200);
    log_of(server);
}

/// Whoever balances load watches for as long as the server runs, which must not be longer for it.
#[test]
fn whoever_watches_does_not_hold_up_the_end() {
    let server = Server::start(&[]);
    run(async {
        let mut health = wait_until_healthy(&server).await;
        let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let start = std::time::Instant::now();
        server.signal(rustix::process::Signal::TERM);
        while let Ok(Some(_)) = watch.message().await {}
        drop((watch, health));
        let ended = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
        ended.assert_clean();
        assert!(start.elapsed() < PATIENCE / 5, "{:?}", start.elapsed());
    });
}

/// Whoever is connected when the server stops is told before the connection ends.
#[test]
fn a_server_that_stops_answers_what_it_has() {
    let server = Server::start(&[]);
    let mut resting: Vec<_> = (0..20).map(|_| Http::connect(server.http())).collect();
    for http in &mut resting {
        assert_eq!(http.ask(&request("GET", "/api/v1/id", "")).status, 200);
    }
    let start = std::time::Instant::now();
    server.stop();
    assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
    for http in &mut resting {
        http.expect_closed();
    }
}
