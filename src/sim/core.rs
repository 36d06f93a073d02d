//! The core: takes a request, decides what becomes of it, keeps the books.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::types::{Endpoint, WireReply};

use super::answer::{Answer, Manner};
use super::books::{Books, SimLedger};
use super::error::{ApiError, Hint, error_in_200, html_reply, json_reply};
use super::fault::{self, Chances, Fault, Outage, OutageFault};
use super::limits::{Caller, Counts, Limits, Tokens};
use super::model::Behaviour;
use super::reply;
use super::request::Request;
use super::settings::SimSettings;
use super::station::Station;

/// What a `rate_limit` fault hints at.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// What a `daily_quota` fault hints at.
const LONG_WAIT: Duration = Duration::from_hours(8);

/// A simulated provider: one state behind any number of faces.
#[derive(Debug)]
pub struct Sim {
    settings: SimSettings,
    started: Instant,
    /// Where the server has a knee.
    station: Option<Station>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    books: Books,
    limits: Limits,
    /// Calls that were let in and have not ended.
    inside: u64,
}

impl Sim {
    /// A simulator that starts now: outages, changes and fixed windows count from here.
    #[must_use]
    pub fn new(settings: SimSettings) -> Arc<Self> {
        let started = Instant::now();
        let books = Books::new(settings.count_seconds, started);
        let state = State { books, limits: Limits::new(&settings, started), inside: 0 };
        let station = Station::new(settings.knees(), started);
        Arc::new(Self { started, station, state: Mutex::new(state), settings })
    }

    /// What it was asked and would bill so far.
    #[must_use]
    pub fn ledger(&self) -> SimLedger {
        self.state().books.ledger.clone()
    }

    /// Whether nobody listens now.
    pub(super) fn is_refusing(&self) -> bool {
        let outage = fault::outage(&self.settings, self.started.elapsed());
        outage.is_some_and(|outage| outage.fault == OutageFault::Refuse)
    }

    /// The next time at which nobody listens, or the present one.
    pub(super) fn next_refusal(&self) -> Option<(Instant, Instant)> {
        let now = self.started.elapsed();
        let refusals = self.settings.outages.iter().filter(|outage| outage.fault == OutageFault::Refuse);
        let next = refusals.filter(|outage| outage.to > now).min_by_key(|outage| outage.from)?;
        Some((self.started + next.from, self.started + next.to))
    }

    /// Takes a request in. `None` where nobody listens: it has not arrived.
    pub(super) fn arrive(self: &Arc<Self>, path: &str, key: Option<&str>, body: &[u8]) -> Option<Call> {
        let at = self.started.elapsed();
        let mut call = match fault::outage(&self.settings, at) {
            Some(Outage { fault: OutageFault::Refuse, .. }) => return None,
            Some(outage) => self.turn_away(outage, at),
            None => {
                let mut call = self.enter();
                if let Err(error) = self.take(&mut call, path, key, body) {
                    call.reply = error.telling(self.hint()).reply();
                }
                call
            }
        };
        self.sign(&mut call);
        Some(call)
    }

    fn turn_away(self: &Arc<Self>, outage: &Outage, at: Duration) -> Call {
        let mut call = self.enter();
        match outage.fault {
            OutageFault::Hang | OutageFault::Refuse => call.delivery = Delivery::Never,
            OutageFault::Overloaded => call.reply = ApiError::overloaded().reply(),
            OutageFault::ServerError => call.reply = ApiError::server_error().reply(),
            OutageFault::RateLimited => {
                let what = "Rate limit reached in organization org-sim on requests per min (RPM)";
                let error = ApiError::rate_limit("requests", what, outage.wait(at));
                call.reply = error.telling(self.hint()).reply();
            }
        }
        call
    }

    fn hint(&self) -> Hint {
        if self.settings.hints { self.settings.headers.hint() } else { Hint::Untold }
    }

    fn enter(self: &Arc<Self>) -> Call {
        let number = self.state().books.arrive(Instant::now());
        Call {
            sim: Arc::clone(self),
            number,
            model: None,
            mark: None,
            inside: false,
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
            reply: json_reply(200, Vec::new()),
        }
    }

