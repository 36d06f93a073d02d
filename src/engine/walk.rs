//! Where a row stands on its route: which models it may still ask, and what the others said.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::asking::{Asking, Turn};
use super::blame::Blame;
use super::estimate::input_tokens;
use super::plan::Choice;
use super::prepare::Request;
use super::upstream::Upstream;
use crate::types::{Failure, FailureKind};

/// A row's way along its route. It may come by a model again: one that was down may be back.
pub(super) struct Walk {
    stops: Vec<WalkStop>,
    /// What the last model said that failed the row.
    last: Option<Failure>,
    /// Models that the row is too long for, with their contexts, in words.
    too_small: Vec<String>,
    /// A model that could have answered is out of the run: without it the row has not failed.
    left_out: bool,
}

/// A model of the route.
pub(super) struct WalkStop {
    pub upstream: usize,
    pub params: Arc<Map<String, Value>>,
    pub asking: Arc<Asking>,
    /// The number of the way in which it is asked.
    pub way: usize,
    /// Its answers that were not valid, of which it is told.
    pub turns: Vec<Turn>,
    pub tries: Tries,
    pub blame: Blame,
    /// It has failed the row for good.
    spent: bool,
    /// How, if it was not too short for the row.
    failed_by: Option<FailureKind>,
    /// It was passed by on this round, as it could not be asked.
    passed_by: bool,
}

/// What has been tried on one model.
#[derive(Clone, Copy, Default)]
pub(super) struct Tries {
    /// All calls but those that a rate limit answered.
    pub made: u32,
    /// Those that failed by what counts, for `decide`.
    pub counted: u32,
    pub timeouts: u32,
    /// Calls that met an outage, where the row itself may be to blame.
    pub in_vain: u32,
    /// How often it was asked again with what was wrong.
    pub reasks: u32,
}

impl WalkStop {
    /// From now on it is asked in the way that is known to be taken.
    pub fn take_way(&mut self) {
        self.way = self.asking.now();
    }

    /// While the row waited in line, others found out that the model is to be asked in another way.
    pub fn is_outdated(&self) -> bool {
        self.way != self.asking.now()
    }

    fn spend(&mut self) {
        self.spent = true;
        self.blame.lose_hope();
    }
}

