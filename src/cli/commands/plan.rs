//! `overnight plan`, and `overnight run --dry-run`.

use std::num::{NonZeroU64, NonZeroUsize};

use overnight::engine::{Subset, survey};
use overnight::job::{self, JobArgs};

use crate::cli::args::{Global, PlanArgs};
use crate::cli::{print, print_error, screen};

/// Tells what a run would do; gives the exit code.
pub fn execute(args: &PlanArgs, global: &Global) -> u8 {
    let job = match job::load(&job_args(args, global), &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => {
            print_error(&error);
            return 3;
        }
    };
    let subset = Subset {
        limit: args.limit.map(NonZeroU64::get),
        sample: args.sample.map(NonZeroUsize::get),
        task: args.task.clone(),
        filter: args.filter.clone(),
    };
    match survey(job, &subset) {
        Ok(survey) if global.json => {
            print(&format!("{}\n", serde_json::to_string(&survey).unwrap_or_default()));
            0
        }
        Ok(survey) => {
            print(&screen::survey_text(&survey));
            0
        }
        Err(error) => {
            print_error(&error);
            error.exit_code()
        }
    }
}

fn job_args(args: &PlanArgs, global: &Global) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        config: global.config.clone(),
        set: args.set.clone(),
        input: args.input.clone(),
        output: args.output.clone(),
        model: args.model.clone(),
        routes: args.routes.clone(),
        concurrency: args.concurrency,
        max_cost: args.max_cost.clone(),
        keys_optional: true,
        ..JobArgs::default()
    }
}
