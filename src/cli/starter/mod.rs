//! What `overnight init` is made of: looking at data, choosing a model, writing a job file, unpacking examples.
//!
//! Writes files only where there are none.

mod files;
mod library;
mod look;
mod model;
mod write;

pub use files::{NewFile, create_all};
pub use library::{example, example_names, sample};
pub use look::{Data, look};
pub use model::choose;
pub use write::job_file;
