//! `run.dedupe`: requests that are the same are sent once. The first row that comes asks, the others wait for its answer
//! without a call permit, and rows that come later read it in the log.
//!
//! A row that asks is always under way already when others wait for it, so they keep nothing from it that it needs. Where
//! it goes without an answer (the run stops), the next one of them asks; where its tries all failed by what may pass, the
//! next one tries once more, and its failure then is everybody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::RunError;
use super::shutdown::{Phase, Stop};
use crate::job::Job;
use crate::retry::is_transient;
use crate::store::{LogReader, StateDir, StateReader, Store};
use crate::types::{Key, OutcomeLine};

/// Copies under way at least, however few calls may be: else each would wait for the disk alone.
const COPIES: usize = 16;

/// The requests of a job: at most 40 bytes for each that has an outcome, with the table's free places.
pub(super) struct Dedupe {
    requests: Mutex<Requests>,
    log: Mutex<LogReader>,
    /// As many as calls: a reply that is copied takes as much room until its line is written as one that came.
    copies: Arc<Semaphore>,
}

#[derive(Default)]
struct Requests {
    /// Where an outcome stands that every row with the request may take. The line tells whether it is of this request: half a
    /// key finds it.
    done: HashMap<u64, u64>,
    /// Those that some row asks, or whose outcome is not in the log yet: no more than rows in the window.
    asked: HashMap<Key, watch::Sender<Option<Told>>>,
}

/// What a row that asked tells those that wait.
#[derive(Clone)]
enum Told {
    /// This is how it ended, for all of them.
    Same(Arc<OutcomeLine>),
    /// It failed by what may pass.
    TryOnce,
}

/// What a row with a request does.
pub(super) enum Share {
    /// It asks, and tells the others.
    Asks(Lead),
    /// It ends as another one did; with the permit for that.
    Copies(Arc<OutcomeLine>, CopyPermit),
    /// The run stops.
    Left,
}

/// A row may hold another one's answer; kept until its line stands in the log.
pub(super) struct CopyPermit(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit);

enum Joined {
    Done(u64),
    Asks,
    Waits(watch::Receiver<Option<Told>>),
}

/// The row that asks. Dropped without an end, it leaves that to the next one.
pub(super) struct Lead {
    dedupe: Arc<Dedupe>,
    request: Key,
    /// Another row's tries have failed before.
    once_more: bool,
    ended: bool,
}

impl Dedupe {
    /// That of a run of this job, where it has it.
    pub fn of_run(job: &Job, state: &StateDir, store: &Store) -> Result<Option<Arc<Self>>, RunError> {
        job.dedupe.then(|| Self::open(state, store, job.concurrency).map(Arc::new)).transpose()
    }

    /// With the answers of all runs, for this many calls in flight; a pass over the log.
    fn open(state: &StateDir, store: &Store, concurrency: usize) -> Result<Self, RunError> {
        let mut requests = Requests::default();
        for outcome in StateReader::beside(state, store)?.outcomes()? {
            let outcome = outcome?;
            let answer = outcome.request.filter(|_| outcome.ended.end.failure.is_none());
            requests.done.extend(answer.map(|request| (half(request), outcome.ended.end.offset)));
        }
        Ok(Self {
            requests: Mutex::new(requests),
            log: Mutex::new(LogReader::open(state)?),
            copies: Arc::new(Semaphore::new(concurrency.max(COPIES))),
        })
    }

    /// Finds out whether a row is the one that asks; waits for the one that does.
    pub async fn share(self: &Arc<Self>, request: Key, stop: &Stop) -> Share {
        let mut once_more = false;
        loop {
            let mut told = match self.join(request) {
                Joined::Done(place) => {
                    // Before the reply is read.
                    let permit = self.copy_permit().await;
                    match self.read(request, place) {
                        Some(line) => return copies(line, permit),
                        None => continue,
                    }
                }
                Joined::Asks => {
                    let lead = Lead { dedupe: Arc::clone(self), request, once_more, ended: false };
                    return if stop.phase() == Phase::Running { Share::Asks(lead) } else { Share::Left };
                }
                Joined::Waits(told) => told,
            };
            // An error: who asked is gone.
            let told = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
            match told {
                Some(Told::Same(line)) => return copies(line, self.copy_permit().await),
                Some(Told::TryOnce) => once_more = true,
                None => {}
            }
        }
    }

