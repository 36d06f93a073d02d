//! Reads the input, finds what is done, and hands on what is to be sent.
//!
//! The feed goes in plain steps, driven by a thread of its own in the binary and by the runtime in tests on paused time.
//! They never wait; `drive` does, for room in the window. Rows of a task that has no room while others have are passed over,
//! and come back by [`Lagging`].

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::RunError;
use super::board::{Board, Found};
use super::compare::Copies;
use super::lagging::Lagging;
use super::matching::Matching;
use super::plan::{Choice, Plan};
use super::prepare::{Prepared, What, route};
use super::recorder::Message;
use super::retry::Retried;
use super::selection::Selection;
use super::shared::Shared;
use super::shutdown::Phase;
use super::upstream::Upstream;
use super::window::Window;
use super::worker::{Item, work};
use crate::event::StopReason;
use crate::job::RetryFailed;
use crate::source::{Record, Records, SourceError};
use crate::store::End;
use crate::types::FailureKind;

/// Matched rows are handed to the recorder in pieces of this many.
const MATCHED_BATCH: usize = 1024;

/// How long a run that stops goes on counting when nothing is in flight: enough for some million rows that are matched by
/// number.
const COUNTED_ON: Duration = Duration::from_secs(2);

/// A row that is to be sent.
struct Due {
    record: Record,
    prepared: Option<Box<Prepared>>,
    replaces: Option<End>,
    /// Its lane of the window.
    lane: usize,
}

impl Due {
    /// What it takes in memory, as far as that is known before it is sent.
    fn bytes(&self) -> usize {
        let files = match self.prepared.as_ref().map(|prepared| &prepared.what) {
            Some(What::Ask(request)) => request.further_bytes(),
            Some(What::Fail { .. }) | None => 0,
        };
        self.record.size().saturating_add(files)
    }
}

/// What one record comes to.
enum Step {
    Due(Due),
    /// It is done, or not selected.
    Passed,
    /// There are no more.
    End,
}

/// What the feed does next.
enum Turn {
    /// Hands a row on.
    Send(Item),
    /// Goes on at once.
    Passed,
    /// Tells that the selection has been seen.
    End,
    /// Waits for room in the window.
    Wait,
    /// Nothing is left to send.
    Over,
}

pub(super) struct Feed {
    pub shared: Arc<Shared>,
    pub board: Arc<Board>,
    /// The main pass.
    pub records: Records,
    pub window: Window,
    pub lagging: Lagging,
    pub selection: Arc<Selection>,
    pub matching: Matching,
    /// The rows to send again, and no others; `None`: all that are due.
    pub retried: Option<Retried>,
    /// Where the run that goes on began in the log; `None`: a new one begins.
    pub run_offset: Option<u64>,
    /// Outcomes on record that no row has been found for yet, at most.
    pub unclaimed: u64,
    pub pass: Pass,
    /// Each record is a row for each of these models.
    pub compared: Option<Copies>,
}

/// Where the main pass is.
#[derive(Default)]
pub(super) struct Pass {
    /// A row that waits for room, and the pass with it.
    held: Option<Due>,
    /// It has seen the whole selection, or all that can be read of it.
    ended: bool,
    /// Why it cannot read on. Rows before that are sent all the same.
    broken: Option<SourceError>,
    /// Rows found by key that the recorder has not been told of.
    matched: Vec<(u64, End)>,
}

/// What follows for a row that has an end.
enum Verdict {
    Keep,
    TryAgain,
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
        if end.compared {
            // What one model alone failed, the job's route may yet answer.
            return Self::TriedAgain;
        }
        Self::failed(kind, run_offset.is_some_and(|start| end.offset >= start), policy)
    }

    /// What it means for a comparison that began there: a failure of the job's own is one of an earlier run.
    fn compared(end: &End, run_offset: Option<u64>, policy: RetryFailed) -> Self {
        let Some(kind) = end.failure else { return Self::Succeeded };
        Self::failed(kind, end.compared && run_offset.is_some_and(|start| end.offset >= start), policy)
    }

    fn failed(kind: FailureKind, in_this_run: bool, policy: RetryFailed) -> Self {
        if in_this_run {
            return Self::Failed(kind);
        }
        if policy.takes(kind) { Self::TriedAgain } else { Self::FailedBefore }
    }
}

