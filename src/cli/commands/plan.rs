//! `overnight plan`, and `overnight run --dry-run`.

use std::path::Path;

use overnight::engine::{Subset, survey};
use overnight::job::{self, JobArgs};

use crate::cli::args::{Global, PlanArgs};
use crate::cli::{fail, print, screen};

/// Tells what a run would do; gives the exit code.
pub fn execute(args: &PlanArgs, global: &Global) -> u8 {
    load_and_tell(&job_args(args), &args.job, &args.part.subset(), global)
}

/// Loads a job and tells what a run of it would do; gives the exit code. `named`: what the user calls the job.
pub(super) fn load_and_tell(job: &JobArgs, named: &Path, subset: &Subset, global: &Global) -> u8 {
    let job =
        JobArgs { config: global.config.clone(), prices: global.prices.clone(), keys_optional: true, ..job.clone() };
    let job = match job::load(&job, &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(named), global),
    };
    match survey(job, subset) {
        Ok(survey) if global.json => {
            print(&format!("{}\n", serde_json::to_string(&survey).unwrap_or_default()));
            0
        }
        Ok(survey) => {
            print(&screen::survey_text(&survey));
            0
        }
        Err(error) => fail(&error, error.exit_code(), Some(named), global),
    }
}

fn job_args(args: &PlanArgs) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        set: args.changes.set.clone(),
        input: args.part.input.clone(),
        output: args.part.output.clone(),
        model: args.changes.model.clone(),
        routes: args.part.routes.clone(),
        concurrency: args.changes.concurrency,
        max_cost: args.part.max_cost.clone(),
        ..JobArgs::default()
    }
}
