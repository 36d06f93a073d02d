//! One way to a model: its own limits there, configured and learnt, its cooldown and its breaker.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::adaptive::Adaptive;
use super::breaker::{Breaker, Pass};
use super::caution::Caution;
use super::cooldown::Cooldown;
use super::doubt::Doubt;
use super::gate::{Gate, Ticket, Verdict};
use super::learnt::{Learnt, Marks};
use super::outlook::Block;
use super::peak::Peak;
use super::ramp::Ramp;
use super::settings::Amounts;
use super::{CallEnd, Limits, Member, Need, ProviderGate, Sickness, Standing};
use crate::types::{Counting, RateReport};

/// A longer told wait is an outage: the breaker opens until then.
const LONGEST_COOLDOWN: Duration = Duration::from_mins(2);

/// A shorter wait is no reason for a slow start: what comes back after it is no storm.
const SHORTEST_RAMP: Duration = Duration::from_secs(1);

/// Where the adaptive limit has fallen to so few, refusals are a matter of the rate.
const FEWEST: u64 = 2;

/// More refusals without an answer between them, and a larger share of the last calls, are no chance.
const BY_CHANCE: u32 = 3;
const SHARE_BY_CHANCE: f64 = 0.1;

/// Of one more call, in that share.
const SHARE_WEIGHT: f64 = 0.02;

/// A failure that takes so many times as long as an answer is a timeout.
const OVERLONG: f64 = 4.0;

/// Of one more call, in the mean of latencies.
const LATENCY_WEIGHT: f64 = 0.05;

/// So many calls time out or find a server busy now and then, with fewer in flight as well.
const USUAL_STRAIN: f64 = 0.06;

/// Of one more call, in that share.
const STRAIN_WEIGHT: f64 = 0.02;

/// No wait told by a server is believed beyond this; also keeps instants in range.
const LONGEST_HINT: Duration = Duration::from_hours(24 * 31);

#[derive(Debug)]
pub(super) struct MemberState {
    pub provider: Arc<ProviderGate>,
    /// The model's number in the provider's line.
    pub number: usize,
    pub gate: Gate,
    pub closed: bool,
    concurrency: u64,
    cooldown: Cooldown,
    /// Since when it has only refused for the rate. Beyond the longest cooldown that is an outage, whatever it is called.
    refused_since: Option<Instant>,
    /// Refusals since the last answer, and the share of them over the last calls.
    refused_in_a_row: u32,
    refused_share: f64,
    doubt: Doubt,
    breaker: Breaker,
    /// Until when the breaker is open because the server told so.
    told_until: Option<Instant>,
    ramp: Ramp,
    peak: Peak,
    /// What was in flight when the outage began.
    before_outage: u64,
    learnt: Learnt,
    caution: Caution,
    /// How many calls in flight suit the server, where nothing else says so.
    adaptive: Option<Adaptive>,
    latency: f64,
    /// The share of calls, over the last ones, that a server with too much to do would have refused or not answered.
    strain: f64,
    /// Such a call ended since the last good answer.
    strained: bool,
    /// Until when the head waits for a learnt rate.
    paced_until: Option<Instant>,
}

/// What a call has taken from a member, until it ends.
#[derive(Debug)]
pub(super) struct MemberTicket {
    ticket: Ticket,
    marks: Marks,
    pub pass: Pass,
}