/// Rows of these tasks enter the window in as many lanes. Where there are several, rows that fail without a call have one
/// of their own, the last.
pub(super) fn lanes(plan: &Plan) -> usize {
    match plan.tasks.len() {
        1 => 1,
        tasks => tasks + 1,
    }
}

/// The window for these lanes.
pub(super) fn window(plan: &Plan, upstreams: &[Upstream], compares: bool) -> Window {
    let window = Window::new(plan.job.concurrency, lanes(plan));
    // Rows that ask the same wait for one of them without a call, and those of a comparison pass none of another model.
    if window.is_single || plan.job.dedupe || compares {
        return window;
    }
    let most = |choice: &Choice| upstreams[choice.upstream].gate.most_in_flight();
    let calls = plan.tasks.iter().map(|task| task.all_choices().map(most).fold(0, usize::saturating_add));
    window.for_calls(calls.chain([usize::MAX]))
}

impl Feed {
    /// What is next: a row that was passed over, where one has room by now, and then the main pass, so that neither holds up
    /// the other.
    fn turn(&mut self, late_first: bool) -> Result<Turn, RunError> {
        if late_first && let Some(item) = self.take_late()? {
            return Ok(Turn::Send(item));
        }
        if let Some(due) = self.pass.held.take() {
            return Ok(self.place(due));
        }
        if self.pass.ended {
            return Ok(if self.lagging.any() { Turn::Wait } else { Turn::Over });
        }
        if !self.reads_on() {
            return Ok(Turn::Wait);
        }
        Ok(match self.step() {
            Ok(Step::Due(due)) => self.place(due),
            Ok(Step::Passed) => Turn::Passed,
            Ok(Step::End) => {
                self.pass.ended = true;
                Turn::End
            }
            Err(RunError::Source(error)) => {
                (self.pass.ended, self.pass.broken) = (true, Some(error));
                Turn::Passed
            }
            Err(error) => return Err(error),
        })
    }

    /// A row that was passed over, in a lane that has room by now.
    fn take_late(&mut self) -> Result<Option<Item>, RunError> {
        let shared = Arc::clone(&self.shared);
        let Some((record, kept, window)) = self.lagging.next(&self.window, |lane| is_dead(&shared, lane))? else {
            return Ok(None);
        };
        let replaces = match &mut self.matching {
            Matching::ByNumber(order) => order.get(record.number)?,
            Matching::ByKey(_) => kept,
        };
        Ok(Some(Item { record, prepared: None, replaces, window }))
    }

    /// Whether the main pass may find a row that can be sent. Where all tasks lag or have no room, it would only read ahead.
    fn reads_on(&self) -> bool {
        let mut lanes = (0..self.shared.plan.tasks.len()).filter(|lane| !is_dead(&self.shared, *lane)).peekable();
        self.window.is_single
            || self.shared.stop.phase() != Phase::Running
            || lanes.peek().is_none()
            || lanes.any(|lane| !self.lagging.lags(lane) && self.window.has_room(lane))
    }

