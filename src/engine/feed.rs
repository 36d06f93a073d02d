//! Reads the input, finds what is done, and hands on what is to be sent.
//!
//! The feed is a plain `step`, driven by a thread of its own in the binary and by the runtime in tests on paused
//! time. It never waits; `drive` does, for room in the window.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::RunError;
use super::board::{Board, Found};
use super::plan::Plan;
use super::prepare::{Prepared, prepare};
use super::recorder::Message;
use super::retry::Retried;
use super::selection::Selection;
use super::shared::Shared;
use super::shutdown::Phase;
use super::window::Window;
use super::worker::{Item, work};
use crate::event::StopReason;
use crate::job::RetryFailed;
use crate::retry::is_transient;
use crate::source::{Record, Records};
use crate::store::{End, KeyIndex, OrderReader, StateReader, Store};
use crate::types::FailureKind;

/// Matched rows are handed to the recorder in pieces of this many.
const MATCHED_BATCH: usize = 1024;

/// How a row finds its outcome.
pub(super) enum Matching {
    /// Input and job are as they were: by record number, without rendering.
    ByNumber(OrderReader),
    /// Something changed: by key.
    ByKey(KeyIndex),
}

impl Matching {
    /// The same from the first row on, for a pass of its own.
    pub fn again(&self, store: &mut Store) -> Result<Self, RunError> {
        Ok(match self {
            Self::ByNumber(_) => Self::ByNumber(store.order()?),
            Self::ByKey(index) => Self::ByKey(index.clone()),
        })
    }
}

/// What one record comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one turn of a loop; a box would cost each row an allocation"
)]
enum Step {
    /// It is to be sent.
    Due { record: Record, prepared: Option<Prepared>, replaces: Option<End> },
    /// It is done, or not selected.
    Passed,
    /// There are no more.
    End,
}

pub(super) struct Feed {
    pub shared: Arc<Shared>,
    pub board: Arc<Board>,
    pub records: Records,
    pub selection: Arc<Selection>,
    pub matching: Matching,
    /// The rows to send again, and no others; `None`: all that are due.
    pub retried: Option<Retried>,
    /// Where the run that goes on began in the log; `None`: a new one begins.
    pub run_offset: Option<u64>,
}

/// What follows for a row that has an end.
enum Verdict {
    Keep,
    TryAgain,
}

impl Matching {
    /// As one that only reads finds them.
    pub fn seen(state: &StateReader, identity: [u8; 16]) -> Result<Self, RunError> {
        Ok(match state.order_for(identity)? {
            Some((order, _)) => Self::ByNumber(order),
            None => Self::ByKey(KeyIndex::build(state.outcomes()?.map(|outcome| Ok(outcome?.ended)))?),
        })
    }

    /// A row's end, and its request where it had to be rendered for that.
    pub fn find(&mut self, plan: &Plan, record: &Record) -> Result<(Option<End>, Option<Prepared>), RunError> {
        match self {
            Self::ByNumber(order) => Ok((order.get(record.number)?, None)),
            Self::ByKey(index) => {
                let prepared = prepare(plan, record);
                Ok((index.take(prepared.key), Some(prepared)))
            }
        }
    }
}

/// What an end that is on record means for a run that began at this place in the log; `None`: that begins now.
pub(super) enum Standing {
    Succeeded,
    /// Failed earlier in this run.
    Failed(FailureKind),
    /// Failed in an earlier run, and is not tried again.
    FailedBefore,
    /// Failed in an earlier run.
    TriedAgain,
}

impl Standing {
    pub fn of(end: &End, run_offset: Option<u64>, policy: RetryFailed) -> Self {
        let Some(kind) = end.failure else { return Self::Succeeded };
        if run_offset.is_some_and(|start| end.offset >= start) {
            return Self::Failed(kind);
        }
        let again = match policy {
            RetryFailed::Transient => is_transient(kind),
            RetryFailed::All => true,
            RetryFailed::None => false,
        };
        if again { Self::TriedAgain } else { Self::FailedBefore }
    }
}

impl Feed {
    /// Takes one record. `matched` gets what was found by key.
    fn step(&mut self, matched: &mut Vec<(u64, End)>) -> Result<Step, RunError> {
        let Some(record) = self.records.next().transpose()? else { return Ok(Step::End) };
        if record.number > self.selection.limit() {
            return Ok(Step::End);
        }
        if !self.selection.takes(&self.shared.plan, &record) {
            self.board.found().passed += 1;
            return Ok(Step::Passed);
        }
        self.board.found().seen += 1;
        let (end, prepared) = self.find(&record, matched)?;
        let Some(end) = end else {
            if self.retried.is_some() {
                self.board.found().left_alone += 1;
                return Ok(Step::Passed);
            }
            return Ok(Step::Due { record, prepared, replaces: None });
        };
        match self.account(&record, &end) {
            Verdict::Keep => Ok(Step::Passed),
            Verdict::TryAgain => {
                self.board.found().retried += u64::from(self.retried.is_some());
                Ok(Step::Due { record, prepared, replaces: Some(end) })
            }
        }
    }

