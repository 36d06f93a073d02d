//! The table that is compiled in. It is searched as the text that it is, so that it costs nothing until somebody asks, and
//! little then: a line or two are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::entry::Entry;
use crate::types::PriceSource;

/// Sorted by provider and model, a line an entry, between a line that tells whence it is and one that closes it.
const TABLE: &str = include_str!("prices.json");

/// What the first line tells.
#[derive(Debug, Deserialize)]
struct Meta {
    date: String,
    sources: BTreeMap<String, String>,
}

/// The source of entries that name none.
const USUAL_SOURCE: &str = "litellm";

/// The entry of this name.
pub(super) fn get(provider: &str, model: &str) -> Option<Entry> {
    let rows = rows();
    let line = line_at(rows, first_not_before(rows, (provider, model)))?;
    (name_in(line) == Some((provider, model))).then(|| entry(line)).flatten()
}

/// The entries of a provider whose names begin so.
pub(super) fn starting(provider: &str, start: &str) -> impl Iterator<Item = Entry> {
    let rows = rows();
    let from = &rows[first_not_before(rows, (provider, start))..];
    let (provider, start) = (provider.to_owned(), start.to_owned());
    let named_so =
        move |line: &&str| name_in(line).is_some_and(|(listed, model)| listed == provider && model.starts_with(&start));
    from.lines().take_while(named_so).filter_map(entry)
}

/// All of them, in order.
pub(super) fn all() -> impl Iterator<Item = Entry> {
    rows().lines().filter_map(entry)
}

/// Where an entry comes from, and of which day it is.
pub(super) fn source(entry: &Entry) -> PriceSource {
    let first = TABLE.lines().next().unwrap_or_default().trim_end_matches(',');
    let meta: Option<Meta> = first.strip_prefix("{\"meta\":").and_then(|meta| serde_json::from_str(meta).ok());
    let source = entry.text("src").unwrap_or(USUAL_SOURCE);
    let told = meta.map_or_else(
        || source.to_owned(),
        |meta| {
            let name = meta.sources.get(source).map_or(source, String::as_str);
            format!("{name}, {}", meta.date)
        },
    );
    PriceSource::BuiltIn(told.into())
}

/// The lines of the entries.
fn rows() -> &'static str {
    const BEFORE: &str = "\"models\":[\n";
    const BEHIND: &str = "\n]}";
    let from = TABLE.find(BEFORE).map_or(0, |at| at + BEFORE.len());
    let rows = &TABLE[from..];
    &rows[..rows.rfind(BEHIND).unwrap_or(rows.len())]
}

fn entry(line: &str) -> Option<Entry> {
    Entry::new(serde_json::from_str(line.trim_end_matches(',')).ok()?)
}

/// Provider and model as they stand at the start of a line.
fn name_in(line: &str) -> Option<(&str, &str)> {
    let (provider, rest) = line.strip_prefix("{\"provider\":\"")?.split_once('"')?;
    let (model, _) = rest.strip_prefix(",\"model\":\"")?.split_once('"')?;
    Some((provider, model))
}

fn line_at(rows: &str, at: usize) -> Option<&str> {
    rows.get(at..)?.lines().next()
}

/// Where the first line begins whose name is not before this one.
fn first_not_before(rows: &str, name: (&str, &str)) -> usize {
    // Both are where lines begin, or the end.
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let begins = rows[low..middle].rfind('\n').map_or(low, |at| low + at + 1);
        let ends = rows[begins..high].find('\n').map_or(high, |at| begins + at + 1);
        if name_in(&rows[begins..ends]).is_some_and(|listed| listed < name) {
            low = ends;
        } else {
            high = begins;
        }
    }
    low
}
