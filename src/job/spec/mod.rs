//! The tables of the job file, one file each, and the links between them.

mod answer;
mod endpoints;
mod input;
mod links;
mod models;
mod output;
mod providers;
mod run;
mod tasks;

pub(super) use input::{Input, read_input};
pub(super) use links::{Linked, link};
pub(super) use models::read_models;
pub(super) use output::read_output;
pub(super) use providers::read_providers;
pub(super) use run::{Run, read_retry, read_run};
pub(super) use tasks::read_tasks;