    /// Reads the request, lets it in and writes its reply. An error refuses it at once.
    fn take(&self, call: &mut Call, path: &str, key: Option<&str>, body: &[u8]) -> Result<(), ApiError> {
        let request = self.read(path, key, body)?;
        call.model = Some(request.model.clone().into_owned());
        self.state().books.ask(&request.model);
        let plan = self.plan(call.number, &request)?;
        self.admit(call, &plan)?;
        call.reply = plan.reply(call.number, self.started.elapsed().as_secs(), self.hint());
        call.delivery = plan.delivery();
        let is_whole = !matches!(plan.fault, Some(Fault::NullChoices | Fault::Truncated));
        call.mark = plan.answer.filter(|_| is_whole).map(|answer| answer.mark);
        // A refusal costs a server no work, so it takes no time either.
        if !(400..500).contains(&call.reply.status) {
            call.delay = plan.delay;
        }
        Ok(())
    }

    fn read<'b>(&self, path: &str, key: Option<&str>, body: &'b [u8]) -> Result<Request<'b>, ApiError> {
        let endpoint = Endpoint::of_url(path).ok_or_else(|| ApiError::unknown_path("POST", path))?;
        match (&self.settings.key, key) {
            (Some(_), None) => return Err(ApiError::no_key()),
            (Some(right), Some(key)) if right != key => return Err(ApiError::bad_key()),
            (Some(_) | None, _) => {}
        }
        Request::read(endpoint, body).map_err(|error| ApiError::unreadable(&error))
    }

    fn plan<'r>(&self, number: u64, request: &'r Request<'_>) -> Result<Plan<'r>, ApiError> {
        let behaviour = Behaviour::of(&request.model);
        let prompt_tokens = request.prompt_tokens();
        if let Some(limit) = self.context(behaviour).filter(|limit| prompt_tokens > *limit) {
            return Err(ApiError::context_length(limit, prompt_tokens));
        }
        if behaviour == Behaviour::TextOnly && request.asks_by_format() {
            return Err(ApiError::no_response_format(&request.model));
        }
        let chances = Chances::of(self.settings.seed, number);
        let fault = self.fault(number, behaviour, &chances, request);
        let answers =
            fault.is_none_or(Fault::is_billed) && (fault.is_some() || !matches!(behaviour, Behaviour::Fail(_)));
        let manner = manner(fault, behaviour, &chances);
        let mut answer = answers.then(|| {
            let answer = Answer::to(request, manner, self.settings.output_tokens.as_ref());
            answer.with_parts(request, self.settings.cached_share, self.settings.reasoning_tokens)
        });
        if let (Some(answer), Some(read)) = (&mut answer, self.settings.truncates_at) {
            answer.usage.input_tokens = answer.usage.input_tokens.min(read);
        }
        let slow = if let Behaviour::Slow(time) = behaviour { time } else { Duration::ZERO };
        let delay = slow + self.latency(&chances);
        let counted = self.counted(request, prompt_tokens, answer.as_ref());
        let wait = fault::scripted(&self.settings, number).and_then(|step| step.hint);
        Ok(Plan { request, behaviour, fault, wait, answer, delay, prompt_tokens, counted })
    }

    fn latency(&self, chances: &Chances) -> Duration {
        let settings = &self.settings;
        let latency =
            if settings.changes.is_empty() { &settings.latency } else { settings.latency_at(self.started.elapsed()) };
        let latency = between(latency, chances.latency);
        if settings.noise > 0.0 { latency.mul_f64(chances.factor(settings.noise)) } else { latency }
    }

    fn counted(&self, request: &Request<'_>, input: u64, answer: Option<&Answer>) -> Tokens {
        let usage = answer.map(|answer| answer.usage);
        match (self.settings.counts, request.output_cap()) {
            (Counts::MaxTokens, Some(output)) => Tokens { input, output },
            (Counts::MaxTokens, None) | (Counts::Used, _) => usage
                .map_or(Tokens::default(), |usage| Tokens { input: usage.input_tokens, output: usage.output_tokens }),
        }
    }

    fn context(&self, behaviour: Behaviour) -> Option<u64> {
        let own = if let Behaviour::ShortContext(tokens) = behaviour { Some(tokens) } else { None };
        own.into_iter().chain(self.settings.max_context_tokens).min()
    }

    fn fault(&self, number: u64, behaviour: Behaviour, chances: &Chances, request: &Request<'_>) -> Option<Fault> {
        if let Some(step) = fault::scripted(&self.settings, number) {
            return Some(step.fault);
        }
        match behaviour {
            Behaviour::Hang => Some(Fault::Hang),
            Behaviour::Filter => Some(Fault::ContentFilter),
            Behaviour::Flaky(share) if chances.model < share => Some(Fault::ServerError),
            // It fails in its own way, whatever chance would have.
            Behaviour::Fail(_) => None,
            Behaviour::Normal
            | Behaviour::Flaky(_)
            | Behaviour::Slow(_)
            | Behaviour::Limit(_)
            | Behaviour::ShortContext(_)
            | Behaviour::Truncate
            | Behaviour::TextOnly
            | Behaviour::Invalid(_) => {
                let poisoned = fault::poisoned(&self.settings, request.prompt());
                poisoned.or_else(|| fault::drawn(&self.settings.faults, chances.fault))
            }
        }
    }

    /// Lets the call in, and bills it, unless a limit or the quota is in the way.
    fn admit(&self, call: &mut Call, plan: &Plan<'_>) -> Result<(), ApiError> {
        let now = Instant::now();
        let mut state = self.state();
        if self.settings.quota.is_some_and(|quota| state.books.ledger.billed >= quota) {
            return Err(ApiError::insufficient_quota());
        }
        let usage = plan.answer.as_ref().map(|answer| answer.usage);
        let tokens = plan.counted;
        let caller = Caller { model: plan.model(), behaviour: plan.behaviour, tokens, others: state.inside };
        state.limits.admit(&caller, now)?;
        state.inside += 1;
        call.inside = true;
        state.books.let_in(tokens.total(), now);
        if let Some(usage) = usage {
            state.books.bill(plan.model(), usage, now);
        }
        Ok(())
    }

    /// Adds the headers that every reply has.
    fn sign(&self, call: &mut Call) {
        if let Ok(id) = HeaderValue::try_from(format!("req-sim-{}", call.number)) {
            call.reply.headers.insert("x-request-id", id);
        }
        self.state().limits.tell(call.model.as_deref(), &mut call.reply.headers, Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters stay meaningful after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a readable request, if it is let in.
struct Plan<'r> {
    request: &'r Request<'r>,
    behaviour: Behaviour,
    fault: Option<Fault>,
    /// What the fault says of when to come back, in place of its own hint.
    wait: Option<Duration>,
    /// There is one exactly where the call is billed.
    answer: Option<Answer>,
    delay: Duration,
    prompt_tokens: u64,
    /// What it counts against token limits.
    counted: Tokens,
}

impl Plan<'_> {
    fn model(&self) -> &str {
        &self.request.model
    }

    fn reply(&self, number: u64, seconds: u64, hint: Hint) -> WireReply {
        let Some(answer) = &self.answer else { return self.failure(hint) };
        let whole = self.fault != Some(Fault::NullChoices);
        let mut body = reply::body(answer, self.request, (number, seconds), whole);
        if self.fault == Some(Fault::Truncated) {
            body.truncate(body.len() / 2);
        }
        json_reply(200, body)
    }

    fn failure(&self, hint: Hint) -> WireReply {
        let what =
            || format!("Rate limit reached for {} in organization org-sim on requests per min (RPM)", self.model());
        match self.fault {
            Some(Fault::RateLimit) => {
                ApiError::rate_limit("requests", &what(), self.wait.unwrap_or(SHORT_WAIT)).telling(hint).reply()
            }
            Some(Fault::DailyQuota) => {
                ApiError::daily_quota(self.model(), self.wait.unwrap_or(LONG_WAIT)).telling(hint).reply()
            }
            Some(Fault::QuotaExhausted) => ApiError::insufficient_quota().reply(),
            Some(Fault::Auth) => ApiError::bad_key().reply(),
            Some(Fault::ModelNotFound) => ApiError::model_not_found(self.model()).reply(),
            Some(Fault::ContextLength) => {
                ApiError::context_length(self.prompt_tokens.saturating_sub(1), self.prompt_tokens).reply()
            }
            Some(Fault::Overloaded) => ApiError::overloaded().after(self.wait).telling(hint).reply(),
            Some(Fault::Html) => html_reply(),
            Some(Fault::ErrorIn200) => error_in_200(),
            Some(
                Fault::ServerError
                | Fault::Hang
                | Fault::Reset
                | Fault::Truncated
                | Fault::SlowBody
                | Fault::Empty
                | Fault::InvalidAnswer
                | Fault::ContentFilter
                | Fault::NullChoices,
            ) => ApiError::server_error().reply(),
            None => {
                let status = if let Behaviour::Fail(status) = self.behaviour { status } else { 500 };
                ApiError::of_status(status, self.model()).reply()
            }
        }
    }

    fn delivery(&self) -> Delivery {
        match self.fault {
            Some(Fault::Reset) => Delivery::Cut,
            Some(Fault::SlowBody) => Delivery::Slow,
            Some(Fault::Hang) => Delivery::Never,
            Some(
                Fault::RateLimit
                | Fault::ServerError
                | Fault::Overloaded
                | Fault::Truncated
                | Fault::Empty
                | Fault::InvalidAnswer
                | Fault::ContentFilter
                | Fault::ContextLength
                | Fault::Html
                | Fault::ErrorIn200
                | Fault::NullChoices
                | Fault::Auth
                | Fault::QuotaExhausted
                | Fault::DailyQuota
                | Fault::ModelNotFound,
            )
            | None => Delivery::Whole,
        }
    }
}

