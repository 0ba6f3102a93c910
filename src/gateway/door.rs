//! Moves bytes between the peers of the gateway and its services. All limits of HTTP are set here.

use core::future::Future;
use core::pin::{Pin, pin};
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::admission::Admission;
use crate::counters::LaneCounters;
use crate::gateway::stream::{DoorStream, Pace};
use crate::limits::{
    GATEWAY_BUFFER_SIZE, GATEWAY_HEADERS_MAX, GATEWAY_HEADERS_SIZE_MAX, GATEWAY_IDLE_TIMEOUT,
    GRPC_CONNECTION_WINDOW_SIZE, GRPC_ERRORS_MAX, GRPC_FRAME_SIZE_MAX, GRPC_HEADERS_SIZE_MAX,
    GRPC_PING_INTERVAL, GRPC_PING_TIMEOUT, GRPC_RESETS_MAX, GRPC_SEND_BUFFER_SIZE,
    GRPC_STREAM_WINDOW_SIZE, GRPC_STREAMS_MAX,
};
use crate::net::acceptor::accept;

/// What both doors of a gateway thread have in common.
#[derive(Clone, Debug)]
pub(crate) struct Porter {
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<LaneCounters>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl Porter {
    /// Serves HTTP/1.1 until the server stops.
    pub(crate) async fn serve_http1(&self, listener: TcpListener, router: Router) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // As long as a connection may rest; how long a request may take to come is the
            // stream's affair.
            .header_read_timeout(GATEWAY_IDLE_TIMEOUT)
            .max_headers(GATEWAY_HEADERS_MAX)
            .max_header_size(GATEWAY_HEADERS_SIZE_MAX)
            .max_buf_size(GATEWAY_BUFFER_SIZE)
            // A peer that has sent its last request still gets the reply.
            .half_close(true);
        self.accept(listener, Pace::Request, |io| {
            let connection = http.serve_connection(io, TowerToHyperService::new(router.clone()));
            drive(connection, http1::Connection::graceful_shutdown, self.stopping.clone())
        })
        .await;
    }

    /// Serves HTTP/2 without TLS, as gRPC speaks it, until the server stops.
    pub(crate) async fn serve_http2(&self, listener: TcpListener, router: Router) {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(GRPC_STREAMS_MAX)
            .max_header_list_size(GRPC_HEADERS_SIZE_MAX)
            .max_pending_accept_reset_streams(GRPC_RESETS_MAX)
            .max_local_error_reset_streams(GRPC_ERRORS_MAX)
            .max_frame_size(GRPC_FRAME_SIZE_MAX)
            .max_send_buf_size(GRPC_SEND_BUFFER_SIZE)
            .initial_stream_window_size(GRPC_STREAM_WINDOW_SIZE)
            .initial_connection_window_size(GRPC_CONNECTION_WINDOW_SIZE)
            .keep_alive_interval(GRPC_PING_INTERVAL)
            .keep_alive_timeout(GRPC_PING_TIMEOUT);
        self.accept(listener, Pace::Handshake, |io| {
            let connection = http.serve_connection(io, TowerToHyperService::new(router.clone()));
            drive(connection, http2::Connection::graceful_shutdown, self.stopping.clone())
        })
        .await;
    }

    async fn accept<F: Future<Output = ()> + 'static>(
        &self,
        listener: TcpListener,
        pace: Pace,
        serve: impl Fn(TokioIo<DoorStream>) -> F,
    ) {
        let begin = |stream, permit| {
            let stream = DoorStream::new(stream, pace, Arc::clone(&self.counters), permit);
            self.tasks.spawn_local(serve(TokioIo::new(stream)));
        };
        accept(&listener, &self.admission, &self.counters, &self.stopping, begin).await;
    }
}

/// Serves one connection; when the server stops, until it has answered what it has.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: fn(Pin<&mut C>),
    stopping: CancellationToken,
) {
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopping.cancelled() => {
            finish(connection.as_mut());
            connection.await
        }
    };
    if let Err(error) = result {
        // The peer has gone, was too slow, or speaks something else.
        debug!(%error, "connection closed");
    }
}
