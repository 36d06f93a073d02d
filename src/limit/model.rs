//! A model's turnstile: one line, whose head goes to whichever member has room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Line, Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::admission::{Admission, Tickets};
use super::gate::Verdict;
use super::member::MemberState;
use super::outlook::{self, Outlook};
use super::view::{GateView, view};
use super::{CallPermit, Limits, Member, Need, ProviderGate, Refusal, Slots};

/// One model's turnstile.
#[derive(Debug)]
pub struct ModelGate {
    line: Line<()>,
    state: Mutex<State>,
    /// By member: their places in the providers' lines are left without the state locked.
    places: Vec<Place>,
    slots: Arc<Slots>,
    waiting: AtomicUsize,
    /// For the head of the line.
    changed: Arc<Notify>,
    outlook: watch::Sender<Outlook>,
}

#[derive(Debug)]
struct Place {
    provider: Arc<ProviderGate>,
    number: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub members: Vec<MemberState>,
}

impl ModelGate {
    /// A turnstile before these members: replicas or keys, each with the model's own limits there and its provider's.
    #[must_use]
    pub fn new(members: Vec<Member>, slots: Arc<Slots>) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let place =
            |member: &Member| Place { provider: Arc::clone(&member.provider), number: member.provider.join(&changed) };
        let places: Vec<_> = members.iter().map(place).collect();
        let members = members.into_iter().zip(&places);
        let most = slots.concurrency();
        let members = members.map(|(member, place)| MemberState::new(member, place.number, most)).collect::<Vec<_>>();
        let outlook = if members.is_empty() { Outlook::Closed } else { Outlook::Open };
        Arc::new(Self {
            line: Line::new(()),
            state: Mutex::new(State { members }),
            places,
            slots,
            waiting: AtomicUsize::new(0),
            changed,
            outlook: watch::Sender::new(outlook),
        })
    }

    /// Waits in line until a call of this size may be sent. First come, first served within the model. May be dropped at
    /// any point: nothing is lost by it but the place in line.
    ///
    /// With `patience` it does not wait, and stops waiting wherever in line, while every member that is left is down or
    /// told to wait longer than that from now; waiting for a configured limit never refuses.
    ///
    /// # Errors
    /// [`Refusal::Closed`] as soon as the model is taken out of the run; the others only with `patience`.
    pub async fn admit(self: &Arc<Self>, need: Need, patience: Option<Duration>) -> Result<Admission, Refusal> {
        let _waiting = Waiting::new(&self.waiting);
        let mut watched = self.outlook.subscribe();
        tokio::select! {
            biased;
            refusal = outlook::refused(&mut watched, patience) => Err(refusal),
            admission = self.pass(need) => Ok(admission),
        }
    }

    /// Lets a call of this size through if it can go at once and in nobody's way: none is in line for the model, the model
    /// is up and within its limits, and the run has a call permit to spare.
    pub fn admit_now(self: &Arc<Self>, need: Need) -> Option<Admission> {
        let _head = self.line.try_lock().ok()?;
        if self.down_since().is_some() {
            return None;
        }
        let _places = Places(&self.places);
        let verdict = self.lock().survey(Instant::now(), need).verdict;
        if verdict != Verdict::Go {
            return None;
        }
        self.take(self.slots.acquire_now()?, need)
    }

    /// Waits until [`Self::admit`] with this patience would not be refused at once, or the model is out of the run.
    pub async fn usable(&self, patience: Duration) {
        outlook::usable(&mut self.outlook.subscribe(), patience).await;
    }

    /// Waits until every member's breaker is open, or the model is out of the run.
    pub async fn down(&self) {
        let mut watched = self.outlook.subscribe();
        loop {
            watched.borrow_and_update();
            if self.down_since().is_some() || *self.outlook.borrow() == Outlook::Closed {
                return;
            }
            if watched.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where all members are down: since when the last good answer was missing.
    #[must_use]
    pub fn down_since(&self) -> Option<Instant> {
        self.lock().down_since()
    }

    /// How many calls may be out at once by the limits that are configured; `usize::MAX` where none is.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        let most = self.lock().members.iter().map(MemberState::most_in_flight).fold(0, u64::saturating_add);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// Takes the model out of the run: all who wait are refused at once. Calls in flight go on.
    pub fn close(&self) {
        for member in &mut self.lock().members {
            member.closed = true;
        }
        self.news();
    }

    /// Takes one replica or key out of the run; the last one closes the gate.
    pub fn close_member(&self, member: usize) {
        if let Some(member) = self.lock().members.get_mut(member) {
            member.closed = true;
        }
        // The head looks at it no more, and so would stand in its provider's line before others.
        if let Some(place) = self.places.get(member) {
            place.provider.leave(place.number);
        }
        self.news();
    }

    /// How it stands, for the screen.
    #[must_use]
    pub fn view(&self) -> GateView {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let closed = *self.outlook.borrow() == Outlook::Closed;
        view(&self.lock(), waiting, closed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed that the line or its head may wait for.
    pub(super) fn news(&self) {
        outlook::tell(&self.outlook, self.lock().outlook(Instant::now()));
        self.changed.notify_waiters();
    }

    async fn pass(self: &Arc<Self>, need: Need) -> Admission {
        let _head = self.line.lock().await;
        let _places = Places(&self.places);
        loop {
            // Made before the question: a change that comes in between is not missed.
            let changed = self.changed.notified();
            let verdict = self.look(need);
            match verdict {
                Verdict::Go => {
                    let permit = self.slots.acquire().await;
                    if let Some(admission) = self.take(permit, need) {
                        return admission;
                    }
                }
                Verdict::AtChange => changed.await,
                Verdict::At(at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }

    /// What the head finds. It may be the first to find that what a server told to be left is too little.
    fn look(&self, need: Need) -> Verdict {
        let (now, mut state) = (Instant::now(), self.lock());
        let verdict = state.survey(now, need).verdict;
        if verdict != Verdict::Go {
            outlook::tell(&self.outlook, state.outlook(now));
        }
        verdict
    }

    /// Takes from a member and its provider together, or from neither: much may have happened while the head waited for
    /// a call permit.
    fn take(self: &Arc<Self>, permit: CallPermit, need: Need) -> Option<Admission> {
        let now = Instant::now();
        let (tickets, probe) = {
            let mut state = self.lock();
            let member = state.survey(now, need).best?;
            let of = &mut state.members[member];
            let amounts = of.reserved(need);
            let expected = of.gate.expected(&amounts);
            let of_member = of.take(now, amounts);
            let probe = of_member.pass.probe;
            let of_provider = of.provider.lock().take(now, expected);
            (Tickets { need, member, of_member, of_provider }, probe)
        };
        if probe {
            self.news();
        }
        Some(Admission::new(Arc::clone(self), tickets, permit))
    }
}

/// What the head of the line finds.
struct Survey {
    verdict: Verdict,
    /// The member to go to, where there is one.
    best: Option<usize>,
}

impl State {
    /// Looks at all members for a call of this size. Stands in the lines of those providers that alone are waited for.
    fn survey(&mut self, now: Instant, need: Need) -> Survey {
        let (mut verdict, mut best) = (Verdict::AtChange, None::<(bool, u64, u64, usize)>);
        for (index, member) in self.members.iter_mut().enumerate().filter(|(_, member)| !member.closed) {
            let amounts = member.reserved(need);
            let own = member.verdict(now, &amounts);
            if own != Verdict::Go {
                member.provider.leave(member.number);
                verdict = verdict.or(own);
                continue;
            }
            let expected = member.gate.expected(&amounts);
            let mut provider = member.provider.lock();
            let whole = provider.verdict(now, member.number, &expected);
            verdict = verdict.or(whole);
            let load = member.load().max(provider.load());
            let rank = (member.is_doubtful(now), load, member.in_flight(), index);
            if whole == Verdict::Go && best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        Survey { verdict, best: best.map(|(.., index)| index) }
    }

    pub(super) fn left(&self) -> impl Iterator<Item = &MemberState> {
        self.members.iter().filter(|member| !member.closed)
    }

    fn outlook(&self, now: Instant) -> Outlook {
        Outlook::of(self.left().map(|member| member.block(now)))
    }

    pub(super) fn down_since(&self) -> Option<Instant> {
        let mut last = None;
        for member in self.left() {
            last = last.max(Some(member.down_since()?));
        }
        last
    }
}

/// Places in the lines of providers, left however the head goes.
struct Places<'a>(&'a [Place]);

impl Drop for Places<'_> {
    fn drop(&mut self) {
        for place in self.0 {
            place.provider.leave(place.number);
        }
    }
}

/// Counts those in line, however they leave it.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The model's own limits, over all members that are left.
pub(super) fn sum(limits: impl Iterator<Item = Limits>) -> Limits {
    let add = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
    let all = limits.reduce(|sum, next| Limits {
        rpm: add(sum.rpm, next.rpm),
        tpm: add(sum.tpm, next.tpm),
        input_tpm: add(sum.input_tpm, next.input_tpm),
        output_tpm: add(sum.output_tpm, next.output_tpm),
        rpd: add(sum.rpd, next.rpd),
        concurrency: add(sum.concurrency, next.concurrency),
    });
    all.unwrap_or_default()
}
