//! The hard budget: the most that a call can cost is reserved before it is sent, and settled with what it did cost.
//!
//! What calls cost before this invocation comes from the ledger. Nothing here sends or stops anything: whoever is refused
//! does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, ToSpan, Zoned};
use tokio::sync::oneshot;

use crate::event::UsedUp;
use crate::job::{Job, MaxCost, Period, Task};
use crate::types::{Ledger, Money, Purpose};

/// Tells the time here: days and months are those of the calendar on the wall.
pub(super) type Clock = Box<dyn Fn() -> Zoned + Send + Sync>;

/// All budgets of a run. Clones are the same budgets.
#[derive(Clone)]
pub(super) struct Budget(Arc<Purse>);

/// Why a call may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The run's budget is used up: no more rows can be sent.
    Run,
    /// The task's own budget is used up: its rows are left.
    Task,
    /// What the call can cost at most is not known, as its row takes the output cap away.
    Unbounded,
}

/// The most that a call can cost, set aside for it. Dropped before it is settled, all of it is given back: the call was not
/// sent.
pub(super) struct Reservation {
    /// `None` where no budget holds for the task.
    purse: Option<Arc<Purse>>,
    task: usize,
    worst: Money,
}

struct Purse {
    /// The caps that hold for each task.
    caps_of: Vec<Vec<usize>>,
    /// One for each task: a cap of it is used up.
    used_up: Vec<AtomicBool>,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    caps: Vec<Cap>,
    /// First come, first served, among those that the same cap holds up.
    line: VecDeque<Waiting>,
}

/// One `max_cost`.
struct Cap {
    key: String,
    max: MaxCost,
    /// `None`: it holds for all tasks.
    task: Option<usize>,
    /// When the day or month ends that `spent` is of.
    until: Option<Timestamp>,
    spent: Money,
    reserved: Money,
    /// What did not fit when it was used up.
    refused: Option<Money>,
}

struct Waiting {
    task: usize,
    worst: Money,
    answer: oneshot::Sender<Result<Reservation, Refused>>,
}

/// What one in line is told.
type Answer = (Waiting, Result<(), Refused>);

impl Budget {
    /// The budgets of the job, less what was spent before: in the run that goes on, on this day, in this month.
    pub fn new(job: &Job, ledger: &Ledger, purpose: &Purpose, clock: Clock) -> Self {
        let now = clock();
        let cap = |Written { key, max, task }: Written| {
            let name = task.map(|task| job.tasks[task].name.as_str());
            let (spent, until) = (spent(ledger, purpose, max.period, name, &now), end_of(max.period, &now));
            Cap { key, max, task, until, spent, reserved: Money::ZERO, refused: None }
        };
        let caps: Vec<Cap> = written(job).map(cap).collect();
        // A comparison has a task once for each model.
        let is_one = |one: usize, other: usize| job.tasks[one].name == job.tasks[other].name;
        let holds = |cap: &Cap, task: usize| cap.task.is_none_or(|only| is_one(only, task));
        let of = |task| (0..caps.len()).filter(|cap| holds(&caps[*cap], task)).collect();
        Self(Arc::new(Purse {
            caps_of: (0..job.tasks.len()).map(of).collect(),
            used_up: job.tasks.iter().map(|_| AtomicBool::new(false)).collect(),
            clock,
            state: Mutex::new(State { caps, line: VecDeque::new() }),
        }))
    }

    /// Reserves what a call of a task costs at most, where that fits at once and nobody who came before waits for the same
    /// budget.
    pub fn try_reserve(&self, task: usize, worst: Option<Money>) -> Option<Reservation> {
        let purse = &self.0;
        if purse.caps_of[task].is_empty() {
            return Some(Reservation { purse: None, task, worst: Money::ZERO });
        }
        let worst = worst?;
        let mut state = purse.lock();
        state.roll(&purse.clock);
        let caps = &purse.caps_of[task];
        let awaited = state.line.iter().any(|one| {
            purse.caps_of[one.task].iter().any(|cap| caps.contains(cap) && !state.caps[*cap].takes(one.worst))
        });
        let fits = caps.iter().all(|cap| state.caps[*cap].takes(worst));
        (fits && !awaited).then(|| {
            state.reserve(caps, worst);
            Reservation { purse: Some(Arc::clone(purse)), task, worst }
        })
    }