impl Walk {
    pub fn new<'a>(route: impl Iterator<Item = &'a Choice>, upstreams: &[Upstream]) -> Self {
        let stop = |choice: &Choice| WalkStop {
            upstream: choice.upstream,
            params: Arc::clone(&choice.params),
            asking: Arc::clone(&choice.asking),
            way: choice.asking.now(),
            turns: Vec::new(),
            tries: Tries::default(),
            blame: Blame::none(upstreams[choice.upstream].hopes.one()),
            spent: false,
            failed_by: None,
            passed_by: false,
        };
        Self { stops: route.map(stop).collect(), last: None, too_small: Vec::new(), left_out: false }
    }

    pub fn len(&self) -> usize {
        self.stops.len()
    }

    pub fn stop(&mut self, at: usize) -> &mut WalkStop {
        &mut self.stops[at]
    }

    pub fn upstream(&self, at: usize) -> usize {
        self.stops[at].upstream
    }

    pub fn look(&self, at: usize) -> &WalkStop {
        &self.stops[at]
    }

    pub fn tries(&self, at: usize) -> &Tries {
        &self.stops[at].tries
    }

    /// Whether a failure would be the row's first: neither this model nor another one of its provider has failed it.
    pub fn has_failed_nowhere(&self, at: usize, upstreams: &[Upstream]) -> bool {
        self.stops[at].tries.counted == 0 && self.failed_beside(at, upstreams).is_none()
    }

    /// How another model of the same provider has failed the row for good while it answered others: what one of them
    /// cannot take the next one rarely can, where it has not shown that it can.
    pub fn failed_beside(&self, at: usize, upstreams: &[Upstream]) -> Option<FailureKind> {
        if upstreams[self.stops[at].upstream].takes_failed() {
            return None;
        }
        let provider = |at: usize| upstreams[self.stops[at].upstream].provider_index;
        let others = (0..self.stops.len()).filter(|other| *other != at && provider(*other) == provider(at));
        others.map(|other| &self.stops[other]).find_map(|stop| {
            let kind = stop.failed_by?;
            stop.blame.is_confirmed(&upstreams[stop.upstream], kind).then_some(kind)
        })
    }

    /// Models behind this one that the row may be sent to beside it: not those that share its server's line.
    pub fn usable_after(&self, at: usize, upstreams: &[Upstream], request: &Request) -> Vec<usize> {
        let here = &upstreams[self.stops[at].upstream];
        let usable = |other: &usize| {
            let stop = &self.stops[*other];
            let upstream = &upstreams[stop.upstream];
            let is_elsewhere = !Arc::ptr_eq(&upstream.gate, &here.gate);
            is_elsewhere && !stop.spent && upstream.removed().is_none() && !upstream.is_too_long(request, &stop.params)
        };
        (at + 1..self.stops.len()).filter(usable).collect()
    }

    /// Begins a round at the first model.
    pub fn begin_round(&mut self) {
        for stop in &mut self.stops {
            stop.passed_by = false;
        }
    }

    /// Whether the model may be asked; what keeps the row from it is noted.
    pub fn may_ask(&mut self, at: usize, upstreams: &[Upstream], request: &Request) -> bool {
        let stop = &mut self.stops[at];
        let upstream = &upstreams[stop.upstream];
        if stop.spent {
            return false;
        }
        if upstream.removed().is_some() {
            self.left_out = true;
            return false;
        }
        if upstream.is_too_long(request, &stop.params) {
            stop.spend();
            let context = upstream.context_in_words(request, &stop.params);
            self.too_small.push(format!("{} ({context})", upstream.wire));
            return false;
        }
        true
    }

    /// The model has failed the row for good, or left the run.
    pub fn leave(&mut self, at: usize, failure: Option<Failure>) {
        match failure {
            Some(failure) => {
                self.stops[at].spend();
                self.stops[at].failed_by = Some(failure.kind);
                self.last = Some(failure);
            }
            None => self.left_out = true,
        }
    }

    /// The model cannot be asked now.
    pub fn pass_by(&mut self, at: usize) {
        self.stops[at].passed_by = true;
    }

    /// Models before this one that could not be asked on this round.
    pub fn passed_by(&self, before: usize) -> impl Iterator<Item = usize> {
        self.stops[..before].iter().filter(|stop| stop.passed_by).map(|stop| stop.upstream)
    }

    /// Whether a row that this model has failed may yet be answered: by another model now, or by one that is out of this
    /// run in the next.
    pub fn goes_on_after(&self, at: usize, upstreams: &[Upstream], request: &Request) -> bool {
        let mut others = self.stops.iter().enumerate().filter(|(other, stop)| *other != at && !stop.spent);
        self.left_out || others.any(|(_, stop)| !upstreams[stop.upstream].is_too_long(request, &stop.params))
    }

    /// The failure that the row ends with, when no model is left to ask; `None`: it has not failed, as one of its models
    /// was never its to ask.
    pub fn into_failure(self, request: &Request) -> Option<Failure> {
        if self.left_out {
            return None;
        }
        self.last.or_else(|| (!self.too_small.is_empty()).then(|| too_long(&self.too_small, request)))
    }
}

fn too_long(models: &[String], request: &Request) -> Failure {
    let tokens = input_tokens(&request.payload);
    let message = format!(
        "about {tokens} tokens, which is longer than the context of {}: not sent; give the task a fallback with more, or cut \
         the text with truncate_tokens",
        models.join(" and of ")
    );
    Failure::new(FailureKind::ContextLength, message)
}
