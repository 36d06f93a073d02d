//! What the commands that only read have in common: the job, and how it stands.

use std::path::Path;

use overnight::job::{self, Job, JobArgs, JobError};
use overnight::price::PriceError;
use overnight::report::ReportError;
use overnight::source::SourceError;
use overnight::store::{Since, Standing, StateDir, StoreError, read_standing};
use overnight::types::{RowCounts, RowsNow};
use serde_json::{Map, Value, json};

use crate::cli::args::Global;

/// Why a command that only reads has nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The job file is not valid.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no such report.
    #[error("{0}")]
    Report(#[from] ReportError),
    /// The price file cannot be read.
    #[error(transparent)]
    Prices(#[from] PriceError),
    /// What was asked for is not there.
    #[error("{0}")]
    Asked(String),
    /// A file or a stream failed.
    #[error("{0}")]
    Io(String),
}

impl ReadError {
    /// The exit code that tells it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Report(ReportError::NoSuchRun { .. }) | Self::Asked(_) => 2,
            Self::Job(_) | Self::Prices(_) => 3,
            Self::Store(_) | Self::Source(_) | Self::Report(_) | Self::Io(_) => 1,
        }
    }
}

/// The job, with keys set otherwise than it says; an API key that is not set is no obstacle, as nothing is sent.
pub fn load(job_file: &Path, set: &[String], global: &Global) -> Result<Job, JobError> {
    load_by(JobArgs { set: set.to_vec(), ..JobArgs::default() }, job_file, global)
}

/// The job with this model as the first choice of all tasks.
pub fn load_with_model(job_file: &Path, model: &str, global: &Global) -> Result<Job, JobError> {
    load_by(JobArgs { model: Some(model.to_owned()), ..JobArgs::default() }, job_file, global)
}

fn load_by(args: JobArgs, job_file: &Path, global: &Global) -> Result<Job, JobError> {
    let args = JobArgs {
        job_file: job_file.to_owned(),
        config: global.config.clone(),
        prices: global.prices.clone(),
        keys_optional: true,
        ..args
    };
    job::load(&args, &|name| std::env::var(name).ok())
}

/// Where the rows at hand stand, those of a comparison while it is at work: as they were told last, with what the log says
/// besides.
pub fn rows_now(standing: &Standing) -> RowsNow {
    rows_in(&standing.extra, standing.since)
}

/// Where the job's own rows stand, also while a comparison is at work, which keeps what was said of them beside its own.
pub fn rows_of_job(standing: &Standing) -> RowsNow {
    let of_job = standing.extra.get("job").and_then(Value::as_object);
    rows_in(of_job.unwrap_or(&standing.extra), standing.since)
}

fn rows_in(said: &Map<String, Value>, since: Since) -> RowsNow {
    let told = |name: &str| said.get(name).cloned().unwrap_or_default();
    let job_rows = told("whole_job").as_u64();
    let part = told("part").as_str().map(str::to_owned);
    let mut rows: RowCounts = serde_json::from_value(told("rows")).unwrap_or_default();
    if since.new_run {
        rows.failed_before += std::mem::take(&mut rows.failed);
    }
    rows.succeeded += since.succeeded;
    rows.failed += since.failed;
    rows.truncated += since.truncated;
    rows.remaining = rows.remaining.saturating_sub(since.succeeded + since.failed);
    rows.total = rows.total.max(rows.ended() + rows.remaining);
    RowsNow { rows, part, job_rows }
}

/// The job's state directory and how it stands; `None` where nothing has run yet.
pub fn standing(state: &Path) -> Result<Option<(StateDir, Standing)>, StoreError> {
    let Some(dir) = StateDir::open_existing(state)? else { return Ok(None) };
    let Some(mut standing) = read_standing(&dir)? else { return Ok(None) };
    // What a comparison has to say is of the moment. Cut short, it left what was said of the job beside that.
    if standing.holder.is_none()
        && let Some(Value::Object(job)) = standing.extra.remove("job").filter(|job| *job != json!({}))
    {
        standing.extra.retain(|name, _| name == "price_sources" || name == "held");
        for (name, value) in job {
            standing.extra.entry(name).or_insert(value);
        }
    }
    Ok(Some((dir, standing)))
}
