//! What models cost, and how long their requests and answers may be.
//!
//! Owns the table of list prices that is built in, price files, and finding a model in them by the names that providers
//! give it. Does not know what calls cost (that is [`crate::types::Price`]), nor which provider stands behind an address:
//! whoever asks names the provider whose prices are meant. What is not listed is unknown: no price is guessed across
//! models.

mod built_in;
mod entry;
mod error;
mod file;
mod listing;
mod litellm;
mod name;
mod prices;
#[cfg(test)]
mod tests;

pub use error::PriceError;
pub use listing::Listing;
pub use prices::Prices;
