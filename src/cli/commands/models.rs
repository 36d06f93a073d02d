//! `overnight models`.

use std::path::Path;

use overnight::price::{Listing, Prices};
use overnight::types::{Band, Money, Rates};
use serde::Serialize;

use crate::cli::args::{Global, ModelsArgs, ModelsFormat};
use crate::cli::{fail, print, print_beside, screen};

/// Lists what is known of models; gives the exit code.
pub fn execute(args: &ModelsArgs, global: &Global) -> u8 {
    let prices = match global.prices.as_deref().map_or_else(|| Ok(Prices::default()), Prices::with_file) {
        Ok(prices) => prices,
        Err(error) => return fail(&error, 3, None, global),
    };
    let pattern = args.pattern.as_deref().unwrap_or_default();
    let found = match find(&prices, pattern) {
        Ok(found) => found,
        Err(error) => return fail(&error, 2, None, global),
    };
    match args.format {
        ModelsFormat::Prices => print(&as_file(&found, global.prices.as_deref())),
        ModelsFormat::Json => print(&as_json(&found)),
        ModelsFormat::Table if global.json => print(&as_json(&found)),
        ModelsFormat::Table => {
            if let Some(listing) = looked_up(&prices, pattern).filter(|listing| listing.name() != pattern)
                && !global.quiet
            {
                print_beside(&format!("a job finds {pattern} as {}\n", listing.name()));
            }
            print(&screen::models_text(&found));
        }
    }
    0
}

/// Why nothing is listed.
#[derive(Debug, thiserror::Error)]
enum ModelsError {
    #[error("not a pattern: {0}")]
    Pattern(#[from] glob::PatternError),
    #[error("no model is listed that matches {pattern:?}\n  hint: {hint}")]
    None { pattern: String, hint: String },
}

/// The model that a job would find by this name.
fn looked_up(prices: &Prices, name: &str) -> Option<Listing> {
    let (provider, model) = name.split_once('/')?;
    prices.find(provider, model)
}

/// The one that a job would find by this name, and those whose names hold it, or match it where it is a glob.
fn find(prices: &Prices, pattern: &str) -> Result<Vec<Listing>, ModelsError> {
    let lower = pattern.to_lowercase();
    let glob = lower.contains(['*', '?', '[']).then(|| glob::Pattern::new(&lower)).transpose()?;
    let matches = |name: &str| {
        let name = name.to_lowercase();
        let model = || name.split_once('/').map_or(name.as_str(), |(_, model)| model);
        // A glob without a provider is one over models.
        let matches = |glob: &glob::Pattern| glob.matches(if lower.contains('/') { &name } else { model() });
        glob.as_ref().map_or_else(|| name.contains(&lower), matches)
    };
    let mut found: Vec<Listing> = looked_up(prices, pattern).into_iter().collect();
    let first = found.first().map(Listing::name);
    let other = |listing: &Listing| Some(listing.name()) != first && matches(&listing.name());
    found.extend(prices.all().filter(other));
    if found.is_empty() { Err(nothing(prices, pattern)) } else { Ok(found) }
}

fn nothing(prices: &Prices, pattern: &str) -> ModelsError {
    let near = prices.nearest(pattern);
    let hint = if near.is_empty() {
        "without a pattern all are listed".to_owned()
    } else {
        format!("the nearest are {}", near.join(", "))
    };
    ModelsError::None { pattern: pattern.to_owned(), hint }
}

/// What is known of a model, for programs; USD per million tokens.
#[derive(Serialize)]
struct ModelView<'a> {
    provider: &'a str,
    model: &'a str,
    mode: Option<&'a str>,
    context: Option<u64>,
    max_output: Option<u64>,
    input: Option<Money>,
    cached_input: Option<Money>,
    cache_write: Option<Money>,
    output: Option<Money>,
    reasoning_output: Option<Money>,
    batch: Option<ModeView>,
    flex: Option<ModeView>,
    priority: Option<ModeView>,
    larger: Vec<BandView>,
    off_peak: Option<ModeView>,
    deprecation: Option<&'a str>,
    suspect: bool,
    source: String,
}

#[derive(Serialize)]
struct ModeView {
    input: Option<Money>,
    cached_input: Option<Money>,
    output: Option<Money>,
}

/// The rates of whole requests above a size.
#[derive(Serialize)]
struct BandView {
    above: u64,
    #[serde(rename = "input")]
    plain: Option<Money>,
    cached_input: Option<Money>,
    output: Option<Money>,
}

impl From<&Rates> for ModeView {
    fn from(rates: &Rates) -> Self {
        Self { input: rates.input, cached_input: rates.cached_input, output: rates.output }
    }
}

impl From<&Band> for BandView {
    fn from(band: &Band) -> Self {
        let Rates { input: plain, cached_input, output, .. } = band.standard;
        Self { above: band.above, plain, cached_input, output }
    }
}

impl<'a> From<&'a Listing> for ModelView<'a> {
    fn from(listing: &'a Listing) -> Self {
        let base = listing.price.as_ref().and_then(|price| price.bands().next());
        let usual = base.map(|band| band.standard).unwrap_or_default();
        let mode = |rates: Option<&Rates>| rates.map(ModeView::from);
        Self {
            provider: &listing.provider,
            model: &listing.model,
            mode: listing.row.get("mode").and_then(serde_json::Value::as_str),
            context: listing.context,
            max_output: listing.max_output,
            input: usual.input,
            cached_input: usual.cached_input,
            cache_write: usual.cache_write,
            output: usual.output,
            reasoning_output: usual.reasoning,
            batch: mode(base.and_then(|band| band.batch.as_ref())),
            flex: mode(base.and_then(|band| band.flex.as_ref())),
            priority: mode(base.and_then(|band| band.priority.as_ref())),
            larger: listing.price.iter().flat_map(|price| price.bands().skip(1)).map(BandView::from).collect(),
            off_peak: mode(listing.price.as_ref().and_then(|price| Some(&price.off_peak.as_ref()?.rates))),
            deprecation: listing.deprecation.as_deref(),
            suspect: listing.suspect,
            source: listing.source.to_string(),
        }
    }
}

fn as_json(found: &[Listing]) -> String {
    let models: Vec<ModelView<'_>> = found.iter().map(ModelView::from).collect();
    format!("{}\n", serde_json::json!({ "models": serde_json::to_value(models).unwrap_or_default() }))
}

/// A price file of our own form: a line a model, sorted.
fn as_file(found: &[Listing], from: Option<&Path>) -> String {
    let source = from.and_then(Path::file_name).map(|name| name.to_string_lossy());
    let meta = serde_json::json!({
        "unit": "USD per million tokens",
        "date": jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        "sources": { "litellm": source },
    });
    let rows: Vec<String> = found.iter().map(Listing::line).collect();
    format!("{{\"meta\":{meta},\n\"models\":[\n{}\n]}}\n", rows.join(",\n"))
}
