//! Level 4: arguments, commands and the screen. Sees only the library's public API, and alone draws.

mod args;
mod commands;
mod events;
mod examples;
mod logs;
mod screen;
mod signals;
mod starter;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Parses the command line, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let code = match &args.command {
        Command::Run(run) => commands::run::execute(run, &args.global),
        Command::Plan(plan) => commands::plan::execute(plan, &args.global),
        Command::Explain(explain) => commands::explain::execute(explain, &args.global),
        Command::Control(control) => commands::control::execute(control, &args.global),
        Command::Report(report) => commands::report::execute(report, &args.global),
        Command::Status(status) => commands::status::execute(status, &args.global),
        Command::Errors(errors) => commands::errors::execute(errors, &args.global),
        Command::Retry(retry) => commands::retry::execute(retry, &args.global),
        Command::Export(export) => commands::export::execute(export, &args.global),
        Command::Sim(sim) => commands::sim::execute(sim),
        Command::Init(init) => commands::init::execute(init, &args.global),
        Command::Schema => commands::schema::execute(),
        Command::Completions(completions) => commands::completions::execute(completions),
        Command::Man(man) => commands::man::execute(man),
    };
    ExitCode::from(code)
}

/// Prints to standard output; a closed pipe ends quietly, as for any filter.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    // There is nobody left to tell.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints to standard error, where standard output carries data.
fn print_beside(text: &str) {
    // As in `print`.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints an error to standard error.
fn print_error(error: &dyn std::fmt::Display) {
    // As in `print`.
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}
