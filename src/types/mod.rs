//! Level 0: the words that more than one room uses.
//!
//! Owns plain data and its laws (exact money, stable keys, failure kinds). Does no I/O, knows no clock and imports no
//! other room.

mod answer;
mod billing;
mod charges;
mod columns;
mod counts;
mod course;
mod daily;
mod endpoint;
mod held;
mod ids;
mod latency;
mod lines;
mod moment;
mod money;
mod outcome;
mod packing;
mod payload;
mod price;
mod price_source;
mod rate;
mod reply;
mod row;
mod samples;
mod secret;
mod setbacks;
mod stats;
mod timeline;
pub mod tokens;
mod told;
mod usage;
mod wire;

pub use answer::{AnswerColumn, AnswerColumns, AnswerType, NOT_VALID, SCHEMA_FOLLOWS};
pub use billing::{Billing, Service};
pub use charges::{Charges, RecentCharges};
pub use columns::{Dialect, InputColumns};
pub use counts::{RowCounts, RowsNow, is_zero};
pub use course::Course;
pub use daily::DailyRequests;
pub use endpoint::Endpoint;
pub use held::{Held, HeldBack};
pub use ids::{CallNumber, Key, ParseKeyError, RowHash, RunNumber};
pub use latency::Latency;
pub use lines::{
    AttemptLine, CarriedLine, LogLine, Origin, OutcomeLine, Purpose, RunEndLine, RunKind, RunLine, TrailEntry,
    UsedValues,
};
pub use moment::Moment;
pub use money::Money;
pub use outcome::{Failure, FailureKind};
pub use packing::{Packing, extensions, stem};
pub use payload::{Attached, Form, ImageFile, Payload};
pub use price::{Band, OffPeak, Price, Rates, Uplift, UpliftWhen, Window};
pub use price_source::PriceSource;
pub use rate::{Counting, RatePer, RateReport, RateTold, RateUnit};
pub use reply::{ReplyError, ReplyView, read_reply};
pub use row::{Place, Row};
pub use samples::{Sample, Samples};
pub use secret::Secret;
pub use setbacks::{Setback, Setbacks};
pub use stats::{Ledger, PossiblyBilled, RunTotals, Tally, TallyId, Totals};
pub use timeline::{Step, Timeline};
pub use told::read_usage;
pub use usage::Usage;
pub use wire::{Transport, TransportError, WireReply, WireRequest};
