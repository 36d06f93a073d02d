//! The columns of the input, as far as a table of results needs to know them.

/// What a table of results copies, and how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputColumns {
    /// In their order. Empty: not known, or no table is written.
    pub names: Vec<String>,
    /// How the input is written, where it is a table.
    pub dialect: Dialect,
    /// Their types in a Parquet file; what is not in it is text.
    #[cfg(feature = "parquet")]
    pub types: Option<arrow_schema::SchemaRef>,
}

impl InputColumns {
    /// Columns of text.
    #[must_use]
    pub fn of_text(names: Vec<String>, dialect: Dialect) -> Self {
        Self {
            names,
            dialect,
            #[cfg(feature = "parquet")]
            types: None,
        }
    }
}

/// How a table stands in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Whether a byte order mark stands before all: some spreadsheets take a file for UTF-8 only then.
    pub bom: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', bom: false }
    }
}
