//! One HTTP/2 connection as the stubs want it. The channel of tonic would connect again by itself,
//! and queue between here and the socket: what is measured would not be one connection.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower::Service;

/// The sending end of a connection; the runtime it was made in moves the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    sender: SendRequest<Body>,
    streams_max: Arc<AtomicUsize>,
}

impl Channel {
    /// Connects, and lets the current runtime serve the connection.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let handshake = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        let streams_max = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let mut connection = Box::pin(connection);
        let published = Arc::clone(&streams_max);
        tokio::spawn(poll_fn(move |context| {
            // What breaks it, every request on it brings back as well.
            let ended = connection.as_mut().poll(context).map(|_| ());
            published.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        }));
        Ok(Self { sender, streams_max })
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// How many requests the server lets be out at a time. More would wait here, unseen.
    pub(crate) fn streams_max(&self) -> usize {
        self.streams_max.load(Ordering::Relaxed)
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