impl MemberState {
    pub(super) fn new(member: Member, number: usize, most: u64) -> Self {
        let limited = member.limits.concurrency.is_some() || member.provider.lock().is_limited();
        let adaptive = member.provider.setup().adaptive && !limited;
        let gate = Gate::new(member.limits, member.used_today);
        Self {
            adaptive: (adaptive && !gate.is_paced()).then(|| Adaptive::new(most)),
            latency: 0.0,
            strain: 0.0,
            strained: false,
            number,
            gate,
            closed: false,
            concurrency: member.limits.concurrency.unwrap_or(u64::MAX).max(1),
            provider: member.provider,
            cooldown: Cooldown::new(),
            refused_since: None,
            // As long as nothing was answered a refusal is taken for what it says.
            refused_in_a_row: BY_CHANCE,
            refused_share: 0.0,
            doubt: Doubt::default(),
            breaker: Breaker::default(),
            told_until: None,
            ramp: Ramp::default(),
            peak: Peak::new(),
            before_outage: 0,
            learnt: Learnt::default(),
            caution: Caution::new(),
            paced_until: None,
        }
    }

    pub(super) fn counting(&self) -> Counting {
        self.provider.setup().counting
    }

    fn is_adaptive(&self) -> bool {
        self.provider.setup().adaptive
    }

