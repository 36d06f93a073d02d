//! Parquet: which columns and row groups a file has, and a pass over its rows.
//!
//! A record's bytes are the row as a JSON object, its columns in the file's order: they say the same of the same row however
//! the file is packed, encoded or cut into row groups. Types are those of Parquet itself. What else Arrow would make of them
//! (dictionaries, views, zones) is left aside, as it says nothing of the values.

mod cell;

use std::fs::File;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::LogicalType;
use parquet::errors::ParquetError;

use super::frame::Frame;
use super::table::doubled;
use cell::RowCells;

/// So much of a row group is unpacked at a time, by its own average; beside it stand the pages being read.
const BATCH_BYTES: u64 = 1 << 20;

/// No batch has more rows, however small they are.
const BATCH_ROWS: u64 = 1024;

/// A leap over more batches than this begins anew at its goal instead of unpacking what lies between.
const READ_ON: u64 = 16;

/// What the footer of a file says.
#[derive(Debug)]
pub(super) struct Groups {
    metadata: ArrowReaderMetadata,
    pub(super) columns: Vec<String>,
    /// Which columns are UUIDs, to be shown as such.
    uuids: Vec<bool>,
    /// The first row of each group, from 0, and at the end the number of rows.
    starts: Vec<u64>,
}

impl Groups {
    /// Reads the footer.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub(super) fn read(file: &File) -> Result<Self, String> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(file, options).map_err(|error| words(&error))?;
        let fields = metadata.schema().fields();
        if let Some(field) = fields.iter().find(|field| !cell::is_known(field.data_type())) {
            return Err(format!("column {:?} is {}, which is not read; leave it out", field.name(), field.data_type()));
        }
        let columns: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let twice = doubled(&columns);
        if !twice.is_empty() {
            return Err(format!("a column stands there twice: {}; rename one", twice.join(", ")));
        }
        let root = metadata.parquet_schema().root_schema().get_fields();
        let uuids = root.iter().map(|field| field.get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid));
        let uuids = uuids.collect();
        let mut starts = vec![0];
        for group in metadata.metadata().row_groups() {
            starts.push(starts.last().unwrap_or(&0) + group.num_rows().max(0).cast_unsigned());
        }
        Ok(Self { metadata, columns, uuids, starts })
    }

    /// The columns with the types that a table made from this one has.
    pub(super) fn schema(&self) -> SchemaRef {
        let fields = self.metadata.schema().fields().iter().zip(&self.uuids);
        let fields: Fields = fields
            .map(|(field, is_uuid)| {
                let kind = if *is_uuid { DataType::Utf8 } else { written_as(field.data_type()) };
                Field::new(field.name(), kind, true)
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }
}

/// A half float has no type of its own in what we write.
fn written_as(kind: &DataType) -> DataType {
    let inner = |field: &Field| Arc::new(field.clone().with_data_type(written_as(field.data_type())));
    match kind {
        DataType::Float16 => DataType::Float32,
        DataType::List(item) => DataType::List(inner(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inner(field)).collect()),
        DataType::Map(entry, sorted) => DataType::Map(inner(entry), *sorted),
        kind => kind.clone(),
    }
}

/// A pass over the rows of a file.
pub(super) struct Rows {
    groups: Arc<Groups>,
    file: File,
    /// The next row, from 0.
    next: u64,
    open: Option<Open>,
}

/// A row group under reading.
struct Open {
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    /// The batch's first row.
    start: u64,
    /// The row behind the group's last one.
    group_end: u64,
}

impl Open {
    fn batch_end(&self) -> u64 {
        self.start + self.batch.num_rows() as u64
    }

    /// The row behind the last one that is near enough to read on to it.
    fn near_end(&self) -> u64 {
        self.group_end.min(self.batch_end() + READ_ON * self.batch.num_rows() as u64)
    }
}

impl Rows {
    pub(super) fn new(groups: Arc<Groups>, file: File) -> Self {
        Self { groups, file, next: 0, open: None }
    }

    /// The next row as JSON; `into` gets its first `keep` bytes at most. Where nothing is kept nothing is read.
    pub(super) fn next(&mut self, into: &mut Vec<u8>, keep: usize) -> Result<Option<Frame>, String> {
        into.clear();
        if self.next == self.groups.rows() {
            return Ok(None);
        }
        let row = self.next;
        self.next += 1;
        let mut frame = Frame { line: row + 1, len: 0, open_quote: false };
        if keep > 0 {
            self.write(row, into)?;
            frame.len = into.len();
            into.truncate(keep);
        }
        Ok(Some(frame))
    }

    fn write(&mut self, row: u64, into: &mut Vec<u8>) -> Result<(), String> {
        let groups = Arc::clone(&self.groups);
        let open = self.reach(row).map_err(|error| words(&error))?;
        // Within a batch, which has few rows.
        let index = usize::try_from(row - open.start).unwrap_or(usize::MAX);
        let cells = RowCells { batch: &open.batch, uuids: &groups.uuids, index };
        serde_json::to_writer(into, &cells).map_err(|error| error.to_string())
    }

    /// Has the row's batch unpacked.
    fn reach(&mut self, row: u64) -> Result<&Open, ParquetError> {
        let mut open = match self.open.take() {
            Some(open) if open.start <= row && row < open.near_end() => open,
            Some(_) | None => self.open_at(row)?,
        };
        while row >= open.batch_end() {
            open.start = open.batch_end();
            open.batch = next_batch(&mut open.reader)?;
        }
        Ok(self.open.insert(open))
    }

    fn open_at(&self, row: u64) -> Result<Open, ParquetError> {
        let starts = &self.groups.starts;
        let group = starts.partition_point(|start| *start <= row) - 1;
        let (start, group_end) = (starts[group], starts[group + 1]);
        let bytes = self.groups.metadata.metadata().row_group(group).total_byte_size().max(1).cast_unsigned();
        let rows = (BATCH_BYTES.saturating_mul(group_end - start) / bytes).clamp(1, BATCH_ROWS);
        let file = self.file.try_clone().map_err(|error| ParquetError::External(error.into()))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.groups.metadata.clone());
        let builder = builder.with_row_groups(vec![group]).with_offset(in_memory(row - start));
        let mut reader = builder.with_batch_size(in_memory(rows)).build()?;
        let batch = next_batch(&mut reader)?;
        Ok(Open { reader, batch, start: row, group_end })
    }
}

/// A number of rows of one group, which is far below what memory addresses.
fn in_memory(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn next_batch(reader: &mut ParquetRecordBatchReader) -> Result<RecordBatch, ParquetError> {
    match reader.next() {
        Some(Ok(batch)) if batch.num_rows() > 0 => Ok(batch),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) | None => Err(ParquetError::EOF("a row group has fewer rows than the footer says".to_owned())),
    }
}

/// The library's words without the name of its own error.
fn words(error: &ParquetError) -> String {
    match error {
        ParquetError::General(message)
        | ParquetError::NYI(message)
        | ParquetError::EOF(message)
        | ParquetError::ArrowError(message) => message.clone(),
        ParquetError::External(error) => error.to_string(),
        other => other.to_string(),
    }
}
