//! Level 2: the job file as written becomes the job as meant, checked once, with every problem told at once.
//!
//! Owns the TOML: its keys, their places, what overrides what, the environment, and the table of known providers. Does
//! not open the input, compile templates or call anyone; nothing downstream checks again what is checked here.

mod args;
mod batch;
mod checked;
mod environment;
mod files;
mod known;
mod load;
mod made;
mod merge;
mod problem;
mod reader;
mod schema;
mod spec;
mod stopping;
#[cfg(test)]
mod tests;
mod tree;
mod units;

pub use args::JobArgs;
pub use batch::{Batch, NamedModel};
pub use checked::{Job, JobProvider, Model, OnChange, ProviderKind, RetryFailed, Task, TaskAnswer};
pub use load::{load, state_path};
pub use made::{KeptInput, MadeJob};
pub use problem::{JobError, Problem};
pub use schema::SCHEMA;
pub(crate) use tree::dotted;

pub use stopping::{Deadline, MaxCost, MaxFailures, Period};
