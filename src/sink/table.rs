//! CSV and TSV: one line for every row that ended, failed ones too.

use std::borrow::Cow;
use std::io::Write;

use serde_json::Value;

use super::{FinishedRow, InputView, OutputFormat, OutputSettings, SinkError};
use crate::types::{AnswerColumn, AnswerType, Dialect, Failure};

/// A byte order mark.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// The column of answers that are texts.
const CONTENT: &str = "content";
/// Our columns after those of the answer.
const ABOUT: [&str; 4] = ["model", "status", COST, "error"];
const COST: &str = "cost_usd";

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
    let clash = ours(settings).map(|(name, _)| name).find(|name| copied.contains(name));
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
    copied.iter().cloned().chain(ours(settings).map(|(name, _)| name)).collect()
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

/// What a column of ours holds.
#[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "lines of text have no types"))]
pub(super) enum Holds<'a> {
    /// A property of the answer.
    Property(&'a AnswerType),
    /// Text.
    Text,
    /// USD.
    Money,
}

/// Our columns, after the copied ones: those of the answer first, each with the prefix before its name.
pub(super) fn ours(settings: &OutputSettings) -> impl Iterator<Item = (String, Holds<'_>)> {
    let answers = settings.answers.columns.iter().map(|column| (answer_name(column), Holds::Property(&column.kind)));
    let content = settings.answers.content.then(|| (CONTENT.to_owned(), Holds::Text));
    let about = ABOUT.iter().map(|name| ((*name).to_owned(), if *name == COST { Holds::Money } else { Holds::Text }));
    answers.chain(content).chain(about).map(|(name, holds)| (format!("{}{name}", settings.prefix), holds))
}

/// A property's own name; one that is ours stands under the name that JSON lines have for it.
fn answer_name(column: &AnswerColumn) -> String {
    let taken = column.name == CONTENT || ABOUT.contains(&column.name.as_str());
    if taken { format!("data.{}", column.name) } else { column.name.clone() }
}

/// What a row has in our columns, in their order; null where it has nothing.
pub(super) struct OurFields(pub(super) Vec<Value>);

impl OurFields {
    /// An embedding, or an answer of tool calls alone, stands as JSON text under `content`.
    ///
    /// # Errors
    /// Where the row succeeded and its reply is missing or cannot be read.
    pub(super) fn of(row: &FinishedRow<'_>, settings: &OutputSettings) -> Result<Self, SinkError> {
        let (outcome, columns) = (row.outcome, &settings.answers.columns);
        let property = |column: &AnswerColumn| row.data.and_then(|data| data.get(&column.name)).cloned();
        let mut fields: Vec<Value> = columns.iter().map(|column| property(column).unwrap_or_default()).collect();
        if settings.answers.content {
            let content = if outcome.failure.is_none() { content(row, columns)? } else { None };
            fields.push(content.map_or(Value::Null, Value::String));
        }
        let some = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        let cost = outcome.row_cost.map_or_else(String::new, |cost| cost.to_string());
        let (status, error) = match &outcome.failure {
            None => ("succeeded", String::new()),
            Some(failure) => ("failed", told(failure, row)),
        };
        fields.extend([outcome.model.clone(), status.to_owned(), cost, error].map(some));
        Ok(Self(fields))
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
    table.write_record(ours.0.iter().map(text).map(|field| field.as_bytes().to_vec()))
}

/// A record that is no row has no columns to know it by, so its place is told.
fn told(failure: &Failure, row: &FinishedRow<'_>) -> String {
    match row.input {
        InputView::Row(_) => format!("{}: {}", failure.kind, failure.message),
        InputView::Raw(_) => format!("{}: {}: {}", failure.kind, row.place, failure.message),
    }
}

/// What stands under `content`: nothing where the answer's properties have columns of their own.
fn content(row: &FinishedRow<'_>, columns: &[AnswerColumn]) -> Result<Option<String>, SinkError> {
    let in_columns = |data: &Value| columns.iter().any(|column| data.get(&column.name).is_some());
    match (row.data, row.content) {
        (Some(data), _) if in_columns(data) => return Ok(None),
        (Some(data), _) => return Ok(Some(text(data).into_owned())),
        (None, Some(content)) => return Ok(Some(content.to_owned())),
        (None, None) => {}
    }
    let reply = row.reply()?;
    let other = reply.embedding.or(reply.tool_calls).map(|json| json.get().to_owned());
    Ok(Some(reply.content.or(other).unwrap_or_default()))
}

pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

fn nearest(column: &str, columns: &[String]) -> Option<String> {
    let scored = columns.iter().map(|known| (strsim::jaro_winkler(column, known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 > 0.7).then(|| best.1.clone())
}