    /// The limits as they hold now.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = self.learnt.below(self.gate.limits());
        if let Some(careful) = self.caution.a_minute() {
            limits.rpm = Some(limits.rpm.map_or(careful, |rpm| rpm.min(careful)));
        }
        if self.adaptive.is_some() {
            limits.concurrency = Some(self.concurrency());
        }
        limits
    }

    /// As configured, here and for the provider.
    pub(super) fn most_in_flight(&self) -> u64 {
        self.concurrency.min(self.provider.setup().limits.concurrency.unwrap_or(u64::MAX))
    }

    fn concurrency(&self) -> u64 {
        self.adaptive.as_ref().map_or(self.concurrency, Adaptive::limit)
    }

    /// Whether a call of this size may be sent now as far as the model goes, before its provider is asked.
    pub(super) fn verdict(&mut self, now: Instant, estimate: &Amounts) -> Verdict {
        let down = match self.breaker.may_send(now) {
            Ok(()) => Verdict::Go,
            Err(Some(at)) => Verdict::At(at),
            Err(None) => Verdict::AtChange,
        };
        let cooled = Verdict::at(self.cooldown.until(now).max(self.ramp.may_send(now).err()));
        self.paced_until = self.learnt.check(now, estimate, self.gate.learners()).max(self.caution.check(now));
        let configured = self.gate.verdict(now, estimate, self.concurrency());
        down.and(cooled).and(Verdict::at(self.paced_until)).and(configured)
    }

    /// Takes what a call of this size needs, when it is open.
    pub(super) fn take(&mut self, now: Instant, estimate: Amounts) -> MemberTicket {
        let pass = self.breaker.take(now);
        let marks = self.learnt.take(now, &estimate, self.gate.learners());
        self.caution.take(now);
        let ticket = self.gate.take(now, estimate);
        self.ramp.sent(now, self.gate.in_flight());
        self.peak.see(now, self.gate.in_flight());
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.began(now, self.gate.in_flight());
        }
        MemberTicket { ticket, marks, pass }
    }

    /// A call's real usage is known.
    pub(super) fn settle(&mut self, ticket: &mut MemberTicket, counted: Amounts) {
        if self.gate.settle(&mut ticket.ticket, counted) {
            self.learnt.end(&ticket.marks, Some(&counted));
        }
    }

    /// A call is not sent.
    pub(super) fn give_back(&mut self, ticket: &mut MemberTicket) {
        self.gate.give_back(&mut ticket.ticket);
        self.learnt.give_back(&ticket.marks);
    }

    /// What the reply to a call told of limits.
    pub(super) fn learn(&mut self, now: Instant, report: &RateReport, ticket: &MemberTicket) {
        if !self.is_adaptive() {
            return;
        }
        if self.learnt.learn(now, report, ticket.ticket.taken_at(), &ticket.marks) {
            self.caution.explained(now);
        }
        if self.learnt.is_paced() {
            self.adaptive = None;
        }
    }

    /// A call ended so.
    pub(super) fn ended(&mut self, now: Instant, end: CallEnd, ticket: &MemberTicket) {
        self.adapt(now, end, ticket);
        match end {
            CallEnd::Good => {
                self.refused_since = None;
                self.refused_in_a_row = 0;
                self.refused_share -= self.refused_share * SHARE_WEIGHT;
                self.doubt.answered();
                self.cooldown.answered();
                self.caution.good(now);
                self.breaker.good(now, ticket.pass);
            }
            CallEnd::Throttled { hint } => self.throttled(now, hint, ticket),
            CallEnd::Sick { hint, weight } => {
                self.doubt.failed(now);
                self.sick(now, ticket, weight);
                self.wait_if_told(now, hint);
            }
            CallEnd::Neutral { hint } => {
                self.refused_since = None;
                self.doubt.answered();
                self.breaker.good(now, ticket.pass);
                self.wait_if_told(now, hint);
            }
            CallEnd::Cut => self.breaker.cut(ticket.pass),
        }
    }

    fn throttled(&mut self, now: Instant, hint: Option<Duration>, ticket: &MemberTicket) {
        let since = *self.refused_since.get_or_insert(now);
        let only_refuses = now.saturating_duration_since(since) > LONGEST_COOLDOWN;
        if self.is_adaptive() && self.rate_is_to_blame() {
            self.caution.refused(now, ticket.ticket.taken_at());
        }
        self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
        self.refused_share += (1.0 - self.refused_share) * SHARE_WEIGHT;
        let is_rare = self.refused_in_a_row <= BY_CHANCE && self.refused_share <= SHARE_BY_CHANCE;
        if self.is_adaptive() && hint.is_none() && is_rare {
            // Nearly all others are answered: what is learnt of it is enough.
            return self.breaker.good(now, ticket.pass);
        }
        if hint.is_some_and(|hint| hint > LONGEST_COOLDOWN) {
            // It is away, and its outage goes on.
            self.breaker.cut(ticket.pass);
            self.wait(now, hint);
        } else if only_refuses {
            self.wait(now, hint);
            self.breaker.refused(now, ticket.pass, self.cooldown.until(now).unwrap_or(now));
        } else {
            // Who refuses for the rate is up.
            self.breaker.good(now, ticket.pass);
            self.wait(now, hint);
        }
    }

    fn sick(&mut self, now: Instant, ticket: &MemberTicket, weight: Sickness) {
        let was = self.breaker.open_until();
        self.breaker.sick(now, ticket.pass, weight);
        let Some(until) = self.breaker.open_until().filter(|until| was != Some(*until)) else { return };
        if was.is_none() {
            self.before_outage = self.peak.lately();
        }
        // A failed probe is no storm: the start to come is as slow as it was, and no slower.
        self.ramp = Ramp::default();
        (self.strain, self.strained) = (0.0, false);
        self.ramp.begin(now, until, self.before_outage);
    }

    fn wait_if_told(&mut self, now: Instant, hint: Option<Duration>) {
        if hint.is_some() {
            self.wait(now, hint);
        }
    }

    fn wait(&mut self, now: Instant, hint: Option<Duration>) {
        // A hint of nothing is none: it would be the storm that cooldowns are there to prevent.
        let hint = hint.filter(|hint| !hint.is_zero()).map(|hint| hint.min(LONGEST_HINT));
        let over = match hint {
            Some(hint) if hint > LONGEST_COOLDOWN => {
                self.breaker.told(now, now + hint);
                self.told_until = self.breaker.open_until();
                self.told_until
            }
            Some(_) | None => {
                self.cooldown.begin(now, hint);
                self.cooldown.until(now)
            }
        };
        if let Some(over) = over.filter(|over| *over >= now + SHORTEST_RAMP) {
            self.ramp.begin(now, over, self.peak.lately());
        }
    }

    /// A call is over, and its line written.
    pub(super) fn left(&mut self, ticket: &MemberTicket) {
        if self.gate.end(&ticket.ticket) {
            self.learnt.end(&ticket.marks, None);
        }
    }

    /// Whether fewer calls in flight are no answer to a refusal.
    fn rate_is_to_blame(&self) -> bool {
        let paced = self.gate.is_paced() || self.learnt.is_paced() || self.provider.lock().gate().is_paced();
        paced || self.adaptive.as_ref().is_none_or(|adaptive| adaptive.limit() <= FEWEST)
    }

    /// Tells the adaptive limit how a call ended.
    fn adapt(&mut self, now: Instant, end: CallEnd, ticket: &MemberTicket) {
        let in_flight = self.in_flight().saturating_sub(1);
        let took = now.saturating_duration_since(ticket.ticket.taken_at());
        let Some(adaptive) = &mut self.adaptive else { return };
        match end {
            CallEnd::Good => {
                let weight = if self.latency > 0.0 { LATENCY_WEIGHT } else { 1.0 };
                self.latency += (took.as_secs_f64() - self.latency) * weight;
                self.strain -= self.strain * STRAIN_WEIGHT;
                // Only a server that also answers has too much to do; one that is out says nothing of how much suits it.
                if std::mem::take(&mut self.strained) && self.strain > USUAL_STRAIN {
                    adaptive.refused(now, took, in_flight);
                } else {
                    adaptive.ended(now, took, ticket.ticket.used_tokens(), in_flight);
                }
            }
            // Of far fewer calls in flight than were well before, their number is not what is refused.
            CallEnd::Throttled { .. } if (in_flight + 1) * 2 < adaptive.limit() => adaptive.left(now, in_flight),
            CallEnd::Throttled { .. } => adaptive.refused(now, took, in_flight),
            CallEnd::Sick { weight, .. } => {
                // A timeout, by its looks: an error of the server's own does not take so long.
                let overlong = self.latency > 0.0 && took.as_secs_f64() > OVERLONG * self.latency;
                let strained = weight == Sickness::Certain || overlong;
                self.strain += (f64::from(u8::from(strained)) - self.strain) * STRAIN_WEIGHT;
                self.strained |= strained;
                adaptive.left(now, in_flight);
            }
            CallEnd::Neutral { .. } | CallEnd::Cut => adaptive.left(now, in_flight),
        }
    }

    pub(super) fn reserved(&self, need: Need) -> Amounts {
        Amounts::reserved(need, self.counting())
    }

    pub(super) fn standing(&self) -> Standing {
        if self.breaker.down_since().is_some() { Standing::Open } else { Standing::Closed }
    }

    pub(super) fn down_since(&self) -> Option<Instant> {
        self.breaker.down_since()
    }

    /// When its breaker lets something through again, where it is open.
    pub(super) fn down_until(&self) -> Option<Instant> {
        self.breaker.open_until()
    }

    /// Until when the server said to wait.
    pub(super) fn cooled_until(&self, now: Instant) -> Option<Instant> {
        self.cooldown.until(now).max(self.learnt.away_until(now))
    }

    /// Until when the head waits for a rate, as far as it is the model's.
    pub(super) fn paced_until(&self) -> Option<Instant> {
        self.gate.paced_until().max(self.paced_until)
    }

    /// Why nothing goes, beyond the limits.
    pub(super) fn block(&self, now: Instant) -> Option<Block> {
        let told = self.cooled_until(now);
        match self.breaker.may_send(now) {
            Ok(()) => told.map(Block::Told),
            Err(Some(until)) if self.told_until == Some(until) => {
                Some(Block::Told(told.map_or(until, |at| at.max(until))))
            }
            Err(at) => Some(Block::Down(at)),
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.gate.in_flight()
    }

    /// Whether others are to be asked first.
    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.doubt.is_on(now)
    }

    /// How full it is of calls in flight, in thousandths.
    pub(super) fn load(&self) -> u64 {
        self.in_flight().saturating_mul(1_000) / self.concurrency().max(1)
    }
}
