//! How a run begins and ends.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::FalseyValueParser;

// How a run begins and ends, whatever it is that runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Night {
    /// When the run has ended, drain included: a local time of day, or a duration
    #[arg(long, value_name = "06:00|8h", env = "OVERNIGHT_DEADLINE", hide_env = true)]
    pub deadline: Option<String>,
    /// Stop when this many rows, or this share of them, failed in this invocation
    #[arg(long, value_name = "N|P%", allow_negative_numbers = true, env = "OVERNIGHT_MAX_FAILURES", hide_env = true)]
    pub max_failures: Option<String>,
    /// Begin anew: the old state goes to archive/ in the state directory, nothing is deleted
    #[arg(long, env = "OVERNIGHT_FRESH", hide_env = true, value_parser = FalseyValueParser::new())]
    pub fresh: bool,
    /// What to do while another run holds this job's lock
    #[arg(long, value_enum, default_value_t, value_name = "HOW", env = "OVERNIGHT_IF_LOCKED", hide_env = true)]
    pub if_locked: LockedMode,
    /// Append what happens to this file, one JSON object a line
    #[arg(long, value_name = "FILE", env = "OVERNIGHT_EVENTS", hide_env = true)]
    pub events: Option<PathBuf>,
}

/// What to do while another run holds the job's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockedMode {
    /// End with exit code 7
    #[default]
    Fail,
    /// Wait until it is free
    Wait,
    /// End quietly with exit code 0
    Skip,
}