    /// The row's end, and its request where it had to be rendered for that.
    fn find(
        &mut self,
        record: &Record,
        matched: &mut Vec<(u64, End)>,
    ) -> Result<(Option<End>, Option<Prepared>), RunError> {
        let (end, prepared) = self.matching.find(&self.shared.plan, record)?;
        if prepared.is_some() {
            matched.extend(end.map(|end| (record.number, end)));
        }
        Ok((end, prepared))
    }

    /// Counts a row that has an end, and decides whether that end stands.
    fn account(&self, record: &Record, end: &End) -> Verdict {
        if self.retried.as_ref().is_some_and(|retried| retried.takes(&self.shared.plan, record, end)) {
            return Verdict::TryAgain;
        }
        let mut found = self.board.found();
        match Standing::of(end, self.run_offset, self.shared.plan.job.retry_failed) {
            Standing::Succeeded => {
                found.succeeded += 1;
                found.truncated += u64::from(end.truncated);
            }
            Standing::Failed(kind) => *found.failed.entry(kind).or_default() += 1,
            Standing::TriedAgain if self.retried.is_none() => return Verdict::TryAgain,
            // Of a retry's rows, only those that it names are tried again.
            Standing::TriedAgain | Standing::FailedBefore => found.failed_before += 1,
        }
        if let Some(kind) = end.failure {
            *found.left_failed.entry(kind).or_default() += 1;
        }
        Verdict::Keep
    }
}

/// Feeds all due rows to workers, and waits for them.
///
/// An error ends the feed, not the rows under way: they drain as in any stop, since they are paid for.
pub(super) async fn drive(feed: Feed, window: Window, handle: Handle) -> Result<(), RunError> {
    let stop = feed.shared.stop.clone();
    let mut workers = JoinSet::new();
    let mut result = hand_out(feed, &window, &handle, &mut workers).await;
    loop {
        if result.is_err() && stop.reason().is_none() {
            stop.request(StopReason::Failed);
        }
        match workers.join_next().await {
            None => return result,
            Some(ended) => result = result.and(ended.map_err(RunError::Worker)),
        }
    }
}

/// Takes record after record, and hands those that are due to workers.
///
/// When the run stops or no model is left, the rest of the input is only counted, so that the summary can say what
/// remains; an abort ends that too.
async fn hand_out(mut feed: Feed, window: &Window, handle: &Handle, workers: &mut JoinSet<()>) -> Result<(), RunError> {
    let shared = Arc::clone(&feed.shared);
    let mut matched = Vec::new();
    while shared.stop.phase() != Phase::Aborting {
        match feed.step(&mut matched)? {
            Step::End => return seen_all(feed, matched).await,
            Step::Passed => {}
            Step::Due { record, prepared, replaces } => {
                // What an outcome replaces must be known of before the outcome is.
                let upto = if replaces.is_some() { 0 } else { MATCHED_BATCH };
                tell_matched(&shared, &mut matched, upto).await;
                if let Some(window) = enter(&shared, window, &record).await {
                    let item = Item { record, prepared, replaces, window };
                    workers.spawn_on(work(Arc::clone(&shared), item), handle);
                }
            }
        }
        tell_matched(&shared, &mut matched, MATCHED_BATCH).await;
        while let Some(ended) = workers.try_join_next() {
            ended.map_err(RunError::Worker)?;
        }
    }
    tell_matched(&shared, &mut matched, 0).await;
    Ok(())
}

/// The end of the selection: all that was found is told, and that it is all.
async fn seen_all(feed: Feed, mut matched: Vec<(u64, End)>) -> Result<(), RunError> {
    tell_matched(&feed.shared, &mut matched, 0).await;
    {
        let mut found = feed.board.found();
        found.whole = true;
        if let Some(rows) = rows_of_job(&feed, &found) {
            found.whole_job = Some(rows);
        }
    }
    if feed.selection.is_whole(&feed.shared.plan) {
        feed.shared.tell(Message::MatchedAll).await;
    }
    Ok(())
}

/// How many rows the whole job has, where a pass over this selection tells it.
fn rows_of_job(feed: &Feed, found: &Found) -> Option<u64> {
    if !feed.selection.is_part() {
        return Some(found.seen);
    }
    let all_read = feed.selection.limit() == u64::MAX && feed.shared.plan.filter.is_none();
    all_read.then_some(found.seen + found.passed)
}

/// Waits for room in the window; `None` where no more rows are sent.
async fn enter(shared: &Shared, window: &Window, record: &Record) -> Option<super::window::WindowPermit> {
    if shared.stop.phase() != Phase::Running || !shared.has_any_model() {
        return None;
    }
    tokio::select! {
        biased;
        () = shared.stop.draining() => None,
        permit = window.enter(record.size()) => permit,
    }
}

async fn tell_matched(shared: &Shared, matched: &mut Vec<(u64, End)>, upto: usize) {
    if matched.len() > upto {
        shared.tell(Message::Matched(std::mem::take(matched))).await;
    }
}
