//! Variables whose flags do not mean the same to every command. All others stand beside their flags.
//!
//! `OVERNIGHT_FORMAT=html` is for `report`: it must not make `models` an error, which knows no such format. `--output` of
//! `export`, `report`, `compare` and `init`, `--model` of `init` and `--set` of `sim` have no variable at all: they are not what
//! `OVERNIGHT_OUTPUT`, `OVERNIGHT_MODEL` and `OVERNIGHT_SET` say of a run.

use std::env;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::args::{self, Args};

const FORMAT: &str = "format";
const OF_FORMAT: &str = "OVERNIGHT_FORMAT";

/// The command line, with `OVERNIGHT_FORMAT` for those commands that know its value, and for all where none does: then it is
/// an error. `OVERNIGHT_CONCURRENCY` counts for a batch as well, which calls it otherwise.
pub fn with_variables(command: Command) -> Command {
    let command = command.mut_subcommand("batch", |batch| {
        let other = env::var_os("OVERNIGHT_MAX_INFLIGHT").is_none() && env::var_os("OVERNIGHT_CONCURRENCY").is_some();
        if other { batch.mut_arg("max_inflight", |arg| arg.env("OVERNIGHT_CONCURRENCY")) } else { batch }
    });
    let Some(value) = env::var(OF_FORMAT).ok().filter(|value| !value.is_empty()) else { return command };
    let of_format =
        |command: &Command| command.get_arguments().find(|arg| arg.get_id() == FORMAT).map(|arg| knows(arg, &value));
    let known: Vec<(String, bool)> =
        command.get_subcommands().filter_map(|one| Some((one.get_name().to_owned(), of_format(one)?))).collect();
    let by_none = known.iter().all(|(_, knows)| !knows);
    let names = known.into_iter().filter(|(_, knows)| *knows || by_none);
    names.fold(command, |command, (name, _)| {
        command.mut_subcommand(name, |one| one.mut_arg(FORMAT, |arg| arg.env(OF_FORMAT).hide_env(true)))
    })
}

fn knows(format: &Arg, value: &str) -> bool {
    format.get_possible_values().iter().any(|possible| possible.matches(value, false))
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
    /// By [`super::with_variables`].
    const BY_VALUE: &str = "--format";

    #[test]
    fn every_long_flag_has_its_variable() {
        let command = Args::command();
        let commands = command.get_subcommands().chain([&command]);
        let mut without = Vec::new();
        for one in commands {
            for arg in one.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else { continue };
                let variable = format!("OVERNIGHT_{}", long.to_uppercase().replace('-', "_"));
                let flag = format!("{} --{long}", one.get_name());
                match arg.get_env() {
                    Some(known) => assert_eq!(known, variable.as_str(), "{flag}"),
                    None if flag.ends_with(BY_VALUE) => {}
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
