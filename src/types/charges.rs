//! What counts against budgets: what calls cost, and the most that they may have cost where that is not known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AttemptLine, LogLine, Money, OutcomeLine};

/// Every time zone is whole quarters of an hour away from every other, so that days of all of them are sums of these.
const QUARTER_MS: u64 = 15 * 60 * 1000;
/// What no month that goes on can still hold is forgotten.
const KEPT_QUARTERS: u64 = 32 * 24 * 4;

/// Charges by task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Charges(BTreeMap<String, Money>);

impl Charges {
    /// Adds what a call of this task is charged.
    pub fn add(&mut self, task: &str, amount: Money) {
        if let Some(sum) = self.0.get_mut(task) {
            *sum += amount;
        } else if amount > Money::ZERO {
            self.0.insert(task.to_owned(), amount);
        }
    }

    /// Adds what stands in another.
    pub fn merge(&mut self, other: &Self) {
        for (task, amount) in &other.0 {
            self.add(task, *amount);
        }
    }

    /// What a task is charged; `None`: all tasks together.
    #[must_use]
    pub fn of(&self, task: Option<&str>) -> Money {
        match task {
            Some(task) => self.0.get(task).copied().unwrap_or_default(),
            None => self.0.values().copied().sum(),
        }
    }
}

/// Charges of the last month by the time when their calls ended, whichever run they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecentCharges(BTreeMap<u64, Charges>);

impl RecentCharges {
    /// Adds what a call of this task is charged that ended then, in milliseconds since 1970.
    pub fn add(&mut self, at_ms: u64, task: &str, amount: Money) {
        if amount == Money::ZERO {
            return;
        }
        let quarter = at_ms / QUARTER_MS;
        if !self.0.contains_key(&quarter) {
            let kept = self.0.split_off(&quarter.saturating_sub(KEPT_QUARTERS));
            self.0 = kept;
        }
        self.0.entry(quarter).or_default().add(task, amount);
    }

    /// Adds what stands in another.
    pub fn merge(&mut self, other: &Self) {
        for (quarter, charges) in &other.0 {
            self.0.entry(*quarter).or_default().merge(charges);
        }
    }

    /// What a task, or all tasks together, was charged from one time to before another, in milliseconds since 1970: both
    /// at whole quarters of an hour.
    #[must_use]
    pub fn between(&self, from_ms: u64, to_ms: u64, task: Option<&str>) -> Money {
        let (from, to) = (from_ms / QUARTER_MS, to_ms.div_ceil(QUARTER_MS));
        if from >= to {
            return Money::ZERO;
        }
        self.0.range(from..to).map(|(_, charges)| charges.of(task)).sum()
    }
}

impl AttemptLine {
    /// What it is charged.
    #[must_use]
    pub fn charge(&self) -> Money {
        charge(self.possibly_billed, self.cost, self.worst_cost)
    }
}

impl OutcomeLine {
    /// What its last call is charged.
    #[must_use]
    pub fn charge(&self) -> Money {
        charge(self.possibly_billed, self.cost, self.worst_cost)
    }
}

impl LogLine {
    /// The task that the line's call is charged to, when in milliseconds since 1970, and how much; `None` for lines of no
    /// call.
    #[must_use]
    pub fn charge(&self) -> Option<(&str, u64, Money)> {
        match self {
            Self::Attempt(attempt) => Some((&attempt.task, attempt.at, attempt.charge())),
            Self::Outcome(outcome) => Some((&outcome.task, outcome.at, outcome.charge())),
            Self::Run(_) | Self::RunEnd(_) | Self::Carried(_) => None,
        }
    }
}

fn charge(possibly_billed: bool, cost: Option<Money>, worst: Option<Money>) -> Money {
    match cost {
        Some(cost) if !possibly_billed => cost,
        Some(_) | None => worst.max(cost).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(usd: &str) -> Money {
        usd.parse().unwrap()
    }

    #[test]
    fn a_call_counts_at_its_cost_or_at_its_worst_where_that_is_not_known() {
        let (cost, worst) = (Some(usd("0.1")), Some(usd("0.5")));
        assert_eq!(charge(false, cost, worst), usd("0.1"));
        assert_eq!(charge(false, None, worst), usd("0.5"));
        assert_eq!(charge(true, Some(Money::ZERO), worst), usd("0.5"));
        assert_eq!(charge(true, cost, None), usd("0.1"));
        assert_eq!(charge(false, None, None), Money::ZERO);
    }

    #[test]
    fn charges_are_summed_by_time_and_task() {
        let mut charges = RecentCharges::default();
        let minutes = |minutes: u64| minutes * 60_000;
        charges.add(minutes(14), "tag", usd("1"));
        charges.add(minutes(15), "tag", usd("2"));
        charges.add(minutes(29), "sum", usd("4"));
        charges.add(minutes(30), "tag", usd("8"));
        assert_eq!(charges.between(minutes(15), minutes(30), None), usd("6"));
        assert_eq!(charges.between(0, minutes(45), Some("tag")), usd("11"));
        assert_eq!(charges.between(minutes(30), minutes(30), None), Money::ZERO);
        let read: RecentCharges = serde_json::from_str(&serde_json::to_string(&charges).unwrap()).unwrap();
        assert_eq!(read, charges);
    }

    #[test]
    fn a_month_is_kept_and_no_more() {
        let mut charges = RecentCharges::default();
        let days = |days: u64| days * 24 * 60 * 60_000;
        for day in 0..400 {
            charges.add(days(day), "tag", usd("1"));
        }
        assert_eq!(charges.between(0, days(400), None), usd("33"));
        assert_eq!(charges.between(days(369), days(400), None), usd("31"));
        // A clock that was wrong for a while takes nothing away for good.
        charges.add(days(40_000), "tag", usd("1"));
        charges.add(days(401), "tag", usd("1"));
        assert_eq!(charges.between(days(401), days(402), None), usd("1"));
    }
}
