//! CSV and TSV: one line for every row that ended, failed ones too.

use std::borrow::Cow;
use std::io::Write;

use serde_json::Value;

use super::{FinishedRow, InputView, OutputFormat, OutputSettings, SinkError};
use crate::types::{Dialect, Failure};

/// A byte order mark.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// Our columns, after the copied ones, each with the prefix before it.
const OURS: [&str; 5] = ["content", "model", "status", "cost_usd", "error"];

/// Checks that the columns to copy exist and that their names differ from our own. `columns`: the input's; empty where they
/// are not known, then `include` is taken as it is.
///
/// # Errors
/// [`SinkError::UnknownColumn`] and, for CSV, [`SinkError::Clash`].
pub(super) fn check_columns(settings: &OutputSettings, columns: &[String]) -> Result<(), SinkError> {
    let include = settings.include.as_deref().unwrap_or_default();
    if !columns.is_empty()
        && let Some(column) = include.iter().find(|column| !columns.contains(column))
    {
        return Err(SinkError::UnknownColumn { column: column.clone(), known: nearest(column, columns) });
    }
    match settings.format {
        OutputFormat::Jsonl | OutputFormat::OpenaiBatch => Ok(()),
        OutputFormat::Csv | OutputFormat::Tsv | OutputFormat::Parquet => check_clash(settings, columns),
    }
}

fn check_clash(settings: &OutputSettings, columns: &[String]) -> Result<(), SinkError> {
    let copied = copied(settings, columns);
    let clash = OURS.iter().map(|name| ours(settings, name)).find(|name| copied.contains(name));
    clash.map_or(Ok(()), |column| Err(SinkError::Clash { column }))
}

/// The columns that are copied.
pub(super) fn copied<'a>(settings: &'a OutputSettings, columns: &'a [String]) -> &'a [String] {
    settings.include.as_deref().unwrap_or(columns)
}

/// How a table of this format is written beside an input of that dialect.
pub(super) fn dialect(format: OutputFormat, input: Dialect) -> Dialect {
    match format {
        OutputFormat::Jsonl | OutputFormat::Csv | OutputFormat::Parquet | OutputFormat::OpenaiBatch => input,
        OutputFormat::Tsv => Dialect { delimiter: b'\t', ..input },
    }
}

/// The names of all columns of a table of results.
pub(super) fn all_names(settings: &OutputSettings, copied: &[String]) -> Vec<String> {
    copied.iter().cloned().chain(OURS.iter().map(|name| ours(settings, name))).collect()
}

/// The header line, with what stands before it.
pub(super) fn header(names: &[String], dialect: Dialect) -> csv::Result<Vec<u8>> {
    let start = if dialect.bom { BOM.to_vec() } else { Vec::new() };
    // Readers find the delimiter out, ours too: one that is part of a name must not be counted.
    let ambiguous = names.iter().any(|name| name.contains([',', ';', '\t']));
    let style = if ambiguous { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
    let mut table = csv::WriterBuilder::new().delimiter(dialect.delimiter).quote_style(style).from_writer(start);
    table.write_record(names)?;
    table.into_inner().map_err(|error| error.into_error().into())
}

/// A writer of lines below the header.
pub(super) fn lines<W: Write>(out: W, dialect: Dialect) -> csv::Writer<W> {
    csv::WriterBuilder::new().delimiter(dialect.delimiter).from_writer(out)
}

/// The five fields of ours.
pub(super) struct OurFields(pub(super) [String; 5]);

impl OurFields {
    /// What a row has in our columns. An embedding, or an answer of tool calls alone, stands as JSON text
    /// under `content`.
    ///
    /// # Errors
    /// Where the row succeeded and its reply is missing or cannot be read.
    pub(super) fn of(row: &FinishedRow<'_>) -> Result<Self, SinkError> {
        let outcome = row.outcome;
        let cost = outcome.row_cost.map_or_else(String::new, |cost| cost.to_string());
        let (content, status, error) = match &outcome.failure {
            None => (content(row)?, "succeeded", String::new()),
            Some(failure) => (String::new(), "failed", told(failure, row)),
        };
        Ok(Self([content, outcome.model.clone(), status.to_owned(), cost, error]))
    }
}

/// Writes one line.
pub(super) fn write_row<W: Write>(
    table: &mut csv::Writer<W>,
    copied: &[String],
    input: InputView<'_>,
    ours: &OurFields,
) -> csv::Result<()> {
    for column in copied {
        let field = match input {
            InputView::Row(row) => row.get(column).map_or(Cow::Borrowed(""), text),
            InputView::Raw(_) => Cow::Borrowed(""),
        };
        table.write_field(field.as_bytes())?;
    }
    table.write_record(&ours.0)
}

/// A record that is no row has no columns to know it by, so its place is told.
fn told(failure: &Failure, row: &FinishedRow<'_>) -> String {
    match row.input {
        InputView::Row(_) => format!("{}: {}", failure.kind, failure.message),
        InputView::Raw(_) => format!("{}: {}: {}", failure.kind, row.place, failure.message),
    }
}

fn content(row: &FinishedRow<'_>) -> Result<String, SinkError> {
    let reply = row.reply()?;
    let other = reply.embedding.or(reply.tool_calls).map(|json| json.get().to_owned());
    Ok(reply.content.or(other).unwrap_or_default())
}

pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

pub(super) fn ours(settings: &OutputSettings, name: &str) -> String {
    format!("{}{name}", settings.prefix)
}

fn nearest(column: &str, columns: &[String]) -> Option<String> {
    let scored = columns.iter().map(|known| (strsim::jaro_winkler(column, known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 > 0.7).then(|| best.1.clone())
}
