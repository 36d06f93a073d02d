//! What a reply tells of its bill, beside the tokens.

use super::Money;

/// What a reply tells of its bill, beside the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billing {
    /// The model that answered, by the reply's word.
    pub served: Option<String>,
    /// In which mode.
    pub service: Service,
    /// In which region.
    pub region: Option<String>,
    /// At more than the usual speed.
    pub fast: bool,
    /// Some of the tokens are of sound, which has rates that no table here lists.
    pub audio: bool,
    /// What the call cost in USD, as the reply has it; whether it is the truth depends on who tells it.
    pub cost: Option<Money>,
}

/// The mode in which a call was served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// As usual.
    #[default]
    Standard,
    /// Slow and cheap.
    Flex,
    /// Fast and dear.
    Priority,
    /// As part of a batch.
    Batch,
    /// One that no price is known of.
    Other,
}

impl Service {
    /// The mode that a reply's `service_tier` names.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name.unwrap_or_default() {
            "" | "default" | "standard" | "standard_only" | "auto" | "on_demand" => Self::Standard,
            "flex" => Self::Flex,
            "priority" | "fast" => Self::Priority,
            "batch" => Self::Batch,
            _ => Self::Other,
        }
    }
}
