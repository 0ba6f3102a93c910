//! Commands that end by themselves.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::scratch::new_path;

/// What is left of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command under test with an environment that says nothing, but for a state directory and
/// ports that nobody else has.
pub(crate) fn coreflake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coreflake"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("COREFLAKE_HTTP", "127.0.0.1:0").env("COREFLAKE_GRPC", "127.0.0.1:0");
    command.env(STATE, new_path("state"));
    command
}

/// The variable that says where state belongs.
const STATE: &str = "XDG_STATE_HOME";

/// The state directory that [`coreflake`] chose for a command. It goes away with the process.
pub(crate) fn state_directory(command: &Command) -> Option<PathBuf> {
    let mut variables = command.get_envs();
    variables.find(|(name, _)| *name == STATE).and_then(|(_, value)| value).map(PathBuf::from)
}

/// Runs `coreflake` with these arguments.
pub(crate) fn run(args: &[&str]) -> Finished {
    feed(coreflake().args(args), b"")
}

/// Runs a command with `input` as its standard input, for a bounded time.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Finished {
    feed_within(command, input, PATIENCE)
}

/// The same for a command that has a lot to do.
pub(crate) fn feed_within(command: &mut Command, input: &[u8], limit: Duration) -> Finished {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guard(piped.spawn().unwrap());
    let (mut stdin, input) = (child.0.stdin.take().unwrap(), input.to_vec());
    // Whoever does not read its input to the end may close it.
    thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = read(child.0.stdout.take().unwrap());
    let stderr = read(child.0.stderr.take().unwrap());
    let deadline = Instant::now() + limit;
    let rest = |pipe: mpsc::Receiver<String>| {
        pipe.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .unwrap_or_else(|error| panic!("{command:?} has {limit:?}: {error}"))
    };
    let (stdout, stderr) = (rest(stdout), rest(stderr));
    if let Some(state) = state_directory(command) {
        let _ = std::fs::remove_dir_all(state);
    }
    Finished { status: child.0.wait().unwrap(), stdout, stderr }
}

/// Reads to the end, beside us.
fn read(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

impl Finished {
    /// Checks the exit code, and that nothing went wrong inside.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert!(!format!("{}{}", self.stdout, self.stderr).contains('\x1b'), "colour: {self:?}");
        self
    }

    /// Checks that standard error names all of `words`.
    #[track_caller]
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not said: {}", self.stderr);
        }
        self
    }
}

/// A process that does not outlive its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
