//! Reads what an error reply says. Every provider has a shape of its own; gateways add theirs.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::wait;

/// How much of a message is kept, in characters.
const MESSAGE: usize = 500;
/// How much of a text is searched for words, in bytes: an echoed prompt must not cost more than the call.
const SEARCHED: usize = 32 * 1024;

/// Where messages stand, in an error or beside it.
const MESSAGES: [&str; 5] = ["message", "msg", "detail", "error_msg", "title"];
/// Where codes stand, in an error or beside it.
const CODES: [&str; 11] = [
    "/code",
    "/type",
    "/status",
    "/reason",
    "/param",
    "/metadata/error_type",
    "/metadata/provider_code",
    "/metadata/limit_source",
    "/innererror/code",
    "/details/error_code",
    "/availability/code",
];
/// What says something by being there: it counts as a code of this name.
const MARKS: [(&str, &str); 3] = [
    ("/metadata/reasons", "metadata.reasons"),
    ("/metadata/patterns", "metadata.patterns"),
    ("/metadata/flagged_input", "metadata.flagged_input"),
];

/// What an error reply says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// In words, on one line; may be empty.
    pub(super) message: String,
    /// Codes, types and names, in lower case, separated by blanks.
    pub(super) codes: String,
    /// The message in lower case, to be searched.
    pub(super) text: String,
    /// A number among the codes that is an HTTP status.
    pub(super) status: Option<u16>,
    /// The wait it tells.
    pub(super) wait: Option<Duration>,
    /// Whether trying again makes sense, where it says so.
    pub(super) retryable: Option<bool>,
}

/// Reads an error reply of any shape, JSON or not.
pub(super) fn said(body: &[u8]) -> Said {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => said_in(&json),
        Err(_) => said_in_text(&String::from_utf8_lossy(body)),
    }
}

/// Reads an error reply that is JSON.
pub(super) fn said_in(json: &Value) -> Said {
    let root = json.as_array().and_then(|list| list.first()).unwrap_or(json);
    let error = root.get("error").filter(|error| !error.is_null()).unwrap_or(root);
    let message = message(error).or_else(|| message(root)).unwrap_or_default();
    let codes = codes(error, root);
    let searched = searched(root).unwrap_or_else(|| cut_bytes(&message, SEARCHED).to_lowercase());
    let status = error.get("code").or_else(|| error.get("status")).and_then(status);
    let wait = structured_wait(error).or_else(|| wait::in_words(&searched));
    let retryable = error.pointer("/availability/retryable").and_then(Value::as_bool);
    Said { message: one_line(&message), codes, text: searched, status, wait, retryable }
}

/// The messages alone of a list of what is wrong with a request: the rest of it repeats the request.
fn searched(root: &Value) -> Option<String> {
    let list = root.get("detail")?.as_array()?;
    let messages = list.iter().filter_map(|detail| detail.get("msg")?.as_str());
    Some(cut_bytes(&messages.collect::<Vec<_>>().join(" "), SEARCHED).to_lowercase())
}

fn said_in_text(text: &str) -> Said {
    let searched = cut_bytes(text, SEARCHED);
    let lower = searched.to_lowercase();
    let message = if is_html(&lower) { html_title(searched, &lower) } else { one_line(searched) };
    let wait = wait::in_words(&lower);
    Said { message, text: lower, wait, ..Said::default() }
}

fn message(value: &Value) -> Option<Cow<'_, str>> {
    if let Some(text) = value.as_str() {
        return Some(Cow::Borrowed(text));
    }
    let found = MESSAGES.iter().find_map(|name| value.get(name).filter(|found| !found.is_null()))?;
    Some(found.as_str().map_or_else(|| Cow::Owned(found.to_string()), Cow::Borrowed))
}

fn codes(error: &Value, root: &Value) -> String {
    let mut found: Vec<&Value> = CODES.iter().filter_map(|path| error.pointer(path)).collect();
    if !std::ptr::eq(error, root) {
        found.extend(CODES.iter().filter_map(|path| root.pointer(path)));
    }
    for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
        found.extend(detail.get("reason"));
        let violations = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
        found.extend(violations.filter_map(|violation| violation.get("quotaId")));
    }
    let words = found.into_iter().filter_map(|code| match code {
        Value::String(text) => Some(text.to_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    let marks = MARKS.iter().filter(|(path, _)| error.pointer(path).is_some_and(|mark| !mark.is_null()));
    let words = words.chain(marks.map(|(_, name)| (*name).to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

fn status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

fn structured_wait(error: &Value) -> Option<Duration> {
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let delay = details.filter_map(|detail| detail.get("retryDelay")).find_map(|delay| wait::duration(delay.as_str()?));
    let plain = ["/availability/retry_after", "/metadata/retry_after", "/retry_after"];
    delay.or_else(|| plain.iter().find_map(|path| wait::seconds(error.pointer(path)?.as_f64()?)))
}

fn is_html(lower: &str) -> bool {
    let start = lower.trim_start();
    start.starts_with("<!doctype") || start.starts_with("<html") || start.contains("<head>")
}

fn html_title(text: &str, lower: &str) -> String {
    // Lower-casing may move bytes outside ASCII: then the title is left out rather than cut wrongly.
    let range = lower.find("<title>").map(|at| at + "<title>".len()).zip(lower.find("</title>"));
    let title = range.filter(|_| text.len() == lower.len()).and_then(|(from, to)| text.get(from..to));
    match title.map(one_line).filter(|title| !title.is_empty()) {
        Some(title) => format!("an HTML page: {title}"),
        None => "an HTML page".to_owned(),
    }
}

/// A text on one line, with blanks folded and an end.
pub(super) fn one_line(text: &str) -> String {
    let folded = cut_bytes(text, SEARCHED).split_whitespace().collect::<Vec<_>>().join(" ");
    match folded.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &folded[..end]),
        None => folded,
    }
}

fn cut_bytes(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
