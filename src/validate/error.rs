//! Why a rule cannot be used.

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The schema breaks the rules of JSON Schema.
    #[error("is not a valid JSON Schema: {0}")]
    Schema(String),
    /// The schema needs one that stands elsewhere.
    #[error("refers to a schema that is not part of it: {0}")]
    Elsewhere(String),
    /// The regular expression cannot be compiled.
    #[error("is not a regular expression: {0}")]
    Regex(String),
}
