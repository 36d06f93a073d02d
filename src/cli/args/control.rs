//! The flags of `overnight control`.

use std::path::PathBuf;

use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct ControlArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// What the run is told
    #[arg(value_enum, value_name = "pause|resume|drain", hide_possible_values = true)]
    pub word: ControlWord,
}

/// What a run can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControlWord {
    /// No more calls are sent; those in flight finish
    Pause,
    /// Calls are sent again
    Resume,
    /// As SIGTERM: calls in flight finish, then the run stops
    Drain,
}
