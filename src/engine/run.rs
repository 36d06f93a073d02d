//! A run from its job to its summary.

mod ahead;
mod ending;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::RunError;
use super::before::told_before;
use super::board::Board;
use super::bounds;
use super::budget::Budget;
use super::compare::Field;
use super::connect::{Transports, connect, upstreams};
use super::control::{self, Pause};
use super::dedupe::Dedupe;
use super::feed::{self, Feed, Pass};
use super::ground::Ground;
use super::lagging::Lagging;
use super::lock::{self, IfLocked};
use super::matching::Matching;
use super::needs;
use super::output;
use super::plan::Plan;
use super::recorder::{Message, Recorder, RecorderParts, Watcher, now_ms};
use super::retry::{Retried, Retry};
use super::rules::Rules;
use super::selection::{Selection, Subset};
use super::shared::Shared;
use super::shutdown::Stop;
use super::sources::PriceSources;
use super::stream::{DoneBefore, ResultStream, Stream};
use super::survey::change;
use super::upstream::Upstream;
use crate::event::{Event, StopReason, Summary};
use crate::job::{Job, OnChange};
use crate::sink::{self, OutputFormat, OutputSettings, Writer};
use crate::source::Input;
use crate::store::{LogReader, Opened, StateDir, StateLock, StateReader, Store};
use crate::types::{CallNumber, Held, Key, Purpose, RunKind, TrailEntry};

/// Messages on their way to the recorder at most: enough for a batch while another is written, few enough that what they
/// hold does not count against memory.
const RECORDER_QUEUE: usize = 1024;

/// Where feed and recorder work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// On threads of their own, so that file work never holds up calls.
    #[default]
    Own,
    /// On the runtime, which must then be able to wait for files: for tests on paused time.
    Runtime,
}

/// How a job is run, apart from what the job says.
pub struct RunOptions {
    /// The part of the input to run.
    pub subset: Subset,
    /// What to do while another run holds the job's lock.
    pub if_locked: IfLocked,
    /// Begin anew: what is kept so far goes to `archive/` in the state directory.
    pub fresh: bool,
    /// Send these rows again, and no others.
    pub retry: Option<Retry>,
    /// Where result lines go as rows end, with those of rows that were done before in front; no file is written then.
    pub results: Option<ResultStream>,
    /// What is to be said first, as warnings.
    pub warnings: Vec<String>,
    /// The handle to stop it by.
    pub stop: Stop,
    /// Told of everything that happens, by the recorder alone.
    pub watcher: Watcher,
    /// Transports by provider name, in place of HTTP.
    pub transports: Transports,
    /// Where feed and recorder work.
    pub threads: Threads,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            subset: Subset::default(),
            if_locked: IfLocked::Fail,
            fresh: false,
            retry: None,
            results: None,
            warnings: Vec::new(),
            stop: Stop::default(),
            watcher: Box::new(|_| {}),
            transports: Transports::new(),
            threads: Threads::Own,
        }
    }
}

/// Runs the job, or goes on with it where it stopped, until nothing remains or it is stopped.
///
/// # Errors
/// Where it cannot begin, or cannot go on; what was done is kept, and the same call goes on from there. A row that fails is
/// no error.
pub async fn run(job: Job, mut options: RunOptions) -> Result<Summary, RunError> {
    let mut plan = Plan::new(job)?;
    let mut retry = options.retry.take();
    if let Some(as_written) = retry.as_mut().and_then(|retry| retry.as_written.take()) {
        plan.keyed_by = Some(Box::new(Plan::new(*as_written)?));
    }
    bounds::check(&plan)?;
    let retried = retry.map(|retry| Retried::new(&retry, &plan)).transpose()?;
    let opened = open(Arc::new(plan), &mut options).await?;
    check(&opened.plan, &opened.input, options.results.is_some())?;
    let selection = Selection::new(&opened.plan, &opened.input, &options.subset)?;
    let part = options.subset.is_part().then(|| options.subset.to_string());
    let about = About { selection, part, retried, compared: None };
    let Begun { run, parts, held: _held } = begin(opened, about, options).await?;
    run.drive(parts).await
}

