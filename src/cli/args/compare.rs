//! The flags of `overnight compare`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;

use super::LockedMode;
use crate::cli::environment::of_format;

#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// The models: aliases from [models], or provider/model
    #[arg(
        long,
        value_name = "A,B[,C...]",
        value_delimiter = ',',
        required = true,
        env = "OVERNIGHT_MODELS",
        hide_env = true
    )]
    pub models: Vec<String>,
    /// How many rows, from all over the input, some of every task: the same ones each time
    #[arg(long, value_name = "N", default_value = "20", env = "OVERNIGHT_SAMPLE", hide_env = true)]
    pub sample: NonZeroUsize,
    /// How it is told; --json is the same as --format json
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = of_format::<CompareFormat>(), hide_env = true)]
    pub format: CompareFormat,
    /// Write it to this file, which is replaced whole
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Read this instead of the job's input.path
    #[arg(long, value_name = "PATH", env = "OVERNIGHT_INPUT", hide_env = true)]
    pub input: Option<PathBuf>,
    /// Any key of the job file, as in --set tasks.tag.params.temperature=0; can be given more than once
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
    /// Calls in flight at most, all providers together, instead of the job's run.concurrency
    #[arg(long, value_name = "N", env = "OVERNIGHT_CONCURRENCY", hide_env = true)]
    pub concurrency: Option<usize>,
    /// Send nothing that could cost more than this: USD for the comparison, or as in 25/day or 500/month
    #[arg(long, value_name = "USD", allow_negative_numbers = true, env = "OVERNIGHT_MAX_COST", hide_env = true)]
    pub max_cost: Option<String>,
    /// What to do while another run holds this job's lock
    #[arg(long, value_enum, default_value_t, value_name = "HOW", env = "OVERNIGHT_IF_LOCKED", hide_env = true)]
    pub if_locked: LockedMode,
}

/// How a comparison is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For people, at 80 columns
    #[default]
    Table,
    /// One JSON object on one line
    Json,
    /// Tables and the answers side by side, to read or to paste
    Markdown,
}
