//! What `overnight models` takes.

use clap::ValueEnum;

use crate::cli::environment::of_format;

#[derive(Debug, clap::Args)]
pub struct ModelsArgs {
    /// Only models whose names hold this text, or match it as a glob; without it all are listed
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// How they are listed; --json is the same as --format json
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = of_format::<ModelsFormat>(), hide_env = true)]
    pub format: ModelsFormat,
}

/// How models are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModelsFormat {
    /// A line a model, in USD per million tokens
    #[default]
    Table,
    /// One JSON object on one line
    Json,
    /// As a file that --prices reads
    Prices,
}
