//! Models as `overnight models` lists them: a line each, whole however long, for `grep` and `sort`.

use std::fmt::Write;

use overnight::price::Listing;
use overnight::types::{Money, Rates};

const HEADER: [&str; 8] = ["model", "context", "max out", "input", "cached", "output", "batch in/out", "source"];
/// Which columns hold figures.
const FIGURES: std::ops::Range<usize> = 1..7;

/// A header and a line for each model; USD per million tokens.
#[must_use]
pub fn models_text(found: &[Listing]) -> String {
    let rows: Vec<[String; 8]> = std::iter::once(HEADER.map(str::to_owned)).chain(found.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a String cannot fail.
            let _ = match column {
                0 => write!(text, "{cell:width$}"),
                _ if FIGURES.contains(&column) => write!(text, "  {cell:>width$}"),
                _ => write!(text, "  {cell}"),
            };
        }
        text.push('\n');
    }
    text
}

fn row(listing: &Listing) -> [String; 8] {
    let base = listing.price.as_ref().and_then(|price| price.bands().next());
    let usd = |rate: Option<Money>| rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
    let usual = |rate: fn(&Rates) -> Option<Money>| usd(base.and_then(|band| rate(&band.standard)));
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let batch = base
        .and_then(|band| band.batch)
        .map_or_else(|| "-".to_owned(), |rates| format!("{}/{}", usd(rates.input), usd(rates.output)));
    [
        listing.name(),
        count(listing.context),
        count(listing.max_output),
        usual(|rates| rates.input),
        usual(|rates| rates.cached_input),
        usual(|rates| rates.output),
        batch,
        source(listing),
    ]
}

/// Where the price comes from, and what else is to be known of it.
fn source(listing: &Listing) -> String {
    let mut text = listing.source.to_string();
    if listing.suspect {
        text.push_str(", price known to be wrong: not used");
    }
    if listing.price.iter().any(|price| price.bands().count() > 1) {
        text.push_str(", dearer when long");
    }
    if listing.price.iter().any(|price| price.off_peak.is_some()) {
        text.push_str(", cheaper off-peak");
    }
    if let Some(day) = &listing.deprecation {
        text.push_str(", ends ");
        text.push_str(day);
    }
    text
}