/// A job that nobody else works on, with its input.
pub(super) struct OpenJob {
    pub plan: Arc<Plan>,
    pub input: Arc<Input>,
    pub state: StateDir,
    lock: StateLock,
    rules: Rules,
    began: Instant,
}

/// Takes the job's lock and opens its input.
pub(super) async fn open(plan: Arc<Plan>, options: &mut RunOptions) -> Result<OpenJob, RunError> {
    let began = Instant::now();
    let rules = Rules::new(&plan.job, &jiff::Zoned::now());
    let state = StateDir::create(&plan.job.state, &plan.job.file)?;
    let lock = lock::take(&state, options.if_locked, &options.stop, &rules, &mut options.watcher).await?;
    // A word that was left for an earlier run.
    let _ = state.take_control();
    if let Some(input) = plan.job.made.as_ref().and_then(|made| made.input.as_ref()) {
        state.keep_input(&input.from, &input.to)?;
    }
    let input = Input::open(&plan.job.input, &state.path().join("spool")).map_err(RunError::Input)?;
    Ok(OpenJob { plan, input: Arc::new(input), state, lock, rules, began })
}

/// What a run is about.
pub(super) struct About {
    pub selection: Selection,
    /// In words, where it is not all of the job.
    pub part: Option<String>,
    pub retried: Option<Retried>,
    pub compared: Option<Field>,
}

/// A run that has all it needs.
pub(super) struct Begun {
    pub run: Run,
    pub parts: Drive,
    /// To be kept until the run has ended: the job's lock, and servers of simulated providers.
    pub held: (StateLock, JoinSet<()>),
}

/// Connects the models and opens the checkpoint.
pub(super) async fn begin(opened: OpenJob, about: About, options: RunOptions) -> Result<Begun, RunError> {
    let OpenJob { plan, input, state, lock, rules, began } = opened;
    let RunOptions { stop, mut watcher, transports, threads, results, fresh, warnings, .. } = options;
    let purpose = about.compared.as_ref().map_or(Purpose::JOB, Field::purpose);
    let connected = connect(&plan, &transports).await?;
    let archived = if fresh { state.archive(now_ms())? } else { None };
    if let Some(made) = &plan.job.made {
        state.keep_job_file(&plan.job.file, &made.text)?;
    }
    let (store, opened) = Store::open(&state, plan.job.concurrency, now_ms())?;
    for message in warnings {
        watcher(&Event::Note { message, warning: true });
    }
    if let Some(archive) = archived {
        let message = format!("began anew; what was there is in {}", archive.display());
        watcher(&Event::Note { message, warning: false });
    }
    let upstreams = upstreams(&plan, &connected, &store.ledger().requests, now_ms());
    let given_up = plan.tasks.iter().map(|_| AtomicBool::new(false)).collect();
    let run = Run {
        budget: Budget::new(&plan.job, store.ledger(), &purpose, Box::new(jiff::Zoned::now)),
        plan,
        input,
        selection: Arc::new(about.selection),
        purpose,
        part: about.part,
        compared: about.compared,
        retries: about.retried.is_some(),
        state,
        stop,
        pause: Pause::default(),
        rules,
        threads,
        simulated: connected.simulated,
        upstreams,
        given_up,
        board: Arc::default(),
        streams: results.is_some(),
    };
    let stream = results.map(|out| Stream::start(out, run.stop.clone())).transpose()?;
    let parts = Drive { store, opened, retried: about.retried, stream, watcher, began };
    Ok(Begun { run, parts, held: (lock, connected.servers) })
}

/// What must hold before anything is sent.
fn check(plan: &Plan, input: &Input, streams: bool) -> Result<(), RunError> {
    if streams {
        needs::check(plan, input)?;
        let lines = OutputSettings { format: OutputFormat::Jsonl, ..plan.job.output.clone() };
        return sink::check(&lines, &output::columns(input)?).map_err(RunError::Output);
    }
    check_files(plan, input)?;
    // A folder that cannot be written to shows now, not in the morning. Dropped, it leaves nothing behind.
    Writer::create(&plan.job.output, &output::columns(input)?, false).map_err(RunError::Output)?;
    Ok(())
}

/// As far as it can be checked without making a file.
pub(super) fn check_files(plan: &Plan, input: &Input) -> Result<(), RunError> {
    needs::check(plan, input)?;
    output::check(plan, input)
}

