//! One TCP connection: bytes to frames and back, until it breaks.

use std::io;
use std::pin::pin;
use std::time::Duration;

use coreflake_protocol::frame::{self, RESPONSE_SIZE_MAX, Split};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::builder::Config;
use crate::call::{Call, Failure, Lost};
use crate::pipeline::Pipeline;

/// How many waiting calls are taken at once and written with one system call. So many requests take
/// 8 KB and a few microseconds to encode, in which replies wait.
pub(crate) const BATCH_MAX: usize = 256;

/// How much longer than a call the connection waits for the first sign of life: the oldest call has
/// then reported its own timeout, and does not report the loss that follows from it.
const SILENCE_GRACE: Duration = Duration::from_millis(5);

/// A connection and everything on its way through it.
pub(crate) struct Connection {
    stream: TcpStream,
    pipeline: Pipeline,
    output: Vec<u8>,
    /// How many bytes of `output` have been sent.
    output_sent: usize,
    input: Input,
    in_flight_max: usize,
    silence_max: Duration,
}

/// Received bytes that are no whole frame yet. The buffer holds the longest frame there is, so it
/// never grows and is never full of less than one.
struct Input {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, config: &Config) -> Self {
        Self {
            stream,
            pipeline: Pipeline::default(),
            output: Vec::with_capacity(BATCH_MAX * 32),
            output_sent: 0,
            input: Input { bytes: vec![0; RESPONSE_SIZE_MAX].into(), filled: 0 },
            in_flight_max: config.in_flight_max,
            silence_max: config.call_timeout + SILENCE_GRACE,
        }
    }

    /// Carries the calls in `batch` and those behind `calls` until the connection is of no use any
    /// more, and says why; or until every client is gone. `answered` runs when replies came.
    pub(crate) async fn run(
        &mut self,
        batch: &mut Vec<Call>,
        calls: &mut mpsc::Receiver<Call>,
        mut answered: impl FnMut(),
    ) -> Option<Failure> {
        let Self { stream, pipeline, output, output_sent, input, in_flight_max, silence_max } =
            self;
        let (mut reader, mut writer) = stream.split();
        // While calls wait, it goes off no later than `silence_max` after the last reply. It is not
        // set anew for each reply, only when it went off too early.
        let mut watchdog = pin!(sleep_until(Instant::now()));
        let mut watching = false;
        let mut quiet_since = Instant::now();
        loop {
            if !batch.is_empty() && pipeline.len() == 0 {
                quiet_since = Instant::now();
            }
            for call in batch.drain(..).filter(|call| !call.is_abandoned()) {
                pipeline.push(call, output);
            }
            if !watching && pipeline.len() > 0 {
                watchdog.as_mut().reset(quiet_since + *silence_max);
                watching = true;
            }
            // What is taken is written before more is taken: a slow server is felt by the callers.
            let room = match output.is_empty() {
                true => BATCH_MAX.min(*in_flight_max - pipeline.len()),
                false => 0,
            };
            // In this order, because a request on its way is worth more than a reply that is read a
            // moment later. None can starve another: each needs what a later one brings.
            tokio::select! {
                biased;
                sent = writer.write(&output[*output_sent..]), if !output.is_empty() => match sent {
                    Ok(0) => return Some(Failure::Lost(Lost::Closed)),
                    Ok(size) => *output_sent += size,
                    Err(error) => return Some(Failure::Lost(Lost::Io(error.into()))),
                },
                size = reader.read(input.free()) => match input.received(size, pipeline) {
                    Ok(false) => {}
                    Ok(true) => {
                        quiet_since = Instant::now();
                        answered();
                    }
                    Err(failure) => return Some(failure),
                },
                count = calls.recv_many(batch, room), if room > 0 => if count == 0 {
                    return None;
                },
                () = watchdog.as_mut(), if watching => {
                    let due_at = quiet_since + *silence_max;
                    if pipeline.len() == 0 {
                        watching = false;
                    } else if due_at <= Instant::now() {
                        return Some(Failure::Lost(Lost::Silent(*silence_max)));
                    } else {
                        watchdog.as_mut().reset(due_at);
                    }
                },
            }
            if *output_sent == output.len() {
                output.clear();
                *output_sent = 0;
            }
        }
    }

    /// Tells every call that is still on the connection why it gets no answer, and closes it.
    pub(crate) fn close(mut self, failure: &Failure) {
        self.pipeline.fail(failure);
    }
}

impl Input {
    /// Where the next bytes go; never empty.
    fn free(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Takes every whole frame from the front after a read of `size` into [`free`](Self::free), and
    /// says whether there was any.
    fn received(
        &mut self,
        size: io::Result<usize>,
        pipeline: &mut Pipeline,
    ) -> Result<bool, Failure> {
        match size {
            Ok(0) => return Err(Failure::Lost(Lost::Closed)),
            Ok(size) => self.filled += size,
            Err(error) => return Err(Failure::Lost(Lost::Io(error.into()))),
        }
        let mut start = 0;
        loop {
            match frame::split(&self.bytes[start..self.filled], RESPONSE_SIZE_MAX) {
                Ok(Split::Complete { frame, consumed }) => {
                    pipeline.accept(&frame)?;
                    start += consumed;
                }
                Ok(Split::Incomplete) => break,
                Err(error) => return Err(Failure::Lost(Lost::Frame(error))),
            }
        }
        self.bytes.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(start > 0)
    }
}
