//! `run.dedupe`: requests that are the same are sent once. The first row that comes asks, the others wait for its answer
//! without a call permit, and rows that come later read it in the log.
//!
//! A row that asks is always under way already when others wait for it, so they keep nothing from it that it needs. Where
//! it goes without an answer (the run stops), the next one of them asks; where its tries all failed by what may pass, the
//! next one tries once more, and its failure then is everybody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::RunError;
use super::shutdown::{Phase, Stop};
use crate::retry::is_transient;
use crate::store::{LogReader, StateDir, StateReader, Store};
use crate::types::{Key, OutcomeLine};

/// The requests of a job: 24 bytes for each that has an outcome, besides the table's own room.
pub(super) struct Dedupe {
    requests: Mutex<Requests>,
    log: Mutex<LogReader>,
}

#[derive(Default)]
struct Requests {
    /// Where an outcome stands that every row with the request may take.
    done: HashMap<Key, u64>,
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
    /// It ends as another one did.
    Copies(Arc<OutcomeLine>),
    /// The run stops.
    Left,
}

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
    /// With the answers of all runs; a pass over the log.
    pub fn open(state: &StateDir, store: &Store) -> Result<Self, RunError> {
        let mut requests = Requests::default();
        for outcome in StateReader::beside(state, store)?.outcomes()? {
            let outcome = outcome?;
            let answer = outcome.request.filter(|_| outcome.ended.end.failure.is_none());
            requests.done.extend(answer.map(|request| (request, outcome.ended.end.offset)));
        }
        Ok(Self { requests: Mutex::new(requests), log: Mutex::new(LogReader::open(state)?) })
    }

    /// Finds out whether a row is the one that asks; waits for the one that does.
    pub async fn share(self: &Arc<Self>, request: Key, stop: &Stop) -> Share {
        let mut once_more = false;
        loop {
            let mut told = match self.join(request) {
                Joined::Done(place) => match self.read(request, place) {
                    Some(line) => return Share::Copies(line),
                    None => continue,
                },
                Joined::Asks => {
                    let lead = Lead { dedupe: Arc::clone(self), request, once_more, ended: false };
                    return if stop.phase() == Phase::Running { Share::Asks(lead) } else { Share::Left };
                }
                Joined::Waits(told) => told,
            };
            // An error: who asked is gone.
            let told = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
            match told {
                Some(Told::Same(line)) => return Share::Copies(line),
                Some(Told::TryOnce) => once_more = true,
                None => {}
            }
        }
    }

    /// Outcomes stand in the log: whoever comes from now on reads them there.
    pub fn written(&self, outcomes: impl Iterator<Item = (Key, u64)>) {
        let mut requests = self.requests();
        for (request, place) in outcomes {
            requests.done.insert(request, place);
            requests.asked.remove(&request);
        }
    }

    fn join(&self, request: Key) -> Joined {
        let mut requests = self.requests();
        if let Some(place) = requests.done.get(&request) {
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
            self.requests().done.remove(&request);
        }
        line.map(Arc::new)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
