//! Writes results: the results file and the errors file, as a whole or line by line.
//!
//! Owns how a row that has ended looks in JSONL, CSV, Parquet and `OpenAI` Batch output, and that a file is replaced whole
//! or not at all. Does not own the order of the rows, nor which rows are written: the caller passes them in input order,
//! one at a time, so that memory stays flat.

mod batch;
mod error;
mod export;
mod line;
mod packed;
#[cfg_attr(not(feature = "parquet"), path = "no_parquet.rs")]
mod parquet;
mod replace;
mod row;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use error::SinkError;
pub(crate) use export::stream_error;
pub use export::{ExportFormat, ExportTarget, Exporter, RecordFormat};
pub use line::result_line;
#[cfg(feature = "parquet")]
pub use parquet::ColumnTypes;
pub use row::{FinishedRow, InputView};
pub use settings::{OutputFormat, OutputSettings};
pub use writer::{Writer, Written, WrittenFile, check};
