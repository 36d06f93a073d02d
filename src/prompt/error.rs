//! What can be wrong with a template, and with a row that meets one.

use crate::types::Row;

/// How many column names an error lists before it stops.
const LISTED: usize = 12;
/// How alike a name must be to be offered in place of the missing one.
const ALIKE: f64 = 0.75;

/// A template or expression that cannot be used for any row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, line {line}: {message}, near `{excerpt}`")]
pub struct TemplateError {
    /// Which text: `system`, `prompt`, `messages[2]`, `expression`.
    pub what: String,
    /// The line within it, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// The beginning of that line.
    pub excerpt: String,
}

/// A row of which no request can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template needs a column that the row lacks, or that is null.
    #[error("{what}: {}", missing(column, *null, nearest.as_deref(), columns))]
    MissingColumn {
        /// Which text needs it.
        what: String,
        /// The column's name.
        column: String,
        /// The row has it, but as null.
        null: bool,
        /// The column of the row whose name is most alike, if any is.
        nearest: Option<String>,
        /// The columns that the row has.
        columns: Vec<String>,
    },
    /// A template reaches into a column (or `vars`) for something that is not there.
    #[error("{what}: `{column}` has no `{key}` (write `{column}.{key} | default(\"\")` where that may be)")]
    MissingKey {
        /// Which text needs it.
        what: String,
        /// The column, or `vars`.
        column: String,
        /// The key looked for.
        key: String,
    },
    /// A template fails on this row in another way.
    #[error("{what}, line {line}: {message}")]
    Template {
        /// Which text.
        what: String,
        /// The line within it, from 1; 0 where that is not known.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A user message without any text.
    #[error("{what} is empty for this row")]
    Empty {
        /// Which text.
        what: String,
    },
    /// The task has no prompt, and the row none of its own.
    #[error(
        "the task has no prompt and the row has none of `messages` (a list), `prompt`, or `custom_id` with `body.messages` \
         (an OpenAI Batch line); its columns: {}",
        listed(columns)
    )]
    NoPrompt {
        /// The columns that the row has.
        columns: Vec<String>,
    },
    /// The row's own messages cannot be sent.
    #[error("`{column}` is no list of messages: {message}")]
    BadMessages {
        /// Where they stand: `messages` or `body.messages`.
        column: String,
        /// What is wrong.
        message: String,
    },
}

impl RenderError {
    pub(super) fn missing_column(what: String, column: &str, row: &Row) -> Self {
        let columns: Vec<String> = row.fields().keys().cloned().collect();
        let null = row.fields().contains_key(column);
        let nearest = if null { None } else { nearest(column, &columns) };
        Self::MissingColumn { what, column: column.to_owned(), null, nearest, columns }
    }
}

fn nearest(wanted: &str, columns: &[String]) -> Option<String> {
    let alike = |column: &String| strsim::jaro_winkler(&wanted.to_lowercase(), &column.to_lowercase());
    let best = columns.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= ALIKE).then(|| best.clone())
}

fn missing(column: &str, null: bool, nearest: Option<&str>, columns: &[String]) -> String {
    if null {
        return format!("column `{column}` is null in this row");
    }
    let hint = nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    format!("the row has no column `{column}`{hint}; its columns: {}", listed(columns))
}

fn listed(columns: &[String]) -> String {
    if columns.is_empty() {
        return "none".to_owned();
    }
    let shown = columns.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match columns.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
