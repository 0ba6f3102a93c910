//! A server that speaks gRPC and is no etcd that would do.

use std::net::Ipv4Addr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Answers every call with a status that it is told, or with the message, in the protocol of gRPC.
pub(super) async fn impostor(status: &'static str, message: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let message = message.clone();
            let answer = hyper::service::service_fn(move |_| {
                let size = u32::try_from(message.len()).unwrap().to_be_bytes();
                let body = [&[0], size.as_slice(), &message].concat();
                let trailers = [("grpc-status", status)]
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                let trailers = hyper::HeaderMap::from_iter(trailers);
                let body = Full::new(Bytes::from(body)).with_trailers(async { Some(Ok(trailers)) });
                let response = hyper::Response::builder()
                    .header("content-type", "application/grpc")
                    .body(body)
                    .unwrap();
                async { Ok::<_, core::convert::Infallible>(response) }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    url
}
