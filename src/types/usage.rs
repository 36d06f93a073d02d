//! Tokens as the provider counted them.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The tokens of a call, or of many. Cached and cache-write tokens are part of the input, reasoning tokens part of the
/// output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Input tokens that the provider read from its prompt cache.
    pub cached_input_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Output tokens spent on reasoning.
    pub reasoning_tokens: u64,
    /// Input tokens that the provider wrote to its prompt cache, for whatever time.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cache_write_tokens: u64,
    /// Those of them that are kept for an hour rather than minutes, where that costs more.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cache_write_1h_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(tokens: &u64) -> bool {
    *tokens == 0
}

impl Usage {
    /// Input and output together: what counts against a TPM limit.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.output_tokens += other.output_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.cache_write_1h_tokens += other.cache_write_1h_tokens;
    }
}
