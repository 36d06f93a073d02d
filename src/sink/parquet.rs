//! Parquet: one row for every row that ended, failed ones too.
//!
//! A column that is copied from a Parquet file has the type that it has there; one of a CSV is text; of JSON it is what all
//! its values are, and where they differ, text with JSON in it. Rows are held until there are enough for a batch, and batches
//! are packed into row groups of bounded size, so that memory stays flat.

mod answer;
mod array;
mod infer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::table::{self, Holds, OurFields};
use super::{FinishedRow, InputView, OutputSettings, SinkError};
use crate::types::{InputColumns, Row};

pub use infer::ColumnTypes;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 1024;

/// Values that a batch holds, at most.
const BATCH_BYTES: usize = 1 << 20;

/// A row group ends at this size, as it is written only then.
const GROUP_BYTES: usize = 32 << 20;

/// Exact to the picodollar, and as large as money gets.
const COST: DataType = DataType::Decimal128(20, 12);

/// A table under way.
pub(super) struct Table<W: Write + Send> {
    writer: ArrowWriter<W>,
    target: PathBuf,
    schema: SchemaRef,
    /// The columns that are copied; ours stand behind them.
    copied: Vec<String>,
    /// Of results.
    settings: Option<OutputSettings>,
    /// The values of the batch, by column.
    batch: Vec<Vec<Value>>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> Table<W> {
    /// Begins a table of results; `target` is what `out` writes to.
    pub(super) fn of_results(
        out: W,
        target: &Path,
        settings: &OutputSettings,
        columns: &InputColumns,
    ) -> Result<Self, SinkError> {
        let copied = table::copied(settings, &columns.names).to_vec();
        let ours = table::ours(settings).map(|(name, holds)| {
            let kind = match holds {
                Holds::Property(kind) => answer::data_type(kind),
                Holds::Text => DataType::Utf8,
                Holds::Money => COST,
            };
            Field::new(name, kind, true)
        });
        let fields = copied.iter().map(|name| field(columns, name)).chain(ours).collect();
        let table = Self::begin(out, target, fields, copied)?;
        Ok(Self { settings: Some(settings.clone()), ..table })
    }

    /// Begins a table of records of the input.
    pub(super) fn of_records(out: W, target: &Path, columns: &InputColumns) -> Result<Self, SinkError> {
        let fields = columns.names.iter().map(|name| field(columns, name)).collect();
        Self::begin(out, target, fields, columns.names.clone())
    }

    fn begin(out: W, target: &Path, fields: Vec<Field>, copied: Vec<String>) -> Result<Self, SinkError> {
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_created_by(concat!("overnight ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties));
        let writer = writer.map_err(|error| failed(target, error))?;
        let batch = vec![Vec::new(); schema.fields().len()];
        Ok(Self { writer, target: target.to_owned(), schema, copied, settings: None, batch, rows: 0, bytes: 0 })
    }

    /// Adds a row that ended.
    pub(super) fn add(&mut self, row: &FinishedRow<'_>) -> Result<(), SinkError> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let OurFields(mut ours) = OurFields::of(row, settings)?;
        for (value, column) in ours.iter_mut().zip(&settings.answers.columns) {
            *value = answer::fitted(std::mem::take(value), &column.kind);
        }
        let input = match row.input {
            InputView::Row(row) => Some(row),
            InputView::Raw(_) => None,
        };
        self.put(input, ours)
    }

    /// Adds a record of the input.
    pub(super) fn add_record(&mut self, row: &Row) -> Result<(), SinkError> {
        self.put(Some(row), [])
    }

    fn put(&mut self, input: Option<&Row>, ours: impl IntoIterator<Item = Value>) -> Result<(), SinkError> {
        let value = |name: &String| input.and_then(|row| row.get(name)).cloned().unwrap_or_default();
        for (column, value) in self.batch.iter_mut().zip(self.copied.iter().map(value).chain(ours)) {
            self.bytes += weight(&value);
            column.push(value);
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.pass_on() } else { Ok(()) }
    }

    /// Hands the batch to the writer.
    fn pass_on(&mut self) -> Result<(), SinkError> {
        let written = self.arrays().and_then(|columns| {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            self.writer.write(&batch)
        });
        self.batch.iter_mut().for_each(Vec::clear);
        (self.rows, self.bytes) = (0, 0);
        written.map_err(|error| failed(&self.target, error))
    }

    fn arrays(&self) -> Result<Vec<ArrayRef>, ParquetError> {
        let columns = self.schema.fields().iter().zip(&self.batch);
        let array = |(field, values): (&FieldRef, &Vec<Value>)| {
            let values: Vec<_> = values.iter().map(Some).collect();
            array::of(field.data_type(), &values)
                .map_err(|problem| ParquetError::General(format!("column {:?}: {problem}", field.name())))
        };
        columns.map(array).collect()
    }

    /// Writes the footer; gives back what is behind it.
    pub(super) fn end(mut self) -> Result<W, SinkError> {
        if self.rows > 0 {
            self.pass_on()?;
        }
        self.writer.into_inner().map_err(|error| failed(&self.target, error))
    }
}

/// What the writer says, with what it wrote to.
fn failed(target: &Path, error: ParquetError) -> SinkError {
    let error = match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    };
    SinkError::io("write", target, error)
}

/// A copied column. What no type is known of is text.
fn field(columns: &InputColumns, name: &str) -> Field {
    let known = columns.types.as_ref().and_then(|schema| schema.field_with_name(name).ok());
    let kind = known.map_or(DataType::Utf8, |field| field.data_type().clone());
    Field::new(name, kind, true)
}

/// About what a value holds in memory.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        }
}
