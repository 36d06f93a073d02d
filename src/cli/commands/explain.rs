//! `overnight explain`.

use overnight::engine::{RowRef, explain};
use overnight::job::{self, JobArgs};

use crate::cli::args::{ExplainArgs, Global};
use crate::cli::{fail, print, screen};

/// Tells all about one row; gives the exit code.
pub fn execute(args: &ExplainArgs, global: &Global) -> u8 {
    let job = match job::load(&job_args(args, global), &|name| std::env::var(name).ok()) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    let by_id = || RowRef::Id(args.id.clone().unwrap_or_default());
    // An id beside it is one of the environment, a default.
    let which = args.row.map_or_else(by_id, RowRef::Number);
    match explain(job, &which) {
        Ok(explanation) if global.json => {
            print(&format!("{}\n", serde_json::to_string(&explanation).unwrap_or_default()));
            0
        }
        Ok(explanation) => {
            print(&screen::explanation_text(&explanation));
            0
        }
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

fn job_args(args: &ExplainArgs, global: &Global) -> JobArgs {
    JobArgs {
        job_file: args.job.clone(),
        config: global.config.clone(),
        prices: global.prices.clone(),
        set: args.set.clone(),
        input: args.input.clone(),
        model: args.model.clone(),
        routes: args.routes.clone(),
        keys_optional: true,
        ..JobArgs::default()
    }
}
