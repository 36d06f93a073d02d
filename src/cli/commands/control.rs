//! `overnight control`.

use std::path::Path;

use overnight::job::{self, JobArgs};
use overnight::store::{Control, StateDir, StoreError};

use crate::cli::args::{ControlArgs, ControlWord, Global};
use crate::cli::{fail, print};

/// Leaves a word for the process that runs the job; gives the exit code.
pub fn execute(args: &ControlArgs, global: &Global) -> u8 {
    let job_args = JobArgs { job_file: args.job.clone(), config: global.config.clone(), ..JobArgs::default() };
    let state = match job::state_path(&job_args, &|name| std::env::var(name).ok()) {
        Ok(state) => state,
        Err(error) => return fail(&error, 3, Some(&args.job), global),
    };
    match tell(&state, args) {
        Ok(Some(pid)) => {
            print(&said(args.word, pid, global));
            0
        }
        Ok(None) => {
            let job = args.job.display();
            let error = format!("{job}: no run of this job is on\n  hint: start one with overnight run {job}");
            fail(&error, 1, Some(&args.job), global)
        }
        Err(error) => fail(&error, 1, Some(&args.job), global),
    }
}

/// The process that was told; `None` where none runs the job.
fn tell(state: &Path, args: &ControlArgs) -> Result<Option<u32>, StoreError> {
    let Some(state) = StateDir::open_existing(state)? else { return Ok(None) };
    let Some(holder) = state.holder()? else { return Ok(None) };
    let word = match args.word {
        ControlWord::Pause => Control::Pause,
        ControlWord::Resume => Control::Resume,
        ControlWord::Drain => Control::Drain,
    };
    state.put_control(word)?;
    Ok(Some(holder.pid))
}

fn said(word: ControlWord, pid: u32, global: &Global) -> String {
    let (name, what) = match word {
        ControlWord::Pause => ("pause", "sends no more calls; those in flight finish"),
        ControlWord::Resume => ("resume", "goes on"),
        ControlWord::Drain => ("drain", "stops once the calls in flight have ended"),
    };
    match (global.json, global.quiet) {
        (true, _) => format!("{}\n", serde_json::json!({ "control": name, "pid": pid })),
        (false, true) => String::new(),
        (false, false) => format!("{name}: process {pid} {what}\n"),
    }
}
