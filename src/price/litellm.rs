//! `LiteLLM`'s `model_prices_and_context_window.json`, as its users have it: USD per token, one object a model, by a name
//! that may begin with its provider's.

use serde_json::{Map, Number, Value};

use super::entry::Entry;
use super::name::provider_of_table;
use crate::types::Money;

/// What its rates are called, and ours. A longer name that begins like a shorter one stands before it.
const RATES: [(&str, &str); 6] = [
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("cache_read_input_token_cost", "cached_in"),
    ("output_cost_per_reasoning_token", "out_reasoning"),
    ("output_cost_per_token", "out"),
    ("input_cost_per_token", "in"),
];
const MODES: [(&str, &str); 4] = [("", ""), ("_flex", "flex_"), ("_priority", "priority_"), ("_batches", "batch_")];
/// Names of its providers that hold one of several parts of ours.
const PARTS: [(&str, &str); 7] = [
    ("vertex_ai", "vertex"),
    ("fireworks_ai", "fireworks"),
    ("bedrock_converse", "bedrock"),
    ("cohere_chat", "cohere"),
    ("text-completion-openai", "openai"),
    ("text-completion-codestral", "mistral"),
    ("codestral", "mistral"),
];
/// Facts that have the same meaning by another name.
const FACTS: [(&str, &str); 5] = [
    ("mode", "mode"),
    ("max_input_tokens", "context"),
    ("max_output_tokens", "max_output"),
    ("provider_specific_entry", "multipliers"),
    ("deprecation_date", "deprecation"),
];

/// All entries with a price for tokens.
pub(super) fn entries(file: &Map<String, Value>) -> Vec<Entry> {
    let models = file.iter().filter(|(name, _)| *name != "sample_spec");
    models.filter_map(|(name, value)| entry(name, value.as_object()?)).collect()
}

fn entry(name: &str, theirs: &Map<String, Value>) -> Option<Entry> {
    let their_provider = theirs.get("litellm_provider")?.as_str()?;
    let mut row = Map::new();
    row.insert("provider".to_owned(), provider(their_provider).into());
    row.insert("model".to_owned(), model(name, their_provider).into());
    for (their_name, our_name) in FACTS {
        if let Some(value) = theirs.get(their_name) {
            row.insert(our_name.to_owned(), whole(value));
        }
    }
    add_rates(theirs, &mut row);
    add_tables(theirs, &mut row);
    let priced = row.contains_key("in") || row.contains_key("range_tiers");
    priced.then(|| Entry::new(row)).flatten()
}

fn provider(theirs: &str) -> String {
    let part = PARTS
        .iter()
        .find(|(part, _)| theirs.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')));
    part.map_or_else(|| provider_of_table(theirs).to_owned(), |(_, ours)| (*ours).to_owned())
}

/// The name without the provider's before it.
fn model<'a>(name: &'a str, provider: &str) -> &'a str {
    let before = |text: &str| name.strip_prefix(text)?.strip_prefix('/');
    let part = || PARTS.iter().filter(|(part, _)| provider.starts_with(part)).find_map(|(part, _)| before(part));
    before(provider).or_else(part).unwrap_or(name)
}

/// A count that is written as `1e6`.
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and far below 2^52")]
        Some(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e15 => Value::from(number as u64),
        Some(_) | None => value.clone(),
    }
}

/// The rates of all sizes and modes.
fn add_rates(theirs: &Map<String, Value>, row: &mut Map<String, Value>) {
    let mut tiers: Vec<(u64, Map<String, Value>)> = Vec::new();
    for (name, value) in theirs {
        let Some((ours, above)) = our_rate(name) else { continue };
        let Some(rate) = per_million(value) else { continue };
        match above {
            None => drop(row.insert(ours, rate)),
            Some(above) => {
                let at = tiers.iter().position(|(size, _)| *size == above).unwrap_or_else(|| {
                    tiers.push((above, Map::new()));
                    tiers.len() - 1
                });
                tiers[at].1.insert(ours, rate);
            }
        }
    }
    tiers.sort_by_key(|(above, _)| *above);
    let tier = |(above, mut rates): (u64, Map<String, Value>)| {
        rates.insert("above".to_owned(), above.into());
        Value::Object(rates)
    };
    let tiers: Vec<Value> = tiers.into_iter().filter(|(_, rates)| rates.contains_key("in")).map(tier).collect();
    if !tiers.is_empty() {
        row.insert("tiers".to_owned(), Value::Array(tiers));
    }
}

/// Our name of a rate, and above how many tokens it holds.
fn our_rate(name: &str) -> Option<(String, Option<u64>)> {
    let (rest, ours) = RATES.iter().find_map(|(theirs, ours)| Some((name.strip_prefix(theirs)?, ours)))?;
    let (rest, above) = match rest.strip_prefix("_above_").and_then(|rest| rest.split_once("k_tokens")) {
        Some((thousands, rest)) => (rest, Some(thousands.parse::<u64>().ok()?.checked_mul(1000)?)),
        None => (rest, None),
    };
    let mode = MODES.iter().find(|(theirs, _)| *theirs == rest)?.1;
    Some((format!("{mode}{ours}"), above))
}

/// Bands of sizes, and hours of the day.
fn add_tables(theirs: &Map<String, Value>, row: &mut Map<String, Value>) {
    let bands = theirs.get("tiered_pricing").and_then(Value::as_array).into_iter().flatten();
    let bands: Vec<Value> = bands.filter_map(|band| range(band.as_object()?)).collect();
    if !bands.is_empty() {
        row.insert("range_tiers".to_owned(), Value::Array(bands));
    }
    if let Some(hours) = theirs.get("off_peak_pricing").and_then(Value::as_object) {
        let mut rates = Map::new();
        add_rates(hours, &mut rates);
        rates.insert("windows".to_owned(), hours.get("windows").cloned().unwrap_or_default());
        row.insert("off_peak".to_owned(), Value::Object(rates));
    }
}

fn range(band: &Map<String, Value>) -> Option<Value> {
    let [from, to] = band.get("range")?.as_array()?.as_slice() else { return None };
    let mut rates = Map::new();
    rates.insert("from".to_owned(), whole(from));
    rates.insert("to".to_owned(), whole(to));
    add_rates(band, &mut rates);
    Some(Value::Object(rates))
}

/// USD per token, as written, become USD per million tokens: exactly, and to the twelfth decimal.
fn per_million(value: &Value) -> Option<Value> {
    let written = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let Some(rate) = Money::from_decimal(&written, 6) else { return Some(value.clone()) };
    // Twelve decimals of an amount below a million are a float's own shortest form.
    let rate: f64 = rate.to_string().parse().ok()?;
    Number::from_f64(rate).map(Value::Number)
}
