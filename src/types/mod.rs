//! Level 0: the words that more than one room uses.
//!
//! Owns plain data and its laws (exact money, stable keys, failure kinds). Does no I/O, knows no clock and imports no
//! other room.

mod charges;
mod counts;
mod course;
mod daily;
mod held;
mod ids;
mod latency;
mod lines;
mod moment;
mod money;
mod outcome;
mod rate;
mod reply;
mod row;
mod samples;
mod secret;
mod setbacks;
mod stats;
mod timeline;
mod usage;
mod wire;

pub use charges::{Charges, RecentCharges};
pub use counts::{RowCounts, RowsNow};
pub use course::Course;
pub use daily::DailyRequests;
pub use held::{Held, HeldBack};
pub use ids::{CallNumber, Key, ParseKeyError, RowHash, RunNumber};
pub use latency::Latency;
pub use lines::{AttemptLine, CarriedLine, LogLine, Origin, OutcomeLine, RunEndLine, RunLine, TrailEntry};
pub use moment::Moment;
pub use money::{Money, Price};
pub use outcome::{Failure, FailureKind};
pub use rate::{Counting, RatePer, RateReport, RateTold, RateUnit};
pub use reply::{ReplyError, ReplyView, read_reply, read_usage};
pub use row::{Place, Row};
pub use samples::{Sample, Samples};
pub use secret::Secret;
pub use setbacks::{Setback, Setbacks};
pub use stats::{Ledger, PossiblyBilled, RunTotals, Tally, TallyId, Totals};
pub use timeline::{Step, Timeline};
pub use usage::Usage;
pub use wire::{Transport, TransportError, WireReply, WireRequest};
