//! What a provider or a model allows, as configured.

/// Limits as they hold for one provider or one model of it. `None` where no limit is known; never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute, input and output together.
    pub tpm: Option<u64>,
    /// Input tokens a minute.
    pub input_tpm: Option<u64>,
    /// Output tokens a minute.
    pub output_tpm: Option<u64>,
    /// Requests a day.
    pub rpd: Option<u64>,
    /// Calls in flight.
    pub concurrency: Option<u64>,
}
