//! `[providers.X]` as checked.

use std::time::Duration;

use super::profile::Profile;
use crate::types::Secret;

/// How one provider is reached. Limits stand beside it in the job.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The name in the job file.
    pub name: String,
    /// Whose habits it has.
    pub profile: Profile,
    /// Up to and without the endpoint's path: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Further headers; values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The name of the parameter that caps the output: `max_tokens` or `max_completion_tokens`.
    pub token_param: TokenParam,
    /// The version of HTTP that it is spoken to in.
    pub http: HttpVersion,
    /// Connections that are kept open while no call uses them, at most; `None`: as many as there are calls in flight.
    pub connections: Option<usize>,
    /// A header of its replies that tells what a call cost in USD, and is believed.
    pub cost_header: Option<String>,
}

/// `http`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// What serves many calls best: HTTP/1.1, as providers cap the streams of an HTTP/2 connection below the calls that
    /// are in flight.
    #[default]
    Auto,
    /// HTTP/1.1.
    One,
    /// HTTP/2: over `https` where the server agrees to it, over plain `http` without asking.
    Two,
}

/// How the provider names the cap on output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenParam {
    /// `max_tokens`: most servers.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's newer models refuse the older name.
    MaxCompletionTokens,
}

/// `timeout = { connect, attempt, row }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From sending to the end of the reply.
    pub attempt: Duration,
    /// For all calls and backoffs of a row; waits for limits and cooldowns do not count.
    pub row: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), attempt: Duration::from_mins(10), row: Duration::from_hours(1) }
    }
}
