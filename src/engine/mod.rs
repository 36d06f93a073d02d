//! The run itself: feed, workers, recorder and what they share.
//!
//! Owns the way of a row from the input to its line in the log, the two permits that bound it (the window permit bounds
//! memory, the call permit what a kill can lose), stopping, and the final output. Does not own limits, retry rules or
//! formats (their rooms do), nor the screen: it emits events.
//!
//! ```text
//! feed: Source - where - done? -> window permit -> worker task: render > route > for each target:
//!     limits + call permit > call > settle > decide -> outcome -> recorder: log > [sync] > store > totals > events
//! ```

mod board;
mod bounds;
mod budget;
#[cfg(test)]
mod budget_tests;
mod call;
mod change;
mod connect;
mod control;
mod error;
mod estimate;
mod explain;
mod export;
mod feed;
mod ground;
mod hedge;
mod key;
mod lagging;
mod lock;
mod output;
mod plan;
mod prepare;
mod progress;
mod prune;
mod recorder;
mod retry;
mod rules;
mod run;
mod selection;
mod shared;
mod shutdown;
mod stream;
mod survey;
mod trail;
mod upstream;
mod visit;
mod walk;
mod window;
mod worker;

pub use error::RunError;
pub use estimate::Range;
pub use explain::{Explanation, KeyParts, KnownOutcome, RouteStop, RowRef, explain};
pub use export::{ExportOptions, ExportWhat, Exported, export};
pub use ground::Reason;
pub use lock::IfLocked;
pub use prune::{Forgotten, PruneOptions, Pruning, prune};
pub use recorder::Watcher;
pub use retry::Retry;
pub use run::{RunOptions, Threads, run};
pub use selection::Subset;
pub use shutdown::Stop;
pub use stream::ResultStream;
pub use survey::{ModelShare, OverBudget, Refusal, Resend, Survey, Unsendable, survey};
