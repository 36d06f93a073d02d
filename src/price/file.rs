//! A price file that the user names: of our own form, or of `LiteLLM`'s.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::entry::{Entry, amount};
use super::error::PriceError;
use super::litellm;
use super::name::provider_of_table;

/// The entries of a file, by provider and model.
#[derive(Debug)]
pub(super) struct PriceFile {
    /// The file's name, for people.
    pub(super) name: String,
    entries: BTreeMap<(String, String), Entry>,
}

impl PriceFile {
    pub(super) fn read(path: &Path) -> Result<Self, PriceError> {
        let bytes = fs::read(path).map_err(|source| PriceError::Io { path: path.to_owned(), source })?;
        let json = serde_json::from_slice::<Value>(&bytes);
        let json = json.map_err(|source| PriceError::Json { path: path.to_owned(), source })?;
        let no_prices = |why: &str| PriceError::NoPrices { path: path.to_owned(), why: why.to_owned() };
        let Value::Object(mut top) = json else { return Err(no_prices("it is not a JSON object")) };
        let entries = match top.remove("models") {
            Some(Value::Array(rows)) => own(rows)
                .ok_or_else(|| no_prices("each of its models must be an object with \"provider\" and \"model\""))?,
            Some(_) => return Err(no_prices("\"models\" must be a list")),
            None => litellm::entries(&top),
        };
        for entry in &entries {
            check(path, entry)?;
        }
        if entries.is_empty() {
            return Err(no_prices("it has neither \"models\" nor an entry with \"litellm_provider\""));
        }
        let named = |entry: Entry| ((entry.provider.clone(), entry.model.clone()), entry);
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
        Ok(Self { name: name.into_owned(), entries: entries.into_iter().map(named).collect() })
    }

    pub(super) fn get(&self, provider: &str, model: &str) -> Option<Entry> {
        self.entries.get(&(provider.to_owned(), model.to_owned())).cloned()
    }

    pub(super) fn starting<'a>(&'a self, provider: &str, start: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let from = (provider.to_owned(), start.to_owned());
        let provider = provider.to_owned();
        let so = move |(listed, model): &(String, String)| *listed == provider && model.starts_with(start);
        self.entries.range(from..).take_while(move |(name, _)| so(name)).map(|(_, entry)| entry.clone())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Entry> {
        self.entries.values().cloned()
    }
}

fn own(rows: Vec<Value>) -> Option<Vec<Entry>> {
    let entry = |row: Value| match row {
        Value::Object(mut row) => {
            let provider = provider_of_table(row.get("provider")?.as_str()?).to_owned();
            row.insert("provider".to_owned(), Value::String(provider));
            Entry::new(row)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    };
    rows.into_iter().map(entry).collect()
}

/// A rate that cannot be meant so would make the model's price unknown without a word.
fn check(path: &Path, entry: &Entry) -> Result<(), PriceError> {
    let tables = ["tiers", "range_tiers"].iter().filter_map(|name| entry.row.get(*name)?.as_array()).flatten();
    let tables = tables.chain(entry.row.get("off_peak")).filter_map(Value::as_object);
    let wrong = std::iter::once(&entry.row).chain(tables).find_map(wrong_rate);
    match wrong {
        None => Ok(()),
        Some((field, value)) => Err(PriceError::Amount {
            path: path.to_owned(),
            entry: format!("{}/{}", entry.provider, entry.model),
            field: field.to_owned(),
            value: value.to_string(),
        }),
    }
}

fn wrong_rate(table: &Map<String, Value>) -> Option<(&str, &Value)> {
    const RATES: [&str; 6] = ["in", "out", "cached_in", "cache_write", "cache_write_1h", "out_reasoning"];
    let is_rate = |name: &str| {
        let modes = ["", "flex_", "priority_", "batch_"].into_iter();
        modes.filter_map(|mode| name.strip_prefix(mode)).any(|name| RATES.contains(&name))
    };
    let rates = table.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_rate(name));
    rates.into_iter().find(|(_, value)| amount(value).is_none())
}
