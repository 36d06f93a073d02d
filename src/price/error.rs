//! What can be wrong with a price file.

use std::io;
use std::path::PathBuf;

/// A price file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not JSON.
    #[error("{path} is not JSON: {source}", path = .path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It is JSON, but no price file.
    #[error(
        "{path} holds no prices: {why}\n  hint: this reads LiteLLM's model_prices_and_context_window.json, and what \
         `overnight models --format prices` prints",
        path = .path.display()
    )]
    NoPrices {
        /// Which.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// One of its entries cannot be meant so.
    #[error("{path}: {entry}: {field}: {value} is not an amount of USD", path = .path.display())]
    Amount {
        /// Which.
        path: PathBuf,
        /// The model.
        entry: String,
        /// The entry's field.
        field: String,
        /// What stands there.
        value: String,
    },
}