fn manner(fault: Option<Fault>, behaviour: Behaviour, chances: &Chances) -> Manner {
    match (fault, behaviour) {
        (Some(Fault::Empty), _) => Manner::Silent,
        (Some(Fault::ContentFilter), _) => Manner::Filtered,
        // The luck of the same call, for another purpose: half of them are JSON.
        (Some(Fault::InvalidAnswer), _) if chances.latency < 0.5 => Manner::Misfit,
        (Some(Fault::InvalidAnswer), _) => Manner::Plain,
        (_, Behaviour::Truncate) => Manner::HalfWay,
        (_, Behaviour::Invalid(share)) if chances.model < share => Manner::Plain,
        (Some(_) | None, _) => Manner::Good,
    }
}

fn between(times: &RangeInclusive<Duration>, chance: f64) -> Duration {
    *times.start() + times.end().saturating_sub(*times.start()).mul_f64(chance)
}

/// How a reply goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// Breaks in the middle of the body.
    Cut,
    /// Trickles.
    Slow,
    Never,
}

/// One request inside the simulator. Dropping it is its end, answered or not.
#[derive(Debug)]
pub(super) struct Call {
    sim: Arc<Sim>,
    number: u64,
    model: Option<String>,
    /// There is one exactly where the reply holds a whole answer.
    mark: Option<String>,
    inside: bool,
    delay: Duration,
    pub(super) delivery: Delivery,
    reply: WireReply,
}

