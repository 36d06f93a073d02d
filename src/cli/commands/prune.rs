//! `overnight prune`.

use overnight::engine::{IfLocked, PruneOptions, Pruning, RunError, prune};
use overnight::event::Event;
use overnight::job::Job;
use overnight::store::StoreError;

use super::standing::load;
use crate::cli::args::{Global, LockedMode, PruneArgs};
use crate::cli::{fail, print, print_beside, screen};

/// Forgets what no row needs any more; gives the exit code.
pub fn execute(args: &PruneArgs, global: &Global) -> u8 {
    let job = match load(&args.job, &args.set, global) {
        Ok(job) => job,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    let name = job.name.clone();
    match to_end(job, args, global) {
        Ok(Some(pruning)) => {
            tell(&pruning, global);
            0
        }
        Ok(None) => {
            print(&screen::nothing_yet(&name, &args.job, global.json));
            0
        }
        Err(RunError::Store(StoreError::Locked { .. })) if args.if_locked == LockedMode::Skip => 0,
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

/// Signals keep their own ways here: killed at any instant, the job has its old record or its new one.
fn to_end(job: Job, args: &PruneArgs, global: &Global) -> Result<Option<Pruning>, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| RunError::Thread(error.to_string()))?;
    let quiet = global.quiet;
    let options = PruneOptions {
        dry_run: args.dry_run,
        if_locked: match args.if_locked {
            LockedMode::Wait => IfLocked::Wait,
            LockedMode::Fail | LockedMode::Skip => IfLocked::Fail,
        },
        watcher: Box::new(move |event| {
            if let Event::Note { message, warning } = event
                && (*warning || !quiet)
            {
                print_beside(&format!("{message}\n"));
            }
        }),
    };
    runtime.block_on(prune(job, options))
}

fn tell(pruning: &Pruning, global: &Global) {
    if global.json {
        print(&format!("{}\n", serde_json::to_string(pruning).unwrap_or_default()));
    } else if !global.quiet {
        print(&screen::pruning_text(pruning));
    }
}
