//! One run from the first connection to the findings.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coreflake_protocol::Info;
use crossbeam_channel::bounded;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::again::Again;
use crate::args::{Args, Rate};
use crate::clock::{Clock, nanoseconds};
use crate::grpc;
use crate::ledger::Ledger;
use crate::plan::{Cursor, Plan};
use crate::progress::{self, Counters};
use crate::report::Findings;
use crate::schedule::{Pace, Phases, Schedule};
use crate::stats::Tally;
use crate::stop::Stop;
use crate::target::{Connected, LinkSettings, Scheme};
use crate::verify;
use crate::worker::{BREAKAGES_MAX, Outcome, Worker};

/// Between the last preparation and the first request, so that every thread is there in time.
const START_DELAY: Duration = Duration::from_millis(20);

/// Why there are no findings.
#[derive(Debug)]
pub(crate) enum RunError {
    /// The message names the target and the cause.
    Unreachable(String),
    /// This machine did not give what the run needs.
    System(io::Error),
}

/// The connections of one thread.
enum Hand {
    Sockets(Vec<Connected>),
    Grpc(grpc::Hand),
}

/// Runs the load that `args` describe.
pub(crate) fn run(args: &Args, token: Option<&[u8]>, stop: &Stop) -> Result<Findings, RunError> {
    raise_open_files_limit();
    let (hands, opening) = connect(args, token).map_err(RunError::Unreachable)?;
    let again = args.reconnect.then(|| Again::new(&args.target, settings(args), token));
    let (outcomes, proof) = drive(args, hands, again.as_ref(), stop).map_err(RunError::System)?;

    let warmup_ns = nanoseconds(args.warmup);
    // As long as one thread still had a connection, the others had a plan to follow.
    let ended_ns = outcomes.iter().map(|outcome| outcome.ended_ns).max().unwrap_or(0);
    let mut tally = Tally::new();
    let mut closing = Vec::new();
    let mut breakages = Vec::new();
    let mut answering = 0;
    for outcome in outcomes {
        tally.add(&outcome.tally);
        closing.extend(outcome.closing);
        answering += outcome.answering;
        breakages.extend(outcome.breakages);
        if let Rate::PerSecond(rate) = args.rate {
            let plan = Plan::new(rate, args.connections);
            let unsent = outcome
                .passed
                .into_iter()
                .map(|(connection, passed)| plan.unsent(connection, passed, warmup_ns, ended_ns));
            tally.unsent += unsent.sum::<u64>();
        }
    }
    breakages.truncate(BREAKAGES_MAX);
    let measured_ns = ended_ns.saturating_sub(warmup_ns);
    Ok(Findings {
        tally,
        proof,
        measured_ns,
        opening,
        closing,
        answering,
        was_interrupted: stop.is_requested(),
        breakages,
    })
}

/// Makes the connections. The second part is the INFO of those that have one.
fn connect(args: &Args, token: Option<&[u8]>) -> Result<(Vec<Hand>, Vec<Info>), String> {
    let Args { target, connections, .. } = args;
    let settings = settings(args);
    let threads = args.thread_count();
    if target.scheme == Scheme::Grpc {
        let hands = grpc::connect(target, *connections, threads, settings, token)?;
        return Ok((hands.into_iter().map(Hand::Grpc).collect(), Vec::new()));
    }
    let connected = target.connect(*connections, args.lane, settings, token)?;
    let opening = connected.iter().filter_map(|connected| connected.info).collect();
    let hands = deal(connected, threads).into_iter().map(Hand::Sockets);
    Ok((hands.collect(), opening))
}

/// What is the same on every link.
fn settings(args: &Args) -> LinkSettings {
    let pipeline = usize::try_from(args.pipeline).unwrap_or(usize::MAX);
    LinkSettings { kind: args.kind, count: args.count, pipeline }
}

/// Starts the threads, shows their progress and collects what they bring.
fn drive(
    args: &Args,
    hands: Vec<Hand>,
    again: Option<&Again>,
    stop: &Stop,
) -> io::Result<(Vec<Outcome>, Option<verify::Proof>)> {
    let threads = args.thread_count();
    let total = args.warmup + args.duration;
    let phases = Phases { warmup_ns: nanoseconds(args.warmup), end_ns: nanoseconds(total) };
    let (mut recorders, verifier) = if args.verify {
        let (recorders, verifier) = verify::start(threads)?;
        (recorders.into_iter(), Some(verifier))
    } else {
        (Vec::new().into_iter(), None)
    };
    let mut workers = Vec::new();
    for (thread, hand) in (0..threads).zip(hands) {
        let pace = match args.rate {
            Rate::PerSecond(rate) => {
                Pace::Open(Cursor::new(Plan::new(rate, args.connections), thread, threads))
            }
            Rate::Max => Pace::Closed,
        };
        let ledger = Ledger::new(phases.warmup_ns, recorders.next());
        let counters = Arc::new(Counters::default());
        let numbers = (thread..args.connections).step_by(threads as usize).map(u64::from);
        let schedule = Schedule::new(numbers, pace, phases, stop.clone());
        let body = body(hand, schedule, ledger, Arc::clone(&counters), again.cloned())?;
        workers.push((body, counters));
    }

    let clock = Clock::starting_in(START_DELAY);
    let (running, finished) = bounded::<()>(0);
    let mut counters = Vec::new();
    let mut handles = Vec::new();
    for (number, (worker, counter)) in workers.into_iter().enumerate() {
        let running = running.clone();
        let body = move || {
            let outcome = worker(&clock);
            drop(running);
            outcome
        };
        handles.push(thread::Builder::new().name(format!("loadgen-{number}")).spawn(body)?);
        counters.push(counter);
    }
    drop(running);
    progress::show(&counters, &clock, total, &finished);

    let outcomes = handles.into_iter().map(join).collect::<io::Result<_>>()?;
    Ok((outcomes, verifier.map(join)))
}

/// What one thread does.
type Body = Box<dyn FnOnce(&Clock) -> io::Result<Outcome> + Send>;

fn body(
    hand: Hand,
    schedule: Schedule,
    ledger: Ledger,
    counters: Arc<Counters>,
    again: Option<Again>,
) -> io::Result<Body> {
    Ok(match hand {
        Hand::Sockets(connections) => {
            let worker = Worker::new(connections, schedule, ledger, counters, again)?;
            Box::new(move |clock| worker.run(clock))
        }
        Hand::Grpc(hand) => Box::new(move |clock| hand.run(schedule, ledger, counters, clock)),
    })
}

/// Connection `c` goes to thread `c mod threads`, as the plan has it.
fn deal(connected: Vec<Connected>, threads: u32) -> Vec<Vec<Connected>> {
    let mut hands: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    let dealt = hands.len();
    for (number, connected) in connected.into_iter().enumerate() {
        hands[number % dealt].push(connected);
    }
    hands
}

/// A thread that panicked has broken an assumption of this program: the process follows it.
fn join<T>(handle: thread::JoinHandle<T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Best effort: thousands of connections need more descriptors than the usual soft limit.
fn raise_open_files_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
