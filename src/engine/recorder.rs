//! The single writer: what it has not written did not happen.
//!
//! Takes attempts and outcomes from the workers, appends them to the log, gives their permits back once they stand there,
//! syncs and checkpoints by the clock, and alone emits events. It decides nothing about rows.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::before::JOB_BEFORE;
use super::board::Board;
use super::control::Pause;
use super::dedupe::{CopyPermit, Dedupe, shared_request};
use super::progress::Progress;
use super::rules::Rules;
use super::shutdown::Stop;
use super::sources::PriceSources;
use super::stream::Stream;
use super::upstream::Upstream;
use super::window::WindowPermit;
use crate::event::{Event, StopReason};
use crate::limit::Admission;
use crate::sink::SinkError;
use crate::store::{End, Flight, Store, StoreError};
use crate::types::{AttemptLine, Held, Key, LogLine, OutcomeLine, Purpose, RunEndLine, RunKind, RunLine, RunNumber};

/// Lines are synced to disk this often.
const SYNC_EVERY: Duration = Duration::from_millis(100);
/// `totals.json` is replaced this often.
const TOTALS_EVERY: Duration = Duration::from_secs(1);
/// Messages taken at once, and so lines written with one system call.
const BATCH: usize = 512;
/// Of long lines no more bytes than these and the last line's wait for that.
const PIECE: usize = 1 << 20;

/// What the recorder is told.
pub(super) enum Message {
    /// Rows that were found done by key.
    Matched(Vec<(u64, End)>),
    /// All rows of the input have been matched.
    MatchedAll,
    /// A call that is not its row's last.
    Attempt { line: Box<AttemptLine>, admission: Admission },
    /// A row has ended.
    Outcome {
        line: Box<OutcomeLine>,
        /// Its result line, where those are written as rows end.
        result: Option<Result<Vec<u8>, SinkError>>,
        permits: Permits,
    },
    /// A row's answer stands, as asking again failed.
    AnswerKept { window: WindowPermit },
    /// The flight file cannot be written.
    Broken(StoreError),
}

/// What a line holds until it stands in the log.
#[derive(Default)]
pub(super) struct Permits {
    /// Its last call's.
    pub admission: Option<Admission>,
    /// To hold another row's answer.
    pub copy: Option<CopyPermit>,
    pub window: Option<WindowPermit>,
}

/// The calls that a killed run for something else, such as a comparison, had out.
fn words_on_others(lines: &[&AttemptLine]) -> Option<String> {
    let run = lines.first()?.run;
    let calls = if lines.len() == 1 { "1 call".to_owned() } else { format!("{} calls", lines.len()) };
    Some(format!("run {run} was killed with {calls} out, which may have been billed: `report --run {run}` counts them"))
}

/// Whoever watches the run.
pub type Watcher = Box<dyn FnMut(&Event) + Send>;

/// What the recorder is made of.
pub(super) struct RecorderParts {
    pub store: Store,
    /// Told of outcomes that rows with the same request may take.
    pub dedupe: Option<Arc<Dedupe>>,
    pub board: Arc<Board>,
    pub upstreams: Arc<[Upstream]>,
    pub stop: Stop,
    pub pause: Pause,
    pub rules: Rules,
    pub watcher: Watcher,
    pub stream: Option<Stream>,
    pub job_name: String,
    /// What the run is for.
    pub purpose: Purpose,
    /// Which part of the job it is about; `None`: all of it.
    pub part: Option<String>,
    /// What the totals say of the job besides, where the run is not to change it; empty: it has never run.
    pub before: Option<Map<String, Value>>,
    /// How many rows the whole job had, when that was last known.
    pub whole_job: Option<u64>,
    pub price_sources: PriceSources,
    /// How long rows waited for each model in earlier invocations.
    pub held: Held,
    /// When the invocation began.
    pub began: Instant,
}

pub(super) struct Recorder {
    pub store: Store,
    pub progress: Progress,
    pub stream: Option<Stream>,
    flight: Arc<Flight>,
    stop: Stop,
    pause: Pause,
    rules: Rules,
    watcher: Watcher,
    job_name: String,
    purpose: Purpose,
    part: Option<String>,
    before: Option<Map<String, Value>>,
    whole_job: Option<u64>,
    price_sources: PriceSources,
    /// The run that was there when the invocation began.
    pub resumed: Option<RunNumber>,
    dedupe: Option<Arc<Dedupe>>,
    /// Requests whose outcomes are not yet written, and where they will stand.
    shared: Vec<(Key, u64)>,
    /// Permits of lines that are not yet written.
    held: Vec<Permits>,
    /// Why the run drains, as it was told.
    told_drain: Option<StopReason>,
    told_pause: bool,
    synced: Instant,
    saved: Instant,
    /// Why the run cannot go on.
    error: Option<StoreError>,
}