    /// Gives a row a place in the window, or leaves it, or passes it over, or keeps it until there is room.
    fn place(&mut self, due: Due) -> Turn {
        if self.shared.stop.phase() != Phase::Running || is_dead(&self.shared, due.lane) {
            self.window.leave_out(due.lane);
            return Turn::Passed;
        }
        // Behind rows that were passed over it waits like them.
        if !self.lagging.lags(due.lane)
            && let Some(window) = self.window.enter(due.lane, due.bytes())
        {
            let Due { record, prepared, replaces, .. } = due;
            return Turn::Send(Item { record, prepared, replaces, window });
        }
        let kept = match self.matching {
            Matching::ByNumber(_) => None,
            Matching::ByKey(_) => due.replaces,
        };
        // Passes of their own would not know which model a row is for.
        let may_lag = !self.window.is_single && self.compared.is_none();
        if may_lag && self.lagging.pass_over(due.lane, due.record.number, kept) {
            return Turn::Passed;
        }
        self.pass.held = Some(due);
        Turn::Wait
    }

    /// Takes one record of the main pass.
    fn step(&mut self) -> Result<Step, RunError> {
        let next = match &mut self.compared {
            None => self.records.next().transpose()?,
            Some(copies) => copies.next(&mut self.records)?,
        };
        let Some(record) = next else { return Ok(Step::End) };
        if record.number > self.selection.limit() {
            return Ok(Step::End);
        }
        if !self.selection.takes(&self.shared.plan, &record) {
            self.board.found().passed += 1;
            return Ok(Step::Passed);
        }
        self.board.found().seen += 1;
        let (end, prepared) = self.find(&record)?;
        match &end {
            None if self.retried.is_some() => {
                self.board.found().left_alone += 1;
                return Ok(Step::Passed);
            }
            None => {}
            Some(end) => match self.account(&record, end) {
                Verdict::Keep => return Ok(Step::Passed),
                Verdict::TryAgain => self.board.found().retried += u64::from(self.retried.is_some()),
            },
        }
        let lane = self.lane(&record, prepared.as_ref());
        Ok(Step::Due(Due { record, prepared: prepared.map(Box::new), replaces: end, lane }))
    }

    /// The lane that a row enters.
    fn lane(&self, record: &Record, prepared: Option<&Prepared>) -> usize {
        let plan = &self.shared.plan;
        if self.window.is_single {
            return 0;
        }
        let task = match prepared.map(|prepared| &prepared.what) {
            Some(What::Ask(request)) => Some(request.task),
            Some(What::Fail { .. }) => None,
            None => record.row().ok().and_then(|row| route(plan, &row).ok()),
        };
        task.unwrap_or(plan.tasks.len())
    }

    /// The row's end, and its request where it had to be rendered for that.
    fn find(&mut self, record: &Record) -> Result<(Option<End>, Option<Prepared>), RunError> {
        if let Some(copies) = &mut self.compared {
            return copies.find(record);
        }
        let (end, prepared) = self.matching.find(&self.shared.plan, record)?;
        self.unclaimed -= u64::from(end.is_some()).min(self.unclaimed);
        if prepared.is_some() {
            self.pass.matched.extend(end.map(|end| (record.number, end)));
        }
        Ok((end, prepared))
    }

    /// Tells the recorder of rows that were found by key, where there are more than so many.
    async fn tell_matched(&mut self, upto: usize) {
        if self.pass.matched.len() > upto {
            let matched = std::mem::take(&mut self.pass.matched);
            self.shared.tell(Message::Matched(matched)).await;
        }
    }

    /// The end of the selection: all that was found is told, and that it is all.
    async fn tell_all_seen(&mut self) {
        self.tell_matched(0).await;
        {
            let mut found = self.board.found();
            found.whole = true;
            if let Some(rows) = self.rows_of_job(&found) {
                found.whole_job = Some(rows);
            }
        }
        if self.selection.is_whole(&self.shared.plan) {
            self.shared.tell(Message::MatchedAll).await;
        }
    }

    /// How many rows the whole job has, where a pass over this selection tells it.
    fn rows_of_job(&self, found: &Found) -> Option<u64> {
        if !self.selection.is_part() {
            return Some(found.seen);
        }
        let all_read = self.selection.limit() == u64::MAX && self.shared.plan.filter.is_none();
        all_read.then_some(found.seen + found.passed)
    }