    /// Waits while what does not fit may still do so, as calls in flight give back what they did not need. Refused where
    /// none of those is left. Dropped while it waits, it leaves the line.
    pub async fn reserve(&self, task: usize, worst: Option<Money>) -> Result<Reservation, Refused> {
        if let Some(reservation) = self.try_reserve(task, worst) {
            return Ok(reservation);
        }
        let worst = worst.ok_or(Refused::Unbounded)?;
        // Dropped after the receiver: whoever stood behind it in line may be next then.
        let _leaving = Leaving(&self.0);
        let (answer, answered) = oneshot::channel();
        self.0.lock().line.push_back(Waiting { task, worst, answer });
        self.0.serve();
        // The purse holds the sender until it answers, and outlives this.
        answered.await.unwrap_or(Err(Refused::Run))
    }

    /// Whether a budget that holds for the task is used up.
    pub fn is_used_up(&self, task: usize) -> bool {
        self.0.used_up[task].load(Ordering::Relaxed)
    }

    /// The budgets that are used up.
    pub fn used_up(&self) -> Vec<UsedUp> {
        let state = self.0.lock();
        let of = |cap: &Cap| {
            let next = cap.refused?;
            let (key, max, per) = (cap.key.clone(), cap.max.amount, word(cap.max.period));
            Some(UsedUp { key, max, per, spent: cap.spent, next })
        };
        state.caps.iter().filter_map(of).collect()
    }
}

impl Reservation {
    /// Whether as much is set aside as a call costs at most.
    pub fn covers(&self, worst: Option<Money>) -> bool {
        self.purse.is_none() || worst.is_some_and(|worst| worst <= self.worst)
    }

    /// Takes what the call cost instead; `None`: that is not known, and it may have been the most.
    pub fn settle(mut self, actual: Option<Money>) {
        if let Some(purse) = self.purse.take() {
            purse.end(self.task, self.worst, actual.unwrap_or(self.worst));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(purse) = self.purse.take() {
            purse.end(self.task, self.worst, Money::ZERO);
        }
    }
}

/// One that leaves the line, served or not.
struct Leaving<'a>(&'a Arc<Purse>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

impl Purse {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(self: &Arc<Self>, task: usize, worst: Money, actual: Money) {
        {
            let mut state = self.lock();
            // Before: what a call costs counts on the day when it ends.
            state.roll(&self.clock);
            for cap in &self.caps_of[task] {
                let cap = &mut state.caps[*cap];
                cap.reserved = cap.reserved.saturating_sub(worst);
                cap.spent += actual;
            }
        }
        self.serve();
    }

    /// Answers those in line who need not wait any longer.
    fn serve(self: &Arc<Self>) {
        let answers = {
            let mut state = self.lock();
            if state.line.is_empty() {
                return;
            }
            state.roll(&self.clock);
            let answers = state.serve(&self.caps_of);
            for (task, used_up) in self.used_up.iter().enumerate() {
                if self.caps_of[task].iter().any(|cap| state.caps[*cap].refused.is_some()) {
                    used_up.store(true, Ordering::Relaxed);
                }
            }
            answers
        };
        // Not under the lock: what is not taken gives itself back.
        for (Waiting { task, worst, answer }, result) in answers {
            let purse = Some(Arc::clone(self));
            let _ = answer.send(result.map(|()| Reservation { purse, task, worst }));
        }
    }
}

impl State {
    /// Begins a new day or month, where one has begun. What is out stays reserved, and counts where it ends.
    fn roll(&mut self, clock: &Clock) {
        if self.caps.iter().all(|cap| cap.until.is_none()) {
            return;
        }
        let now = clock();
        for cap in &mut self.caps {
            if cap.until.is_some_and(|until| until <= now.timestamp()) {
                (cap.spent, cap.until) = (Money::ZERO, end_of(cap.max.period, &now));
            }
        }
    }

    fn reserve(&mut self, caps: &[usize], worst: Money) {
        for cap in caps {
            self.caps[*cap].reserved += worst;
        }
    }