impl Recorder {
    pub fn new(parts: RecorderParts) -> Self {
        let now = Instant::now();
        Self {
            flight: parts.store.flight(),
            resumed: parts.store.ledger().open(&parts.purpose).map(|run| run.run),
            progress: Progress::new(parts.board, parts.upstreams, parts.began, parts.held),
            store: parts.store,
            stream: parts.stream,
            stop: parts.stop,
            pause: parts.pause,
            rules: parts.rules,
            watcher: parts.watcher,
            job_name: parts.job_name,
            purpose: parts.purpose,
            part: parts.part,
            before: parts.before,
            whole_job: parts.whole_job,
            price_sources: parts.price_sources,
            dedupe: parts.dedupe,
            shared: Vec::new(),
            held: Vec::new(),
            told_drain: None,
            told_pause: false,
            synced: now,
            saved: now,
            error: None,
        }
    }

    /// Tells what was found when the state directory was opened, and counts calls of a killed invocation whose end is not
    /// known: they are this invocation's news. Those of a run for something else are not among its figures.
    pub fn opened(&mut self, mut notes: Vec<String>, possibly_billed: &[AttemptLine]) {
        let runs = &self.store.ledger().runs;
        let is_own = |line: &&AttemptLine| runs.iter().any(|run| run.run == line.run && run.is_for(&self.purpose));
        let (own, others): (Vec<_>, Vec<_>) = possibly_billed.iter().partition(is_own);
        notes.extend(words_on_others(&others));
        for message in notes {
            self.tell(&Event::Note { message, warning: true });
        }
        for line in own {
            self.progress.found_possibly_billed(line);
        }
        // Before the first row: a run that begins too late sends nothing.
        self.stop_if(self.rules.by_time(self.progress.elapsed(), jiff::Timestamp::now()));
    }

    /// Records until all senders are gone, and until whoever reads along has all.
    ///
    /// After an error it goes on taking messages and tries to write them, so that what has arrived is on record wherever
    /// the log can take it, and the run drains.
    pub async fn drive(&mut self, mut messages: mpsc::Receiver<Message>) -> Result<(), StoreError> {
        let mut batch = Vec::with_capacity(BATCH);
        // One timer for all ticks: a new one with each message would wake the runtime, which waits for its earliest.
        let mut tick = pin!(sleep_until(self.synced + SYNC_EVERY));
        while self.receive(&mut messages, tick.as_mut(), &mut batch).await {
            self.step(&mut batch);
            if tick.deadline() <= self.synced {
                tick.as_mut().reset(self.synced + SYNC_EVERY);
            }
        }
        self.settle();
        self.deliver().await;
        self.show(Instant::now());
        let saved = self.save_totals("stopped");
        self.note(saved);
        self.error.take().map_or(Ok(()), Err)
    }

    /// Waits for messages, for whoever reads along or for the clock; false where all senders are gone.
    async fn receive(
        &mut self,
        messages: &mut mpsc::Receiver<Message>,
        tick: Pin<&mut Sleep>,
        batch: &mut Vec<Message>,
    ) -> bool {
        let has_room = self.stream.as_ref().is_none_or(Stream::has_room);
        tokio::select! {
            biased;
            () = push(&mut self.stream) => true,
            received = messages.recv_many(batch, BATCH), if has_room => received > 0,
            () = tick => true,
        }
    }

    /// Writes a batch and does what the clock asks for.
    fn step(&mut self, batch: &mut Vec<Message>) {
        for message in batch.drain(..) {
            let taken = self.take(message);
            self.note(taken);
            if self.store.unwritten() >= PIECE && self.error.is_none() {
                let written = self.write();
                self.note(written);
            }
        }
        let begun = self.begin();
        self.note(begun);
        let written = self.write();
        self.note(written);
        let now = Instant::now();
        if now >= self.synced + SYNC_EVERY {
            self.synced = now;
            self.tick(now);
        }
        if self.error.is_none() {
            let kept = self.keep(now);
            self.note(kept);
        }
    }

