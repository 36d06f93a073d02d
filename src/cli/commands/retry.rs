//! `overnight retry`.

use overnight::engine::{Retry, RunOptions};
use overnight::job::{self, Job, JobArgs, JobError};
use overnight::types::FailureKind;

use super::run::run_and_tell;
use super::standing::standing;
use crate::cli::args::{Global, LockedMode, RetryArgs};
use crate::cli::{fail, print, screen};

/// Not a failure: an answer that stopped at the output limit.
const TRUNCATED: &str = "truncated";

/// Sends failed rows again; gives the exit code.
pub fn execute(args: &RetryArgs, global: &Global) -> u8 {
    let mut retry = match wanted(args) {
        Ok(retry) => retry,
        Err(message) => return fail(&message, 2, Some(&args.job), global),
    };
    let env = |name: &str| std::env::var(name).ok();
    let asks_otherwise = args.changes.model.is_some() || !args.changes.set.is_empty();
    let jobs = || -> Result<_, JobError> {
        let as_written = JobArgs {
            job_file: args.job.clone(),
            config: global.config.clone(),
            prices: global.prices.clone(),
            ..JobArgs::default()
        };
        let job = JobArgs {
            set: args.changes.set.clone(),
            model: args.changes.model.clone(),
            concurrency: args.changes.concurrency,
            ..as_written.clone()
        };
        let as_written = asks_otherwise.then(|| job::load(&as_written, &env)).transpose()?;
        Ok((job::load(&job, &env)?, as_written))
    };
    match jobs() {
        Ok((job, _)) if has_never_run(&job) => {
            print(&screen::nothing_yet(&job.name, &args.job, global.json));
            0
        }
        Ok((job, as_written)) => {
            retry.as_written = as_written.map(Box::new);
            run_and_tell(
                &args.job,
                job,
                RunOptions { retry: Some(retry), ..RunOptions::default() },
                None,
                LockedMode::Fail,
                global,
            )
        }
        Err(error) => fail(&error, 3, Some(&args.job), global),
    }
}

/// Then there is nothing to retry, and no state to make. One that cannot be read is told of by the run.
fn has_never_run(job: &Job) -> bool {
    matches!(standing(&job.state), Ok(None))
}

/// The rows that the arguments mean; else what is wrong with them.
fn wanted(args: &RetryArgs) -> Result<Retry, String> {
    let mut retry = Retry { task: args.task.clone(), ..Retry::default() };
    for name in &args.kinds {
        let kinds = retry.kinds.get_or_insert_default();
        match FailureKind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => kinds.push(kind),
            None if name == TRUNCATED => retry.truncated = true,
            None => return Err(unknown_kind(name)),
        }
    }
    Ok(retry)
}

fn unknown_kind(name: &str) -> String {
    let names: Vec<&str> = FailureKind::ALL.into_iter().map(FailureKind::name).chain([TRUNCATED]).collect();
    format!("--kind {name}: there is no such kind of failure\n  hint: the kinds are: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Changes;

    fn retry(kinds: &[&str]) -> Result<Retry, String> {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        wanted(&RetryArgs { job: "j".into(), kinds, task: None, changes: Changes::default() })
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert_eq!(retry(&[]).unwrap().kinds, None);
        let some = retry(&["timeout", "truncated"]).unwrap();
        assert_eq!((some.kinds, some.truncated), (Some(vec![FailureKind::Timeout]), true));
        let truncated = retry(&["truncated"]).unwrap();
        assert_eq!((truncated.kinds, truncated.truncated), (Some(Vec::new()), true));
        assert!(retry(&["time"]).unwrap_err().starts_with("--kind time: there is no such kind"));
    }
}
