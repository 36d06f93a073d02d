//! The JSON Schema of the job file, for editors. [`super::load`] does not use it: it tells more, and with places.

/// The schema, as JSON.
pub const SCHEMA: &str = include_str!("schema.json");
