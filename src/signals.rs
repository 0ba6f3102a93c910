//! SIGTERM and SIGINT: the first asks the server to drain, the second ends the process.

use core::future::Future;
use std::io;
use std::sync::mpsc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::info;

/// Listens from now on, in a thread of its own: the control plane may be busy when a signal comes.
/// The future is ready at the first signal.
///
/// # Errors
///
/// When the system gives no thread or no handler.
pub(crate) fn listen() -> io::Result<impl Future<Output = ()>> {
    let (first_sender, first) = oneshot::channel();
    let (ready_sender, ready) = mpsc::channel();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return ready_sender.send(Err(error)).unwrap_or(()),
        };
        runtime.block_on(async {
            match Signals::install() {
                Ok(signals) => {
                    let _ = ready_sender.send(Ok(()));
                    signals.follow(first_sender).await;
                }
                Err(error) => ready_sender.send(Err(error)).unwrap_or(()),
            }
        });
    })?;
    ready.recv().map_err(|_| io::Error::other("the thread for signals ended"))??;
    Ok(async {
        let _ = first.await;
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn follow(mut self, first: oneshot::Sender<()>) {
        let kind = self.next().await;
        info!(signal = kind.as_raw_value(), "draining; a second signal ends at once");
        let _ = first.send(());
        let kind = self.next().await;
        // As a shell reports a process that a signal has ended.
        std::process::exit(128 + kind.as_raw_value());
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
