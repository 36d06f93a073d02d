//! The simulator: a provider that costs nothing, for rehearsal, demo and tests.
//!
//! Owns one core (answers, limits, faults, the ledger of what it was asked and would bill) with two faces: [`SimTransport`]
//! for tests on paused time and [`serve`] for everything that speaks HTTP. Knows nothing of jobs, and never calls out.
//! All its clocks are tokio's. Replies depend on the settings, the seed, a request's number and prompt, and what else it
//! is working on, and on nothing else; but Anthropic's headers give dates, which are those of the real clock.
//!
//! It answers at `chat/completions`, `completions`, `embeddings` and `responses`. Any model name is answered. Some names choose how:
//!
//! | name | behaviour |
//! |---|---|
//! | `fail-<status>` | always fails with this status: `fail-500`, `fail-503`, `fail-401`, `fail-404`, ... |
//! | `flaky-<percent>` | fails with 500 in this share of the calls |
//! | `slow-<ms>` | takes this much longer |
//! | `hang` | never answers |
//! | `limit-<rpm>` | has a limit of its own, requests a minute |
//! | `filter` | ends every answer by its content filter |
//! | `short-context-<tokens>` | refuses longer prompts |
//! | `truncate` | stops every answer half-way, with `finish_reason` `length` |
//! | `invalid-<percent>` | answers in plain text in this share of the calls, though JSON is asked for |
//!
//! Requests that are refused (4xx) are answered at once, all others after the latency. A call is billed as soon as its
//! answer is computed, which is when it arrives: also if the client goes away or the body is cut on its way.

mod answer;
mod body;
mod books;
mod change;
mod core;
#[cfg(test)]
mod core_tests;
#[cfg(test)]
mod endpoint_tests;
mod error;
mod fault;
mod http;
#[cfg(test)]
mod http_tests;
mod limits;
mod model;
mod reply;
mod request;
mod schema;
mod settings;
mod station;
mod tell;
mod transport;
#[cfg(test)]
mod weather_tests;
mod window;
mod written;

pub use self::answer::answer_mark;
pub use self::books::{ModelLedger, SecondLedger, SimLedger};
pub use self::change::Change;
pub use self::core::Sim;
pub use self::fault::{Fault, Outage, OutageFault, ScriptStep};
pub use self::http::serve;
pub use self::limits::Counts;
pub use self::settings::{SimLimits, SimSettings};
pub use self::station::{Beyond, Knee};
pub use self::tell::HeaderStyle;
pub use self::transport::SimTransport;
pub use self::window::WindowKind;
