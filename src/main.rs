//! The `coreflake` command.

use std::process::ExitCode;

use clap::Parser;
use coreflake::args::{Cli, Command};
use coreflake::commands::{generate, parse, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_on_panic();
    let cli = Cli::parse();
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Generate(args)) => generate::run(&args),
        Some(Command::Parse(args)) => parse::run(&args),
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
