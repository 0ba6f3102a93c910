//! The gRPC service as it is documented.

use std::collections::{BTreeSet, HashSet};

use coreflake_grpc::{
    GenerateBatchRequest, GenerateIdRequest, HealthCheckRequest, ParseIdRequest, SERVICE_NAME,
};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::channel::{Raw, client, connect, message, run, wait_until_healthy};
use crate::common::{Peer, Scratch, Server};
use crate::http::get;

#[test]
fn all_four_methods_answer() {
    let server = Server::start(&["--datacenter-id", "3", "--worker-id", "7"]);
    run(async {
        let mut client = client(&server).await;
        let id = client.generate_id(GenerateIdRequest::default()).await.unwrap().into_inner().id;
        assert!(id > 0);
        let request = GenerateBatchRequest { count: 100, ..Default::default() };
        let ids = client.generate_batch(request).await.unwrap().into_inner().ids;
        assert_eq!(ids.len(), 100);
        assert!(ids[0] > id && ids.is_sorted_by(|a, b| a < b), "{id} {ids:?}");

        let parts = client
            .parse_id(ParseIdRequest { id, ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        let rest = get(&server, &format!("/api/v1/parse?id={id}")).json();
        assert_eq!(parts.timestamp_ms, rest["timestamp_ms"].as_i64().unwrap());
        assert_eq!((parts.datacenter_id, parts.worker_id), (3, 7));
        assert_eq!(i64::from(parts.sequence), id & 0xfff);

        let health = client.health_check(HealthCheckRequest {}).await.unwrap().into_inner();
        assert_eq!((health.status.as_str(), health.ids_generated), ("healthy", 101));
        assert_eq!((health.datacenter_id, health.worker_id), (3, 7));
        assert!((0..60).contains(&health.uptime_seconds));
    });
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_count_from_1_to_4096_is_met_and_no_other() {
    let server = Server::start(&[]);
    run(async {
        let mut client = client(&server).await;
        for count in [1, 4_095, 4_096] {
            let reply = client
                .generate_batch(GenerateBatchRequest { count, ..Default::default() })
                .await
                .unwrap();
            assert_eq!(reply.into_inner().ids.len(), usize::try_from(count).unwrap());
        }
        for count in [0, -1, 4_097, i32::MAX, i32::MIN] {
            let status = client
                .generate_batch(GenerateBatchRequest { count, ..Default::default() })
                .await
                .unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let text = status.message();
            assert!(text.contains("INVALID_COUNT") && text.contains(&count.to_string()), "{text}");
        }
    });
    server.stop().assert_rejects(&[("invalid_count", 5)]);
}

#[test]
fn an_id_is_not_negative() {
    let server = Server::start(&[]);
    run(async {
        let mut client = client(&server).await;
        for id in [0, 1, i64::MAX] {
            client.parse_id(ParseIdRequest { id, ..Default::default() }).await.unwrap();
        }
        for id in [-1, i64::MIN] {
            let status =
                client.parse_id(ParseIdRequest { id, ..Default::default() }).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("INVALID_ID"), "{status}");
        }
    });
    server.stop().assert_rejects(&[("invalid_id", 2)]);
}

/// A client of a later version is served as far as it is understood.
#[test]
fn unknown_fields_are_passed_over() {
    let server = Server::start(&[]);
    run(async {
        let mut raw = Raw::connect(&server).await;
        // count: 3, field 15: 7, field 16: "x", field 17: 8 bytes.
        let fields = b"\x08\x03\x78\x07\x82\x01\x01x\x89\x01\0\0\0\0\0\0\0\0";
        let batch = message(0, fields);
        let outcome = raw.call("IDGenerator/GenerateBatch", &[], batch).await;
        assert_eq!(outcome.code, Code::Ok, "{outcome:?}");
        // Three IDs of nine bytes each, packed.
        assert_eq!(outcome.data[5..7], [0x0a, 27], "{outcome:?}");
        let outcome = raw.call("IDGenerator/GenerateID", &[], message(0, fields)).await;
        assert_eq!(outcome.code, Code::Ok, "{outcome:?}");
    });
    server.stop().assert_rejects(&[]);
}

#[test]
fn no_id_comes_over_grpc_and_elsewhere() {
    let server = Server::start(&["--shards", "2"]);
    let mut all = Vec::new();
    run(async {
        let mut client = client(&server).await;
        let mut peer = Peer::connect(server.tcp);
        for _ in 0..50 {
            let request = GenerateBatchRequest { count: 100, ..Default::default() };
            all.extend(client.generate_batch(request).await.unwrap().into_inner().ids);
            let rest = get(&server, "/api/v1/ids?count=100").json();
            all.extend(rest["ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()));
            let runs = peer.generate(100).into_iter().flat_map(|run| run.ids());
            all.extend(runs.map(|id| i64::try_from(id.get()).unwrap()));
        }
    });
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 50 * 300, "an ID came twice");
    server.stop().assert_rejects(&[]);
}

#[test]
fn health_checks_are_answered_for_the_server_and_the_service() {
    let server = Server::start(&[]);
    run(async {
        let mut health = wait_until_healthy(&server).await;
        for service in ["", SERVICE_NAME] {
            let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
            let reply = health.check(request).await.unwrap().into_inner();
            assert_eq!(reply.status(), ServingStatus::Serving, "{service}");
        }
        let request = tonic_health::pb::HealthCheckRequest { service: "other".to_owned() };
        assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);
    });
    server.stop().assert_rejects(&[]);
}

async fn reflect(server: &Server, ask: MessageRequest) -> ServerReflectionResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let mut client = ServerReflectionClient::new(connect(server).await);
    let replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    replies.into_inner().message().await.unwrap().unwrap()
}

#[test]
fn reflection_names_the_services_and_describes_them() {
    let server = Server::start(&[]);
    run(async {
        let reply = reflect(&server, MessageRequest::ListServices(String::new())).await;
        let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
            panic!("{reply:?}")
        };
        let names: BTreeSet<_> = list.service.iter().map(|service| &*service.name).collect();
        assert!(names.contains("IDGenerator"), "{names:?}");
        assert!(names.contains("grpc.health.v1.Health"), "{names:?}");
        let symbol = MessageRequest::FileContainingSymbol("IDGenerator".to_owned());
        let reply = reflect(&server, symbol).await;
        assert!(
            matches!(&reply.message_response, Some(MessageResponse::FileDescriptorResponse(files))
                if !files.file_descriptor_proto.is_empty()),
            "{reply:?}"
        );
    });
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_token_is_shown_with_every_call() {
    let scratch = Scratch::new("gateway-grpc-token");
    let file = scratch.file("tokens", 0o600, b"first-token\nsecond\n");
    let server = Server::start(&["--auth-token-file", &file, "--udp-allow", "none"]);
    run(async {
        let mut raw = Raw::connect(&server).await;
        let methods = ["GenerateID", "GenerateBatch", "ParseID", "HealthCheck"];
        for method in methods {
            let path = format!("IDGenerator/{method}");
            // Count or id 1, where the method asks for one.
            let body = || message(0, b"\x08\x01");
            for wrong in ["", "first-token", "Bearer", "Bearer first", "Basic second"] {
                let shown = [("authorization", wrong)];
                let shown = if wrong.is_empty() { &[][..] } else { &shown[..] };
                let outcome = raw.call(&path, shown, body()).await;
                assert_eq!(outcome.code, Code::Unauthenticated, "{method} {outcome:?}");
                assert!(outcome.data.is_empty(), "{outcome:?}");
            }
            for right in ["Bearer first-token", "bearer second"] {
                let shown = [("authorization", right)];
                let outcome = raw.call(&path, &shown, body()).await;
                assert_eq!(outcome.code, Code::Ok, "{method} {outcome:?}");
            }
        }
        // Load balancers have none.
        let mut health = wait_until_healthy(&server).await;
        let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
        let reply = health.check(request).await.unwrap().into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving);
    });
    let counters = server.stop();
    counters.assert_rejects(&[("unauthenticated", 20)]);
    assert_eq!(counters.get("ids"), 4);
}
