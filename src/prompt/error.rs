//! What can be wrong with a template, and with a row that meets one.

use crate::types::{Endpoint, FailureKind, Row};

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
    /// An image that cannot be sent.
    #[error("{what}: {path}: {message}")]
    Image {
        /// Which text names it.
        what: String,
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// An image that is too large to be sent.
    #[error("{what}: {path}: an image of {bytes} bytes; at most 20 MB can be sent")]
    ImageTooLarge {
        /// Which text names it.
        what: String,
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Images with nothing to stand in.
    #[error("images: {0}")]
    NoPlaceForImages(&'static str),
    /// The model takes a text alone, and the row asks more than that.
    #[error("{what}, but the endpoint of its model takes a text alone: give it a `prompt`")]
    NotText {
        /// What it asks.
        what: &'static str,
    },
    /// A batch line without what makes it one.
    #[error("the line has no `{field}`{}", if *field == "body" { " with a request in it" } else { "" })]
    BatchLine {
        /// What it lacks.
        field: &'static str,
    },
    /// A batch line for an endpoint that we do not know.
    #[error("the row's `url` is {url:?}, which is none of {}", Endpoint::ALL.map(|known| format!("/v1/{}", known.path())).join(", "))]
    BatchUrl {
        /// What it names.
        url: String,
    },
    /// A batch line that does not ask what its endpoint needs.
    #[error("the row's `body` has no `{field}`, which its url /v1/{} needs", endpoint.path())]
    BatchBody {
        /// The endpoint of its `url`.
        endpoint: Endpoint,
        /// The missing field.
        field: &'static str,
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
    /// What sort of failure it is for the row.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::ImageTooLarge { .. } => FailureKind::TooLarge,
            Self::BatchLine { .. } | Self::BatchUrl { .. } | Self::BatchBody { .. } | Self::NotText { .. } => {
                FailureKind::InvalidRequest
            }
            Self::MissingColumn { .. }
            | Self::MissingKey { .. }
            | Self::Template { .. }
            | Self::Empty { .. }
            | Self::NoPrompt { .. }
            | Self::BadMessages { .. }
            | Self::Image { .. }
            | Self::NoPlaceForImages(_) => FailureKind::Template,
        }
    }

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
