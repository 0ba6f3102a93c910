//! The `coreflake` command.

use std::process::ExitCode;

use coreflake::args::{Cli, Command};
use coreflake::commands::{check, generate, parse, range, serve, slots};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_on_panic();
    match Cli::read(std::env::args_os()).command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Parse(args) => parse::run(&args),
        Command::Range(args) => range::run(&args),
        Command::Slots(args) => slots::run(&args),
    }
}

/// A thread that panics takes the process with it: half a server would go on with half its
/// promises.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
