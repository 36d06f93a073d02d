//! `overnight schema`.

use overnight::job::SCHEMA;

use crate::cli::print;

/// Prints the schema; gives the exit code.
pub fn execute() -> u8 {
    print(SCHEMA);
    0
}
