//! Turns a row into what a model is asked (messages, or a text alone), and reads values out of rows by expression.
//!
//! Owns the template language as the job file promises it (what is missing, how values print), the shapes a row may have
//! where the task has no prompt, and which columns a template uses. Does not know tasks, models, keys or how a record was
//! read; merging parameters is the caller's.

mod attached;
mod columns;
mod context;
mod engine;
mod error;
mod expr;
mod images;
mod lookups;
mod render;
mod settings;
mod shapes;
#[cfg(test)]
mod tests;
mod values;

pub use error::{RenderError, TemplateError};
pub use expr::Expr;
pub use render::{Prompt, Rendered, Templates};
pub use settings::PromptSettings;
