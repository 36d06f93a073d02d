//! `overnight compare`.

use std::path::Path;

use overnight::engine::{Comparing, Comparison, RunError, RunOptions, compare};
use overnight::job::{self, Job, JobArgs, JobError};
use overnight::store::StoreError;

use super::report::replace;
use super::run::{if_locked, is_wrong, on_screen};
use crate::cli::args::{CompareArgs, CompareFormat, Global, LockedMode};
use crate::cli::{fail, print, screen};

/// Puts the sample through the models and tells how they compare; gives the exit code.
pub fn execute(args: &CompareArgs, global: &Global) -> u8 {
    let (job, as_written) = match jobs(args, global) {
        Ok(jobs) => jobs,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    let options = RunOptions { if_locked: if_locked(args.if_locked), ..RunOptions::default() };
    let comparing = Comparing { as_written, sample: args.sample };
    match on_screen(options, None, global, |options| compare(job, comparing, options)) {
        Ok(comparison) => tell(&comparison, args, global),
        Err(RunError::Store(StoreError::Locked { .. })) if args.if_locked == LockedMode::Skip => 0,
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

/// The job with the models, and as it is without them.
fn jobs(args: &CompareArgs, global: &Global) -> Result<(Job, Job), JobError> {
    let env = |name: &str| std::env::var(name).ok();
    let compared = JobArgs {
        job_file: args.job.clone(),
        config: global.config.clone(),
        set: args.set.clone(),
        input: args.input.clone(),
        models: args.models.clone(),
        concurrency: args.concurrency,
        max_cost: args.max_cost.clone(),
        ..JobArgs::default()
    };
    // Its own models are not asked.
    let as_written = JobArgs { models: Vec::new(), keys_optional: true, ..compared.clone() };
    Ok((job::load(&compared, &env)?, job::load(&as_written, &env)?))
}

fn tell(comparison: &Comparison, args: &CompareArgs, global: &Global) -> u8 {
    let format = if global.json { CompareFormat::Json } else { args.format };
    let text = match format {
        CompareFormat::Json => format!("{}\n", serde_json::to_string(comparison).unwrap_or_default()),
        CompareFormat::Table => screen::comparison_text(comparison),
        CompareFormat::Markdown => screen::comparison_markdown(comparison),
    };
    let file = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = file {
        if let Err(error) = replace(path, &text) {
            let message =
                format!("cannot write {}: {error}\n  hint: the answers are kept; another -o FILE", path.display());
            return fail(&message, 1, Some(&args.job), global);
        }
    } else if format == CompareFormat::Json || !global.quiet || is_wrong(&comparison.summary) {
        print(&text);
    }
    comparison.exit_code
}
