//! Reads records: which files the settings mean, how they are packed and written, and one record after the other.
//!
//! Owns finding files, spooling standard input, unpacking, splitting into records, their places and their bounds,
//! parsing a record into a row on demand, and telling how far two inputs begin alike. Does not know templates, ids, task types or what is done already. A record
//! that is broken is data (its `row()` fails); an error means that reading cannot start or cannot go on.
//!
//! Everything streams: a pass holds one buffer and one record, however large the files are, and a record that nobody
//! parses costs a search for its end and one copy.

mod array;
mod encoding;
mod error;
mod fields;
mod file;
mod find;
mod frame;
mod input;
mod marks;
#[cfg_attr(not(feature = "parquet"), path = "no_parquet.rs")]
mod parquet;
mod reader;
mod record;
mod records;
mod settings;
mod spool;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use error::{Damage, SourceError};
pub use input::Input;
pub use marks::Marks;
pub use record::{BadRow, Record};
pub use records::Records;
pub use settings::{Format, InputPath, InputSettings};
