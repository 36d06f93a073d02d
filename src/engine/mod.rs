//! The run itself: feed, workers, recorder and what they share.
//!
//! Owns the way of a row from the input to its line in the log, the two permits that bound it (the window permit bounds
//! memory, the call permit what a kill can lose), budgets, stopping, and the final output. Does not own limits, retry rules
//! or formats (their rooms do), nor the screen: it emits events.
//!
//! ```text
//! feed: Source - where - done? -> window permit -> worker task: render > route > for each model of the route:
//!     limits + call permit > budget > flight file > call > settle > decide -> outcome -> recorder: log > [sync] >
//!     store > totals > events
//! ```
//!
//! - A job that is ready to run: `plan` (its templates compiled), `prepare` (a row's request), `key`, `selection`, `bounds`
//!   (what a budget needs), `connect` (from providers to `upstream`s).
//! - A run: `run`, which starts `feed` (with `matching`, `window`, and `lagging` for rows that were passed over) and
//!   `recorder` (with `progress`, `board`, `stream`, `sources` of prices), and writes the `output`.
//! - A row: `worker` (its life), `walk` (its route), `visit` (one model), `call` (one call), `blame` (whose fault a
//!   failure is), `reading` (whether the server read all of a prompt), `hedge` (a second one beside a slow one), `trail`
//!   (what it tells), on what all rows share: `shared`, `budget`, `dedupe`.
//! - Several models: `compare`, which is a run too.
//! - When it ends: `rules`, `shutdown`, `control`, `lock`.
//! - Before one: `batch` (which models an OpenAI Batch file asks).
//! - Beside a run, on the same `ground`: `survey` (with `estimate` and `change`), `explain`, `export`, `prune`, `retry`.

mod asking;
mod batch;
mod before;
mod blame;
mod board;
mod bounds;
mod budget;
#[cfg(test)]
mod budget_tests;
mod call;
mod change;
mod compare;
mod connect;
mod control;
mod dedupe;
mod error;
mod estimate;
mod explain;
mod export;
mod feed;
mod ground;
mod hedge;
mod held;
mod key;
mod lagging;
mod lock;
mod matching;
mod needs;
mod output;
mod pace;
mod passed;
mod plan;
mod prepare;
mod progress;
mod prune;
mod reading;
mod recorder;
mod retry;
mod rules;
mod run;
mod selection;
mod shared;
mod shutdown;
mod sources;
mod stream;
mod survey;
mod trail;
mod upstream;
mod visit;
mod walk;
mod window;
mod worker;

pub use batch::{BatchContents, look_at_batch};
pub use compare::{
    Agreement, ComparedAnswer, ComparedLatency, ComparedModel, ComparedRow, ComparedTask, Comparing, Comparison,
    Projection, Validity, compare,
};
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
pub use survey::{
    Cacheable, DedupeSaves, ModelShare, OverBudget, Refusal, Resend, Survey, TokenSource, Unsendable, survey,
};
