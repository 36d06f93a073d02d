//! Stands in for `parquet` in a build without it, where no table can be begun.

use std::convert::Infallible;
use std::io::Write;
use std::marker::PhantomData;
use std::path::Path;

use super::{FinishedRow, OutputSettings, SinkError};
use crate::types::{InputColumns, Row};

pub(super) struct Table<W> {
    never: Infallible,
    out: PhantomData<W>,
}

impl<W: Write + Send> Table<W> {
    pub(super) fn of_results(
        _out: W,
        _target: &Path,
        _settings: &OutputSettings,
        _columns: &InputColumns,
    ) -> Result<Self, SinkError> {
        Err(SinkError::NoParquet)
    }

    pub(super) fn of_records(_out: W, _target: &Path, _columns: &InputColumns) -> Result<Self, SinkError> {
        Err(SinkError::NoParquet)
    }

    pub(super) fn add(&mut self, _row: &FinishedRow<'_>) -> Result<(), SinkError> {
        match self.never {}
    }

    pub(super) fn add_record(&mut self, _row: &Row) -> Result<(), SinkError> {
        match self.never {}
    }

    pub(super) fn end(self) -> Result<W, SinkError> {
        match self.never {}
    }
}