    /// Whether a run that stops, and has had nothing in flight since then, may leave the rest of the input unread: because
    /// all that the summary says of it is known, or because it has been long enough.
    fn has_counted_enough(&self, since: Instant) -> bool {
        let knows_the_rest = self.unclaimed == 0 && self.board.found().counted.is_some();
        knows_the_rest || since.elapsed() >= COUNTED_ON
    }

    /// Counts a row that has an end, and decides whether that end stands.
    fn account(&self, record: &Record, end: &End) -> Verdict {
        if self.retried.as_ref().is_some_and(|retried| retried.takes(&self.shared.plan, record, end)) {
            return Verdict::TryAgain;
        }
        let mut found = self.board.found();
        let standing = if self.compared.is_some() { Standing::compared } else { Standing::of };
        match standing(end, self.run_offset, self.shared.plan.job.retry_failed) {
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

/// Whether no row of a lane can be sent any more.
fn is_dead(shared: &Shared, lane: usize) -> bool {
    if lane < shared.plan.tasks.len() { !shared.has_model(lane) } else { !shared.has_any_model() }
}

/// Feeds all due rows to workers, and waits for them.
///
/// An error ends the feed, not the rows under way: they drain as in any stop, since they are paid for. Those before the place
/// where the input breaks off go to their ends.
pub(super) async fn drive(feed: Feed, handle: Handle) -> Result<(), RunError> {
    // With it the recorder goes on, and so learns of a failure that shows only at the end.
    let shared = Arc::clone(&feed.shared);
    let mut workers = JoinSet::new();
    let mut result = hand_out(feed, &handle, &mut workers).await;
    loop {
        if result.is_err() {
            shared.stop.drain(StopReason::Failed);
        }
        match workers.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => result = result.and(Err(RunError::Worker(error))),
            None => break,
        }
    }
    let broken = result?;
    broken.map_or(Ok(()), |error| {
        shared.stop.drain(StopReason::Failed);
        Err(error.into())
    })
}

/// Takes record after record, and hands those that are due to workers.
///
/// When the run stops or no model is left, the rest of the input is only counted, so that the summary can say what
/// remains; that too has an end soon after the last call of a run that stops. Gives why the input cannot be read to its end,
/// where it cannot.
async fn hand_out(mut feed: Feed, handle: &Handle, workers: &mut JoinSet<()>) -> Result<Option<SourceError>, RunError> {
    let shared = Arc::clone(&feed.shared);
    let mut idle_since = None;
    let mut late_first = true;
    while shared.stop.phase() != Phase::Aborting {
        if shared.stop.phase() == Phase::Draining {
            feed.lagging.leave_all();
            if workers.is_empty() && feed.has_counted_enough(*idle_since.get_or_insert_with(Instant::now)) {
                break;
            }
        }
        match feed.turn(late_first)? {
            Turn::Send(item) => {
                // What an outcome replaces must be known of before the outcome is.
                let upto = if item.replaces.is_some() { 0 } else { MATCHED_BATCH };
                feed.tell_matched(upto).await;
                workers.spawn_on(work(Arc::clone(&shared), item), handle);
            }
            Turn::Passed => feed.tell_matched(MATCHED_BATCH).await,
            Turn::End => feed.tell_all_seen().await,
            Turn::Wait if late_first => wait_for_room(&shared, &feed.window).await,
            Turn::Wait => {}
            Turn::Over => break,
        }
        late_first = !late_first;
        while let Some(ended) = workers.try_join_next() {
            ended.map_err(RunError::Worker)?;
        }
    }
    feed.tell_matched(0).await;
    Ok(feed.pass.broken)
}

/// Waits until a row has left the window, or until no more are sent.
async fn wait_for_room(shared: &Shared, window: &Window) {
    tokio::select! {
        () = shared.stop.draining() => {}
        () = window.left() => {}
    }
}
