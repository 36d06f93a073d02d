//! One file a command: each takes its arguments and gives an exit code.

pub mod batch;
pub mod compare;
pub mod completions;
pub mod control;
pub mod errors;
pub mod explain;
pub mod export;
pub mod init;
pub mod man;
pub mod models;
pub mod plan;
pub mod prune;
pub mod report;
pub mod retry;
pub mod run;
pub mod schema;
pub mod sim;
mod standing;
pub mod status;
