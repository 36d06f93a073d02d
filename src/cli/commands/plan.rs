//! `overnight plan`, and `overnight run --dry-run`.

use overnight::engine::survey;
use overnight::job::{self, JobArgs};

use crate::cli::args::{Global, PlanArgs};
use crate::cli::{fail, print, screen};

/// Tells what a run would do; gives the exit code.
pub fn execute(args: &PlanArgs, global: &Global) -> u8 {
    let job = match job::load(&job_args(args, global), &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    match survey(job, &args.part.subset()) {
        Ok(survey) if global.json => {
            print(&format!("{}\n", serde_json::to_string(&survey).unwrap_or_default()));
            0
        }
        Ok(survey) => {
            print(&screen::survey_text(&survey));
            0
        }
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

fn job_args(args: &PlanArgs, global: &Global) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        config: global.config.clone(),
        prices: global.prices.clone(),
        set: args.changes.set.clone(),
        input: args.part.input.clone(),
        output: args.part.output.clone(),
        model: args.changes.model.clone(),
        routes: args.part.routes.clone(),
        concurrency: args.changes.concurrency,
        max_cost: args.part.max_cost.clone(),
        keys_optional: true,
        ..JobArgs::default()
    }
}