/// A run under way: what outlives feed and recorder.
pub(super) struct Run {
    budget: Budget,
    plan: Arc<Plan>,
    input: Arc<Input>,
    selection: Arc<Selection>,
    purpose: Purpose,
    /// Which part of the job it is about; `None`: all of it.
    part: Option<String>,
    /// What is compared, where it is a comparison.
    compared: Option<Field>,
    /// Only what a retry names is sent.
    retries: bool,
    state: StateDir,
    stop: Stop,
    pause: Pause,
    rules: Rules,
    threads: Threads,
    simulated: Vec<String>,
    upstreams: Arc<[Upstream]>,
    /// One for each task: all its models have been down for too long.
    given_up: Arc<[AtomicBool]>,
    board: Arc<Board>,
    /// Results go out as they come, and to no file.
    streams: bool,
}

/// What feed and recorder are made of.
pub(super) struct Drive {
    store: Store,
    opened: Opened,
    retried: Option<Retried>,
    stream: Option<Stream>,
    watcher: Watcher,
    began: Instant,
}

impl Run {
    /// Feeds, records, and ends it.
    pub async fn drive(self, parts: Drive) -> Result<Summary, RunError> {
        let Drive { mut store, mut opened, retried, mut stream, watcher, began } = parts;
        if retried.is_none() && self.compared.is_none() {
            opened.notes.extend(self.resent(&store)?);
        }
        let matching = self.matching(&mut store)?;
        if let Some(out) = stream {
            let again = matching.again(&mut store)?;
            stream = Some(self.write_done(out, again, began).await?);
        }
        let (sender, receiver) = mpsc::channel(RECORDER_QUEUE);
        let dedupe = Dedupe::of_run(&self.plan.job, &self.state, &store)?;
        let shared = self.shared(sender, &store, opened.next_call, opened.spent, dedupe.clone());
        let feed = self.new_feed(shared, &store, matching, retried)?;
        let mut recorder = self.new_recorder(store, dedupe, stream, watcher, began);
        recorder.opened(opened.notes, &opened.possibly_billed);
        let recorder = self.start(async move {
            let recorded = recorder.drive(receiver).await;
            (recorder, recorded)
        });
        let (fed, recorded) = self.to_end(async { (self.feed(feed).await, recorder.await) }).await;
        let (recorder, recorded) = recorded.map_err(RunError::Worker)?;
        recorded?;
        let (rows, sent) = (recorder.progress.rows(), recorder.progress.totals.sum().attempts > 0);
        let ended = rows.total - rows.remaining;
        let end = fed.and_then(|()| self.end(recorder));
        end.map_err(|error| if sent { error.behind_calls(ended) } else { error })
    }

