//! Everything that can be asked of a server, asked once.

use coreflake_grpc::id_generator_client::IdGeneratorClient;
use coreflake_grpc::{GenerateBatchRequest, GenerateIdRequest, HealthCheckRequest, ParseIdRequest};
use tonic::transport::Endpoint;

use crate::common::frames::{self, HEALTH};
use crate::common::{Datagrams, Peer, Server};
use crate::http;

/// Asks over every door, for everything there is, and for something that is not there.
#[track_caller]
pub(crate) fn ask_all(server: &Server) {
    let mut peer = Peer::connect(server.tcp);
    peer.generate(1);
    let ids = peer.generate(400);
    let id = ids[0].first().get();
    for request in [frames::parse(1, id), frames::frame(HEALTH, 2, &[]), frames::info(3)] {
        assert_eq!(peer.ask(&request).error(), None);
    }
    assert!(peer.ask(&frames::generate(4, 0)).error().is_some(), "no ID is no batch");

    let asked = frames::padded(frames::generate(5, 1), 64);
    assert_eq!(frames::id_count(&Datagrams::connect(server.udp()).ask(&asked).runs()), 1);

    let parse = format!("/api/v1/parse?id={id}");
    for path in ["id", "ids?count=10", "health", "ready", "live", "openapi.json"] {
        http::get(server.http(), &format!("/api/v1/{path}"), "*/*");
    }
    http::get(server.http(), &parse, "*/*");
    assert_eq!(http::try_get(server.http(), "/nowhere", "*/*").unwrap().status, 404);
    call_all(server, id);
}

/// The door of gRPC.
#[track_caller]
fn call_all(server: &Server, id: u64) {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let batch = |count| GenerateBatchRequest { count, ..Default::default() };
        let mut client = IdGeneratorClient::new(endpoint.connect().await.unwrap());
        client.generate_id(GenerateIdRequest::default()).await.unwrap();
        client.generate_batch(batch(10)).await.unwrap();
        client.generate_batch(batch(0)).await.unwrap_err();
        let parse = ParseIdRequest { id: id.try_into().unwrap(), ..Default::default() };
        client.parse_id(parse).await.unwrap();
        client.health_check(HealthCheckRequest {}).await.unwrap();
    });
}
