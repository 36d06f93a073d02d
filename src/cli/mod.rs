//! Level 4: arguments, commands and the screen. Sees only the library's public API, and alone draws.

mod args;
mod commands;
mod environment;
mod events;
mod examples;
mod logs;
mod scheduling;
mod screen;
mod signals;
mod starter;
mod vllm;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use args::{Command, Global};

/// Parses the command line, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let (args, engine_flags) = vllm::parse();
    let code = match &args.command {
        Command::Run(run) => commands::run::execute(run, &args.global),
        Command::Plan(plan) => commands::plan::execute(plan, &args.global),
        Command::Explain(explain) => commands::explain::execute(explain, &args.global),
        Command::Batch(batch) => commands::batch::execute(batch, &engine_flags, &args.global),
        Command::Compare(compare) => commands::compare::execute(compare, &args.global),
        Command::Control(control) => commands::control::execute(control, &args.global),
        Command::Report(report) => commands::report::execute(report, &args.global),
        Command::Status(status) => commands::status::execute(status, &args.global),
        Command::Errors(errors) => commands::errors::execute(errors, &args.global),
        Command::Retry(retry) => commands::retry::execute(retry, &args.global),
        Command::Export(export) => commands::export::execute(export, &args.global),
        Command::Models(models) => commands::models::execute(models, &args.global),
        Command::Prune(prune) => commands::prune::execute(prune, &args.global),
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

/// Tells why a command did not do what it was asked to, also as one JSON object on a line where `--json` was asked for;
/// gives the exit code.
fn fail(error: &dyn std::fmt::Display, exit_code: u8, job: Option<&Path>, global: &Global) -> u8 {
    fail_by(print, error, exit_code, job, global)
}

/// As [`fail`], where standard output carries data.
fn fail_beside(error: &dyn std::fmt::Display, exit_code: u8, job: Option<&Path>, global: &Global) -> u8 {
    fail_by(print_beside, error, exit_code, job, global)
}

fn fail_by(print: fn(&str), error: &dyn std::fmt::Display, exit_code: u8, job: Option<&Path>, global: &Global) -> u8 {
    print_error(error);
    if global.json {
        print(&format!("{}\n", failure(&error.to_string(), exit_code, job)));
    }
    exit_code
}

/// An error for programs. A hint that is not the end of it stays where it stands: it is of one problem among others.
fn failure(text: &str, exit_code: u8, job: Option<&Path>) -> serde_json::Value {
    let parts = text.split_once("\n  hint: ").filter(|(_, hint)| !hint.contains('\n'));
    let (error, hint) = parts.map_or((text, None), |(error, hint)| (error, Some(hint)));
    serde_json::json!({ "job_file": job, "exit_code": exit_code, "error": error, "hint": hint })
}

/// Prints an error to standard error.
fn print_error(error: &dyn std::fmt::Display) {
    // As in `print`.
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_for_programs_has_its_hint_apart_where_it_has_one() {
        let told = |text: &str| failure(text, 3, Some(Path::new("a.toml")));
        let whole = |error: &str, hint: Option<&str>| json!({ "job_file": "a.toml", "exit_code": 3, "error": error, "hint": hint });
        assert_eq!(told("no"), whole("no", None));
        assert_eq!(told("no\n  hint: yes"), whole("no", Some("yes")));
        let two = "no\n  hint: yes\nnor\n  hint: this";
        assert_eq!(told(two), whole(two, None));
    }
}
