//! Decides what follows from a failure: pure, one answer for each kind, nothing else in the crate decides it.
//!
//! Owns the rules of section "failure kinds" and the length of pauses. Does not wait, does not count attempts, does not
//! know routes: the caller gives the history and does what is decided.

mod decide;
mod settings;

pub use decide::{History, Next, decide, is_transient};
pub use settings::{OnInvalid, RetrySettings};
