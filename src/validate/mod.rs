//! Says whether an answer is what the task wants.
//!
//! Owns the rules of `[tasks.X.answer]` once they are compiled, how JSON is found in an answer, the words that tell a model
//! what is wrong with its answer, and which columns a schema has. Does not ask models, and does not decide what follows
//! from an answer that breaks a rule.

mod columns;
mod error;
mod extract;
mod rules;
mod schema;

pub use error::RuleError;
pub use rules::{Invalid, Pattern, Rules};
pub use schema::Schema;