impl Call {
    /// Waits for less, so that it is answered in time on average by a clock whose waits end late by so much.
    pub(super) fn allow_for(&mut self, lateness: Duration) {
        self.delay = self.delay.saturating_sub(lateness).max(self.delay / 2);
    }

    /// Waits for the reply, and counts it.
    pub(super) async fn reply(&mut self) -> WireReply {
        if self.delivery == Delivery::Never {
            self.sim.state().books.hang();
            std::future::pending::<()>().await;
        }
        match &self.sim.station {
            _ if self.delay.is_zero() => {}
            Some(station) => station.work(self.number, self.delay).await,
            None => tokio::time::sleep(self.delay).await,
        }
        self.sim.state().books.reply(self.reply.status, Instant::now());
        self.reply.clone()
    }

    /// The reply has gone out whole.
    pub(super) fn complete(self) {
        if let (Some(model), Some(mark)) = (&self.model, &self.mark) {
            let mark = self.sim.settings.count_marks.then_some(mark.as_str());
            self.sim.state().books.answer(model, mark, Instant::now());
        }
    }

    /// How long a body that trickles takes.
    pub(super) fn slowness(&self) -> Duration {
        self.sim.settings.slow_body
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.sim.state();
        state.inside -= u64::from(self.inside);
        state.books.leave();
    }
}
