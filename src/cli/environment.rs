//! Variables whose flags do not mean the same to every command. All others are plain names at their flags.
//!
//! `OVERNIGHT_FORMAT=html` is for `report`: it must not make `models` an error, which knows no such format. `--output` of
//! `export`, `report`, `compare` and `init`, `--model` of `init` and `--set` of `sim` have no variable at all: they are not what
//! `OVERNIGHT_OUTPUT`, `OVERNIGHT_MODEL` and `OVERNIGHT_SET` say of a run.

use std::env;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, ValueEnum};

use super::args::{self, Args, CompareFormat, ExportAs, ModelsFormat, ReportFormat};

const FORMAT: &str = "format";
const OF_FORMAT: &str = "OVERNIGHT_FORMAT";

/// The variable for a `--format` of these values: where it holds one of them, and where it holds nobody's, as then it is an
/// error.
pub fn of_format<F: ValueEnum>() -> Option<&'static str> {
    let value = env::var(OF_FORMAT).ok().filter(|value| !value.is_empty())?;
    (knows::<F>(&value) || !is_anybodys(&value)).then_some(OF_FORMAT)
}

fn is_anybodys(format: &str) -> bool {
    knows::<CompareFormat>(format)
        || knows::<ExportAs>(format)
        || knows::<ModelsFormat>(format)
        || knows::<ReportFormat>(format)
}

fn knows<F: ValueEnum>(format: &str) -> bool {
    F::from_str(format, false).is_ok()
}

/// The variable for a batch's calls in flight. `OVERNIGHT_CONCURRENCY` counts as well, which a batch calls otherwise.
pub fn of_max_inflight() -> &'static str {
    let own = "OVERNIGHT_MAX_INFLIGHT";
    let other = "OVERNIGHT_CONCURRENCY";
    if env::var_os(own).is_none() && env::var_os(other).is_some() { other } else { own }
}

/// What does not go together is an error only where it was written: what the environment says is no more than a default, and
/// in nobody's way.
///
/// # Errors
/// `--failed`, which has the input's own format, with `--format`; `--id` with a row's number; `--watch` without a job.
pub fn check(matches: &ArgMatches, command: &mut Command) -> Result<(), clap::Error> {
    let Some((name, of)) = matches.subcommand() else { return Ok(()) };
    let (kind, message) = match name {
        "export" if is_written(of, "failed") && is_written(of, FORMAT) => {
            (ErrorKind::ArgumentConflict, "the argument '--failed' cannot be used with '--format <FORMAT>'")
        }
        "explain" if is_written(of, "id") && is_written(of, "row") => {
            (ErrorKind::ArgumentConflict, "the argument '--id <ID>' cannot be used with '[ROW]'")
        }
        "status" if is_written(of, "watch") && !is_written(of, "job") => {
            (ErrorKind::MissingRequiredArgument, "the argument '--watch' needs '[JOB]'")
        }
        _ => return Ok(()),
    };
    Err(command.error(kind, message))
}

fn is_written(of: &ArgMatches, id: &str) -> bool {
    of.value_source(id) == Some(ValueSource::CommandLine)
}

/// A format that was written is of the rows that are done: then `OVERNIGHT_FAILED` says nothing.
pub fn settle(args: &mut Args, matches: &ArgMatches) {
    if let (args::Command::Export(export), Some((_, of))) = (&mut args.command, matches.subcommand()) {
        export.failed &= !is_written(of, FORMAT);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::args::Args;

    /// Their names say something else of other commands, or nobody would want it for more than one call.
    const OTHERWISE: [&str; 7] = [
        "export --output",
        "report --output",
        "compare --output",
        "init --output",
        "init --model",
        "sim --set",
        "init --example",
    ];
    /// By [`super::of_format`].
    const BY_VALUE: &str = "--format";
    const MAX_INFLIGHT: &str = "batch --max-inflight";

    #[test]
    fn every_long_flag_has_its_variable() {
        let mut command = Args::command();
        command.build();
        let commands = command.get_subcommands().chain([&command]);
        let mut without = Vec::new();
        for one in commands {
            for arg in one.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
                let variable = format!("OVERNIGHT_{}", long.to_uppercase().replace('-', "_"));
                let flag = format!("{} --{long}", one.get_name());
                match arg.get_env() {
                    // By which one is set where the test runs.
                    Some(known) if flag == MAX_INFLIGHT => assert_eq!(known, super::of_max_inflight()),
                    Some(known) => assert_eq!(known, variable.as_str(), "{flag}"),
                    None if flag.ends_with(BY_VALUE) => {
                        for value in arg.get_possible_values() {
                            assert!(super::is_anybodys(value.get_name()), "{flag} {}", value.get_name());
                        }
                    }
                    None => without.push(flag.clone()),
                }
                assert!(arg.get_env().is_none() || arg.is_hide_env_set(), "{flag}: told once for all");
            }
        }
        without.sort_unstable();
        let mut expected = OTHERWISE;
        expected.sort_unstable();
        assert_eq!(without, expected);
    }
}