    fn shared(
        &self,
        recorder: mpsc::Sender<Message>,
        store: &Store,
        next_call: CallNumber,
        spent: HashMap<Key, Vec<TrailEntry>>,
        dedupe: Option<Arc<Dedupe>>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            plan: Arc::clone(&self.plan),
            upstreams: Arc::clone(&self.upstreams),
            stop: self.stop.clone(),
            pause: self.pause.clone(),
            recorder,
            flight: store.flight(),
            given_up: Arc::clone(&self.given_up),
            streams: self.streams,
            budget: self.budget.clone(),
            next_call: AtomicU64::new(next_call),
            spent: Mutex::new(spent),
            dedupe,
        })
    }

    fn new_feed(
        &self,
        shared: Arc<Shared>,
        store: &Store,
        matching: Matching,
        retried: Option<Retried>,
    ) -> Result<Feed, RunError> {
        Ok(Feed {
            shared,
            board: Arc::clone(&self.board),
            records: self.input.records()?,
            window: feed::window(&self.plan, &self.upstreams, self.compared.is_some()),
            lagging: Lagging::new(Arc::clone(&self.input), feed::lanes(&self.plan)),
            selection: Arc::clone(&self.selection),
            matching,
            retried,
            run_offset: store.ledger().open(&self.purpose).map(|run| run.offset),
            unclaimed: store.outcome_count(),
            pass: Pass::default(),
            compared: self.compared.as_ref().map(|field| field.copies(store)).transpose()?,
        })
    }

    fn new_recorder(
        &self,
        store: Store,
        dedupe: Option<Arc<Dedupe>>,
        stream: Option<Stream>,
        watcher: Watcher,
        began: Instant,
    ) -> Recorder {
        let before = told_before(&self.state);
        Recorder::new(RecorderParts {
            whole_job: before.get("whole_job").and_then(Value::as_u64),
            store,
            dedupe,
            board: Arc::clone(&self.board),
            upstreams: Arc::clone(&self.upstreams),
            stop: self.stop.clone(),
            pause: self.pause.clone(),
            rules: self.rules,
            watcher,
            stream,
            job_name: self.plan.job.name.clone(),
            purpose: self.purpose.clone(),
            part: self.part.clone(),
            held: before.get("held").and_then(|held| Held::deserialize(held).ok()).unwrap_or_default(),
            // Of a comparison totals tell what it cost; where the job's rows stand it does not change.
            before: (self.purpose.kind == RunKind::Compare).then_some(before),
            price_sources: PriceSources::new(&self.plan, &self.state),
            began,
        })
    }

    /// How this invocation finds what is done. A comparison finds it by itself, and its rows are none of the order's.
    fn matching(&self, store: &mut Store) -> Result<Matching, RunError> {
        match self.purpose.kind {
            RunKind::Job => Matching::of_run(&self.plan, &self.input, &self.state, store),
            RunKind::Compare => {
                store.forget_order()?;
                Ok(Matching::nothing())
            }
        }
    }

    /// Drives feed and recorder to their end; a stop that drains for too long becomes an abort.
    async fn to_end<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => done,
            reason = drained_too_long(&self.stop, self.plan.job.drain) => {
                self.stop.abort(reason);
                work.await
            }
            never = control::obey(&self.state, &self.stop, &self.pause) => match never {},
        }
    }

    /// Hands the rows that were done before to whoever reads along, until they have all gone out or it is time to stop.
    async fn write_done(&self, mut out: Stream, matching: Matching, began: Instant) -> Result<Stream, RunError> {
        let done = DoneBefore {
            plan: Arc::clone(&self.plan),
            input: Arc::clone(&self.input),
            selection: Arc::clone(&self.selection),
            matching,
            log: LogReader::open(&self.state)?,
        };
        let mut writing = self.start(async move {
            let written = done.write(&mut out).await;
            written.map(|()| out)
        });
        let written = tokio::select! {
            written = &mut writing => written,
            reason = self.rules.time_is_up(began) => {
                self.stop.drain(reason);
                writing.await
            }
            never = control::obey(&self.state, &self.stop, &self.pause) => match never {},
        };
        written.map_err(RunError::Worker)?
    }

    /// Says which rows that are done are sent again because the job changed, before they are.
    fn resent(&self, store: &Store) -> Result<Option<String>, RunError> {
        let ground = Ground::of_run(&self.plan, &self.input, StateReader::beside(&self.state, store)?);
        let words = change(&ground, &self.selection)?.map(|change| change.words());
        match (words, self.plan.job.on_change) {
            (Some(words), OnChange::Stop) => Err(RunError::Changed(words)),
            (words, OnChange::Resend | OnChange::Keep | OnChange::Stop) => {
                // A part has not asked for the rows that it left out: they are still to be told of.
                if !self.selection.is_part() {
                    self.state.keep_asked(&self.plan.job.identity())?;
                }
                Ok(words)
            }
        }
    }

    /// Drives the feed until all rows have ended or are left.
    async fn feed(&self, feed: Feed) -> Result<(), RunError> {
        self.look_ahead();
        self.start(feed::drive(feed, Handle::current())).await.map_err(RunError::Worker)?
    }

    fn start<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let handle = Handle::current();
        match self.threads {
            Threads::Own => tokio::task::spawn_blocking(move || handle.block_on(work)),
            Threads::Runtime => handle.spawn(work),
        }
    }
}

/// Returns with the reason of a stop when its drain has taken too long.
async fn drained_too_long(stop: &Stop, drain: std::time::Duration) -> StopReason {
    stop.draining().await;
    tokio::time::sleep(drain).await;
    stop.reason().unwrap_or(StopReason::Interrupted)
}
