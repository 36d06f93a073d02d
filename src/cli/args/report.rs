//! What `overnight report` takes.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::environment::of_format;

#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// How the report is written; --json is the same as --format json
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = of_format::<ReportFormat>(), hide_env = true)]
    pub format: ReportFormat,
    /// Write it to this file, which is replaced whole
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which run: last, all, or its number
    #[arg(long, default_value = "last", value_name = "RUN", env = "OVERNIGHT_RUN", hide_env = true)]
    pub run: overnight::report::RunChoice,
    /// What the same tokens would have cost at these models: provider/model, or a model's name alone
    #[arg(long, value_name = "MODEL[,MODEL...]", value_delimiter = ',', env = "OVERNIGHT_WHAT_IF", hide_env = true)]
    pub what_if: Vec<String>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people, at 80 columns
    #[default]
    Table,
    /// One JSON object on one line
    Json,
    /// All figures under one header
    Csv,
    /// Tables to paste into an issue or a mail
    Markdown,
    /// A page with charts in one file, which loads nothing
    Html,
}
