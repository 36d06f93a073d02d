//! A row that has ended, as the output sees it.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::types::{OutcomeLine, Place, ReplyView, Row, read_reply};

use super::SinkError;

/// One row that has ended, with what the output needs of it.
#[derive(Clone, Copy, Debug)]
pub struct FinishedRow<'a> {
    /// The row's id as it was read: a string or a number.
    pub id: &'a Value,
    /// The record number over all files, from 1.
    pub row: u64,
    /// Where the record starts.
    pub place: &'a Place,
    /// The record itself, from today's input.
    pub input: InputView<'a>,
    /// How the row ended.
    pub outcome: &'a OutcomeLine,
    /// The JSON of its answer, where the task has a schema.
    pub data: Option<&'a Value>,
    /// The text of its answer, where that is less than all that was said.
    pub content: Option<&'a str>,
}

/// A record of the input.
#[derive(Clone, Copy, Debug)]
pub enum InputView<'a> {
    /// A record that could be parsed.
    Row(&'a Row),
    /// The bytes of one that could not: a string in the errors file, with replacement characters where they are not UTF-8.
    Raw(&'a [u8]),
}

impl FinishedRow<'_> {
    /// The reply of a row that succeeded.
    pub(super) fn reply(&self) -> Result<ReplyView, SinkError> {
        let reply = self.outcome.reply.as_ref().ok_or(SinkError::NoReply { row: self.row })?;
        read_reply(self.outcome.endpoint, reply.get().as_bytes())
            .map_err(|source| SinkError::BadReply { row: self.row, source })
    }
}

/// The columns of a record that are copied, in the order of `include`; all of them where that is `None`.
pub(super) struct Columns<'a> {
    pub(super) input: InputView<'a>,
    pub(super) include: Option<&'a [String]>,
}

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = match self.input {
            InputView::Row(row) => row,
            InputView::Raw(bytes) => return serializer.serialize_str(&String::from_utf8_lossy(bytes)),
        };
        let Some(include) = self.include else { return row.fields().serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for (column, value) in include.iter().filter_map(|column| row.fields().get_key_value(column)) {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}
