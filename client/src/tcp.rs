//! The background task of a TCP client: keeps one connection as long as somebody needs it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::builder::Config;
use crate::call::{Call, Failure};
use crate::connect;
use crate::connection::{BATCH_MAX, Connection};
use crate::link::Link;

/// Runs until every client is gone. There is no connection before the first call, and after a loss
/// no new one before the next call.
pub(crate) async fn run(config: Arc<Config>, link: Arc<Link>, mut calls: mpsc::Receiver<Call>) {
    let mut rng = fastrand::Rng::new();
    let mut backoff = Backoff::default();
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let batch_max = BATCH_MAX.min(config.in_flight_max);
    loop {
        // Nobody connects for callers that have gone. Others may stay in line meanwhile: their own
        // deadline tells them.
        batch.retain(|call: &Call| !call.is_abandoned());
        if batch.is_empty() && calls.recv_many(&mut batch, batch_max).await == 0 {
            return;
        }
        match connect::tcp(&config).await {
            Ok(stream) => {
                link.up();
                let mut connection = Connection::new(stream, &config);
                // Only an answer proves the server: one that accepts and closes at once is not to
                // be asked in a tight loop.
                let ended = connection.run(&mut batch, &mut calls, || backoff.reset()).await;
                let Some(failure) = ended else { return };
                link.down(None);
                connection.close(&failure);
            }
            Err(error) => {
                if let Some(refusal) = error.final_refusal() {
                    let failure = Failure::Refused(refusal.clone());
                    fail(&mut batch, &mut calls, &failure);
                }
                link.down(Some(error));
            }
        }
        sleep(backoff.delay(&mut rng)).await;
    }
}

/// Tells every call that waits for a connection, in hand or in line, that none will come.
fn fail(batch: &mut Vec<Call>, calls: &mut mpsc::Receiver<Call>, failure: &Failure) {
    for call in batch.drain(..) {
        call.finish(Err(failure.clone()));
    }
    // Not more than the line holds: callers that come back at once wait for the next connection.
    for _ in 0..calls.max_capacity() {
        let Ok(call) = calls.try_recv() else { return };
        call.finish(Err(failure.clone()));
    }
}