    /// Outcomes stand in the log: whoever comes from now on reads them there.
    pub fn written(&self, outcomes: impl Iterator<Item = (Key, u64)>) {
        let mut requests = self.requests();
        for (request, place) in outcomes {
            requests.done.insert(half(request), place);
            requests.asked.remove(&request);
        }
    }

    /// The log takes no more lines: permits may never come back, and those that wait for one are left. Nothing was paid for
    /// them.
    pub fn close(&self) {
        self.copies.close();
    }

    /// `None` once it is closed.
    async fn copy_permit(&self) -> Option<CopyPermit> {
        Arc::clone(&self.copies).acquire_owned().await.ok().map(CopyPermit)
    }

    fn join(&self, request: Key) -> Joined {
        let mut requests = self.requests();
        if let Some(place) = requests.done.get(&half(request)) {
            return Joined::Done(*place);
        }
        if let Some(asked) = requests.asked.get(&request) {
            return Joined::Waits(asked.subscribe());
        }
        requests.asked.insert(request, watch::Sender::new(None));
        Joined::Asks
    }

    /// A line that cannot be read is as none.
    fn read(&self, request: Key, place: u64) -> Option<Arc<OutcomeLine>> {
        let line = self.log.lock().unwrap_or_else(PoisonError::into_inner).outcome_at(place);
        let line = line.ok().filter(|line| line.request == Some(request));
        if line.is_none() {
            self.requests().done.remove(&half(request));
        }
        line.map(Arc::new)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn half(request: Key) -> u64 {
    u64::from_be_bytes(*request.0.first_chunk().unwrap_or(&[0; 8]))
}

fn copies(line: Arc<OutcomeLine>, permit: Option<CopyPermit>) -> Share {
    permit.map_or(Share::Left, |permit| Share::Copies(line, permit))
}

/// The request of an outcome that every row with the same request may take, also when it has long been written.
pub(super) fn shared_request(line: &OutcomeLine) -> Option<Key> {
    line.request.filter(|_| line.failure.as_ref().is_none_or(|failure| !is_transient(failure.kind)))
}

impl Lead {
    /// The row has ended, and its line is on its way to the log.
    pub fn ended(mut self, line: OutcomeLine) {
        let passing = shared_request(&line).is_none();
        let told = if passing && !self.once_more { Told::TryOnce } else { Told::Same(Arc::new(line)) };
        let mut requests = self.dedupe.requests();
        if let Some(asked) = requests.asked.get(&self.request) {
            asked.send_replace(Some(told));
        }
        // What stands for all stays until it can be read in the log.
        if passing {
            requests.asked.remove(&self.request);
        }
        drop(requests);
        self.ended = true;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.ended {
            self.dedupe.requests().asked.remove(&self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use serde_json::value::RawValue;

    use super::super::prepare::Hashes;
    use super::super::trail::Trail;
    use super::*;
    use crate::store::Opened;
    use crate::types::{Failure, FailureKind, LogLine, RowHash};

    const REQUEST: Key = Key([7; 16]);

    fn dedupe(dir: &tempfile::TempDir, concurrency: usize) -> Arc<Dedupe> {
        let state = StateDir::create(&dir.path().join("state"), &dir.path().join("job.toml")).unwrap();
        let (store, Opened { .. }) = Store::open(&state, 1, 0).unwrap();
        Arc::new(Dedupe::open(&state, &store, concurrency).unwrap())
    }

    fn trail() -> Trail {
        let hashes = Hashes { id: None, row: RowHash(1), used: None, request: Some(REQUEST) };
        Trail::new(1, Key([1; 16]), hashes, "t".into(), None, Vec::new())
    }

    fn answer() -> OutcomeLine {
        let reply = RawValue::from_string(r#"{"long":"reply"}"#.to_owned()).unwrap();
        let mut line = trail().failed(Failure::new(FailureKind::Empty, ""));
        (line.failure, line.reply) = (None, Some(reply.into()));
        *line
    }

    #[tokio::test]
    async fn rows_that_wait_share_one_reply_and_no_more_of_them_hold_it_than_calls_may_be_out() {
        let dir = tempfile::tempdir().unwrap();
        let (dedupe, stop, answer) = (dedupe(&dir, 20), Stop::default(), answer());
        let Share::Asks(lead) = dedupe.share(REQUEST, &stop).await else { panic!("nobody asked before") };
        let mut waiting: Vec<BoxFuture<'_, Share>> = (0..100).map(|_| dedupe.share(REQUEST, &stop).boxed()).collect();
        assert_eq!(ready(&mut waiting).await.len(), 0);
        let reply = answer.reply.clone().unwrap();
        lead.ended(answer);

        let held = ready(&mut waiting).await;
        assert_eq!((held.len(), waiting.len()), (20, 80));
        for (line, _) in &held {
            assert!(Arc::ptr_eq(trail().copied(line).reply.as_ref().unwrap(), &reply));
        }
        assert_eq!(ready(&mut waiting).await.len(), 0);
        // Their lines stand in the log.
        drop(held);
        assert_eq!(ready(&mut waiting).await.len(), 20);
    }

    #[tokio::test]
    async fn rows_that_wait_for_a_line_that_never_stands_in_the_log_are_left() {
        let dir = tempfile::tempdir().unwrap();
        let (dedupe, stop) = (dedupe(&dir, 16), Stop::default());
        let Share::Asks(lead) = dedupe.share(REQUEST, &stop).await else { panic!("nobody asked before") };
        let mut waiting: Vec<BoxFuture<'_, Share>> = (0..40).map(|_| dedupe.share(REQUEST, &stop).boxed()).collect();
        assert_eq!(ready(&mut waiting).await.len(), 0);
        lead.ended(answer());
        let held = ready(&mut waiting).await;
        assert_eq!((held.len(), ready(&mut waiting).await.len()), (16, 0));
        dedupe.close();
        for share in waiting {
            assert!(matches!(share.now_or_never(), Some(Share::Left)));
        }
    }

    #[tokio::test]
    async fn a_million_requests_take_forty_bytes_each_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let dedupe = dedupe(&dir, 20);
        let count = 1_000_000_u128;
        dedupe.written((0..count).map(|n| (Key((n << 64).to_be_bytes()), 20)));
        // A byte of the table's own for each of its places, of which one in eight stays free.
        let places = dedupe.requests().done.capacity() / 7 * 8;
        assert!(places * (size_of::<(u64, u64)>() + 1) <= 40 * 1_000_000, "{places} places");
    }

    #[tokio::test]
    async fn a_line_of_another_request_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::create(&dir.path().join("state"), &dir.path().join("job.toml")).unwrap();
        let (mut store, _) = Store::open(&state, 1, 0).unwrap();
        let place = store.append(&LogLine::Outcome(Box::new(answer()))).unwrap();
        store.write().unwrap();
        let dedupe = Arc::new(Dedupe::open(&state, &store, 1).unwrap());
        assert!(matches!(dedupe.share(REQUEST, &Stop::default()).await, Share::Copies(..)));
        // Another key whose first half is the same.
        let mut other = REQUEST;
        other.0[15] = 8;
        dedupe.written([(other, place)].into_iter());
        assert!(matches!(dedupe.share(other, &Stop::default()).await, Share::Asks(_)));
    }

    /// Those that need not wait any more.
    async fn ready(waiting: &mut Vec<BoxFuture<'_, Share>>) -> Vec<(Arc<OutcomeLine>, CopyPermit)> {
        tokio::task::yield_now().await;
        let mut copies = Vec::new();
        waiting.retain_mut(|share| match share.now_or_never() {
            None => true,
            Some(Share::Copies(line, permit)) => {
                copies.push((line, permit));
                false
            }
            Some(Share::Asks(_) | Share::Left) => panic!("it has an answer"),
        });
        copies
    }
}