    fn serve(&mut self, caps_of: &[Vec<usize>]) -> Vec<Answer> {
        let mut answers = Vec::new();
        // Caps that somebody waits for: nobody who came later may take what is given back.
        let mut awaited = vec![false; self.caps.len()];
        for waiting in std::mem::take(&mut self.line) {
            let caps = &caps_of[waiting.task];
            if waiting.answer.is_closed() {
                continue;
            }
            if let Some(refused) = self.refuse(caps, waiting.worst) {
                answers.push((waiting, Err(refused)));
            } else if caps.iter().any(|cap| awaited[*cap]) {
                self.line.push_back(waiting);
            } else if caps.iter().all(|cap| self.caps[*cap].takes(waiting.worst)) {
                self.reserve(caps, waiting.worst);
                answers.push((waiting, Ok(())));
            } else {
                for cap in caps {
                    awaited[*cap] |= !self.caps[*cap].takes(waiting.worst);
                }
                self.line.push_back(waiting);
            }
        }
        answers
    }

    /// Whether a call can never fit: once a cap has refused one it refuses all, so that a run ends and does not trickle.
    fn refuse(&mut self, caps: &[usize], worst: Money) -> Option<Refused> {
        let mut refused = None;
        for cap in caps {
            let cap = &mut self.caps[*cap];
            if cap.refused.is_none() && cap.reserved == Money::ZERO && !cap.takes(worst) {
                cap.refused = Some(worst);
            }
            // The run's comes first among them.
            if cap.refused.is_some() && refused.is_none() {
                refused = Some(if cap.task.is_some() { Refused::Task } else { Refused::Run });
            }
        }
        refused
    }
}

impl Cap {
    fn takes(&self, worst: Money) -> bool {
        self.refused.is_none() && self.spent + self.reserved + worst <= self.max.amount
    }
}

/// A `max_cost` of the job.
pub(super) struct Written {
    /// Where it stands.
    pub key: String,
    pub max: MaxCost,
    /// `None`: it holds for all tasks.
    pub task: Option<usize>,
}

/// Every `max_cost` of the job, the run's first.
pub(super) fn written(job: &Job) -> impl Iterator<Item = Written> + '_ {
    let of_run = job.max_cost.map(|max| Written { key: "run.max_cost".to_owned(), max, task: None });
    let is_first = |(index, task): &(usize, &Task)| job.tasks[..*index].iter().all(|other| other.name != task.name);
    let of_tasks = job.tasks.iter().enumerate().filter(is_first).filter_map(|(index, task)| {
        let key = format!("tasks.{}.max_cost", task.name);
        task.max_cost.map(|max| Written { key, max, task: Some(index) })
    });
    of_run.into_iter().chain(of_tasks)
}

/// The word behind "a"; `None` for a run.
pub(super) const fn word(period: Period) -> Option<&'static str> {
    match period {
        Period::Run => None,
        Period::Day => Some("day"),
        Period::Month => Some("month"),
    }
}

/// What counts against a budget of this period so far, for a run for this.
pub(super) fn spent(ledger: &Ledger, purpose: &Purpose, period: Period, task: Option<&str>, now: &Zoned) -> Money {
    if period == Period::Run {
        return ledger.open(purpose).map(|run| run.charged.of(task)).unwrap_or_default();
    }
    let ms = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    let (from, until) = (begin_of(period, now), end_of(period, now).unwrap_or(Timestamp::MAX));
    ledger.recent.between(ms(from), ms(until), task)
}

fn begin_of(period: Period, now: &Zoned) -> Timestamp {
    let begin = match period {
        Period::Run | Period::Day => now.start_of_day(),
        Period::Month => now.first_of_month().and_then(|first| first.start_of_day()),
    };
    // Only at the ends of all time is there no such day: then everything counts.
    begin.map_or(Timestamp::UNIX_EPOCH, |begin| begin.timestamp())
}

fn end_of(period: Period, now: &Zoned) -> Option<Timestamp> {
    let next = match period {
        Period::Run => return None,
        Period::Day => now.tomorrow(),
        Period::Month => now.first_of_month().and_then(|first| first.checked_add(1.month())),
    };
    Some(next.and_then(|next| next.start_of_day()).map_or(Timestamp::MAX, |end| end.timestamp()))
}