    /// The first error ends the run; what is in flight drains, as it is paid for.
    fn note(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.stop.drain(StopReason::Failed);
            if let Some(dedupe) = &self.dedupe {
                dedupe.close();
            }
            self.error.get_or_insert(error);
        }
    }

    /// Writes what was appended. After an error all of it is tried again.
    fn write(&mut self) -> Result<(), StoreError> {
        self.store.write()?;
        // Behind the log: what is read must not be asked again.
        if let Some(stream) = &mut self.stream {
            stream.logged();
        }
        self.release()
    }

    /// Ten times a second.
    fn tick(&mut self, now: Instant) {
        self.stop_if(self.rules.by_time(self.progress.elapsed(), jiff::Timestamp::now()));
        if self.error.is_none() {
            self.store.sync_soon();
        } else {
            // Nothing moves on after an error; what drains should last all the same.
            let synced = self.store.sync();
            self.note(synced);
        }
        self.show(now);
    }

    /// Sees to it that lines last and the checkpoint follows, and each second the totals.
    fn keep(&mut self, now: Instant) -> Result<(), StoreError> {
        self.store.advance()?;
        if now >= self.saved + TOTALS_EVERY {
            self.saved = now;
            self.save_totals(if self.pause.is_on() { "paused" } else { "running" })?;
        }
        Ok(())
    }

    /// Waits until all lines have gone out to whoever reads along.
    async fn deliver(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        {
            let mut finished = pin!(stream.finish());
            loop {
                tokio::select! {
                    () = &mut finished => break,
                    () = sleep(SYNC_EVERY) => self.tick(Instant::now()),
                }
            }
        }
        self.stream = Some(stream);
    }

    fn take(&mut self, message: Message) -> Result<(), StoreError> {
        match message {
            Message::Matched(rows) => rows.into_iter().try_for_each(|(row, end)| self.store.set_order(row, end)),
            Message::MatchedAll => self.store.mark_matched(),
            Message::Attempt { mut line, admission } => {
                line.run = self.run()?;
                line.at = now_ms();
                self.tell(&Event::of_attempt(&line));
                self.append(&LogLine::Attempt(line))?;
                self.held.push(Permits { admission: Some(admission), ..Permits::default() });
                Ok(())
            }
            Message::Outcome { mut line, result, permits } => {
                if let (Some(stream), Some(result)) = (&mut self.stream, result) {
                    stream.add(result);
                }
                line.run = self.run()?;
                line.at = now_ms();
                line.compared = self.purpose.kind == RunKind::Compare;
                self.progress.outcome(&line);
                let (ended, failed) = self.progress.ended();
                self.stop_if(self.rules.by_failures(ended, failed));
                self.tell(&Event::of_outcome(&line));
                let shared = shared_request(&line).filter(|_| !line.deduped);
                let place = self.append(&LogLine::Outcome(line))?;
                self.shared.extend(shared.map(|request| (request, place)));
                self.held.push(permits);
                Ok(())
            }
            Message::AnswerKept { window } => {
                self.progress.answer_kept();
                drop(window);
                Ok(())
            }
            // The call was not sent, but those beside it were.
            Message::Broken(error) => Err(error),
        }
    }

    /// Stops the run by a limit of its own.
    fn stop_if(&self, reason: Option<StopReason>) {
        if let Some(reason) = reason {
            self.stop.drain(reason);
        }
    }

    fn append(&mut self, line: &LogLine) -> Result<u64, StoreError> {
        self.progress.count(line);
        self.store.append(line)
    }

    /// A run lasts from its first call on, whose answer may be minutes away.
    fn begin(&mut self) -> Result<(), StoreError> {
        if self.progress.has_begun() || !self.flight.has_calls() { Ok(()) } else { self.run().map(drop) }
    }

    /// The run that lines belong to; the first line begins it where no call has.
    fn run(&mut self) -> Result<RunNumber, StoreError> {
        let ledger = self.store.ledger();
        let run = ledger.open(&self.purpose).map_or_else(|| ledger.next_run(), |open| open.run);
        // Behind a run of another kind it is told that lines are of this one again.
        if ledger.runs.last().is_none_or(|last| last.run != run || last.ended_at.is_some()) {
            let (at, offset, Purpose { kind, about }) = (now_ms(), self.store.log_len(), self.purpose.clone());
            self.store.append(&LogLine::Run(RunLine { run, at, offset, kind, about }))?;
        }
        if self.progress.begin(run) {
            let resumed = self.resumed == Some(run);
            self.tell(&Event::RunStarted { job: self.job_name.clone(), run, resumed });
        }
        Ok(run)
    }

    /// Gives back what the lines held, now that they stand in the log.
    fn release(&mut self) -> Result<(), StoreError> {
        if let Some(dedupe) = self.dedupe.as_ref().filter(|_| !self.shared.is_empty()) {
            dedupe.written(self.shared.drain(..));
        }
        let mut freed = Ok(());
        // Each is tried: a call that stands in the log is not told again, whatever the flight file says.
        for Permits { admission, copy: _copy, window: _window } in self.held.drain(..) {
            freed = freed.and(admission.map_or(Ok(()), |admission| self.flight.free(admission.slot())));
        }
        freed
    }

    /// The end of all messages: everything to disk, as far as it takes it.
    fn settle(&mut self) {
        let synced = self.write().and_then(|()| self.store.sync());
        self.note(synced);
        if self.error.is_none() {
            let kept = self.store.checkpoint();
            self.note(kept);
        }
    }

    /// Nothing remains: the next line begins a new run.
    pub fn end_run(&mut self) -> Result<(), StoreError> {
        if let Some(run) = self.store.ledger().open(&self.purpose).map(|run| run.run) {
            self.store.append(&LogLine::RunEnd(RunEndLine { run, at: now_ms() }))?;
            self.store.write()?;
            self.store.checkpoint()?;
        }
        self.save_totals("finished")
    }

    /// Closes the log and the checkpoint.
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close()
    }

    /// Puts on record why the run stopped, where that shows only at its end: as that a route has no model left.
    pub fn stopped(&self, reason: StopReason) -> Result<(), StoreError> {
        self.save_totals_with("stopped", Some(reason))
    }

    fn save_totals(&self, state: &str) -> Result<(), StoreError> {
        self.save_totals_with(state, self.stop.reason())
    }

    fn save_totals_with(&self, state: &str, stop_reason: Option<StopReason>) -> Result<(), StoreError> {
        let price_sources = self.price_sources.after(&self.progress.totals);
        let has_ended = state == "stopped" || state == "finished";
        if let Some(before) = self.before.as_ref().filter(|before| has_ended && !before.is_empty()) {
            let mut before = before.clone();
            before.insert("price_sources".to_owned(), serde_json::to_value(price_sources)?);
            before.insert("held".to_owned(), serde_json::to_value(self.progress.held())?);
            return self.store.save_totals(&Value::Object(before));
        }
        let (rows, pid) = (self.progress.rows(), std::process::id());
        let whole_job = self.progress.whole_job().or(self.whole_job);
        let mut extra = serde_json::json!({
            "state": state, "pid": pid, "rows": rows, "stop_reason": stop_reason, "exit_code": stop_reason.map(StopReason::exit_code), "part": self.part, "whole_job": whole_job,
            "price_sources": price_sources,
            "held": self.progress.held(),
        });
        if let Some(before) = &self.before {
            extra[JOB_BEFORE] = Value::Object(before.clone());
        }
        self.store.save_totals(&extra)
    }

    /// Ten times a second: how far it is, and what changed.
    fn show(&mut self, now: Instant) {
        // A signal may take the place of the reason that was told first.
        let reason = self.stop.reason().filter(|reason| self.told_drain != Some(*reason));
        if let Some(reason) = reason {
            self.told_drain = Some(reason);
            self.tell(&Event::Draining { reason });
        }
        if self.told_pause != self.pause.is_on() {
            self.told_pause = self.pause.is_on();
            self.progress.pause(self.told_pause);
            let message = if self.told_pause { "paused: no calls are sent" } else { "resumed" };
            self.tell(&Event::Note { message: message.to_owned(), warning: false });
        }
        self.progress.watch(now);
        for change in self.progress.state_changes(now) {
            self.tell(&change);
        }
        let snapshot = self.progress.snapshot(now, self.stop.reason().is_some());
        self.tell(&Event::Progress(Box::new(snapshot)));
    }

    pub fn tell(&mut self, event: &Event) {
        (self.watcher)(event);
    }
}

/// Hands lines on to whoever reads along; never returns where there are none.
async fn push(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => stream.push().await,
        None => std::future::pending().await,
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
