//! What is listed of a model.

use serde_json::{Map, Value};

use super::entry::Entry;
use crate::types::{Price, PriceSource};

/// What is listed of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The provider, by the table's name.
    pub provider: String,
    /// The model, by the table's name.
    pub model: String,
    /// What it costs; `None` where the entry does not tell it, or is known to be wrong.
    pub price: Option<Price>,
    /// Where that comes from.
    pub source: PriceSource,
    /// Tokens that a request may have.
    pub context: Option<u64>,
    /// Tokens that an answer may have.
    pub max_output: Option<u64>,
    /// The day on which the provider ends it, or ended it, as written.
    pub deprecation: Option<String>,
    /// The entry's price is known to be wrong, and not used.
    pub suspect: bool,
    /// The entry as the table has it.
    pub row: Map<String, Value>,
}

impl Listing {
    pub(super) fn new(entry: Entry, source: PriceSource) -> Self {
        Self {
            price: entry.price(),
            source,
            context: entry.count("context"),
            max_output: entry.count("max_output"),
            deprecation: entry.text("deprecation").map(str::to_owned),
            suspect: entry.flag("suspect"),
            provider: entry.provider,
            model: entry.model,
            row: entry.row,
        }
    }

    /// Its name with its provider's, as a job file has it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    /// The entry as a line of a price file.
    #[must_use]
    pub fn line(&self) -> String {
        let mut row = Map::new();
        row.insert("provider".to_owned(), self.provider.as_str().into());
        row.insert("model".to_owned(), self.model.as_str().into());
        let rest = self.row.iter().filter(|(name, _)| *name != "provider" && *name != "model");
        row.extend(rest.map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(row).to_string()
    }
}
