//! overnight: a batch job runner for offline LLM workloads.
//!
//! The library reads rows, routes each one to a model by its task type, calls providers under their limits, keeps every
//! answer in a log that survives `kill -9`, and says what it cost. It emits events and never draws; the binary does.
//!
//! The rooms and who may import whom: `docs/architecture.md`.

pub mod engine;
pub mod event;
pub mod job;
pub mod limit;
pub mod price;
pub mod prompt;
pub mod provider;
pub mod report;
pub mod retry;
pub mod sim;
pub mod sink;
pub mod source;
pub mod store;
pub mod token;
pub mod types;
pub mod validate;
