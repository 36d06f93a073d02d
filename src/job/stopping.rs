//! When a run stops by itself: `run.deadline`, `run.max_failures` and `max_cost`, as written and as meant.

use std::time::Duration;

use jiff::civil::Time;

use super::reader::Field;
use super::tree::Value;
use super::units;
use crate::types::Money;

/// `run.deadline`: when the run has ended, its drain included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// So long after its begin.
    After(Duration),
    /// At this local time of day.
    At(Time),
}

/// `run.max_failures`: the rows of one invocation that may fail before it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxFailures {
    /// This many; at least 1.
    Rows(u64),
    /// This share of the rows that have ended, in thousandths of a percent; more than nothing, at most all.
    Share(u64),
}

/// `max_cost` of a run or a task: what may be spent, hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxCost {
    /// This much.
    pub amount: Money,
    /// In this time.
    pub period: Period,
}

/// What a [`MaxCost`] holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// One run over all its resumes.
    Run,
    /// A day of the calendar here, over all runs of the job.
    Day,
    /// A month of the calendar here, over all runs of the job.
    Month,
}

/// All of it, in thousandths of a percent.
pub(super) const WHOLE_SHARE: u64 = 100_000;

pub(super) fn read_deadline(field: &Field<'_>) -> Option<Deadline> {
    let deadline = match &field.node.value {
        Value::Text(text) | Value::Date(text) => deadline(text),
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) => None,
    };
    if deadline.is_none() {
        refuse(field, "is no time of day and no duration", "\"06:00\" (local time) or \"8h\"");
    }
    deadline
}

pub(super) fn read_max_failures(field: &Field<'_>) -> Option<MaxFailures> {
    let most = match &field.node.value {
        Value::Integer(rows) => u64::try_from(*rows).ok().filter(|rows| *rows > 0).map(MaxFailures::Rows),
        Value::Text(text) => max_failures(text),
        Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    };
    if most.is_none() {
        refuse(field, "is no number of rows from 1 on and no percentage up to 100%", "20 or \"5%\"");
    }
    most
}

pub(super) fn read_max_cost(field: &Field<'_>) -> Option<MaxCost> {
    let most = match &field.node.value {
        Value::Integer(_) | Value::Float(_) => {
            field.number().and_then(Money::from_usd).map(|amount| MaxCost { amount, period: Period::Run })
        }
        Value::Text(text) => max_cost(text),
        Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => None,
    };
    if most.is_none() {
        refuse(field, "is no amount of USD, and none a day or month", "25.0, \"25/day\" or \"500/month\"");
    }
    most
}

fn refuse(field: &Field<'_>, message: &str, example: &str) {
    field.refuse(message, Some(format!("write for example {example}")));
}

fn deadline(text: &str) -> Option<Deadline> {
    let text = text.trim();
    match time_of_day(text) {
        Some(time) => Some(Deadline::At(time)),
        None => units::duration(text).filter(|duration| !duration.is_zero()).map(Deadline::After),
    }
}

/// `6:00`, `06:00` or `06:00:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<i8>().ok() } else { None }
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

fn max_failures(text: &str) -> Option<MaxFailures> {
    let text = text.trim();
    let Some(percent) = text.strip_suffix('%') else {
        return text.parse().ok().filter(|rows| *rows > 0).map(MaxFailures::Rows);
    };
    let (whole, decimals) = percent.trim().split_once('.').unwrap_or((percent.trim(), ""));
    if decimals.len() > 3 || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let share = format!("{whole}{decimals:0<3}").parse().ok();
    share.filter(|share| (1..=WHOLE_SHARE).contains(share)).map(MaxFailures::Share)
}

fn max_cost(text: &str) -> Option<MaxCost> {
    let (amount, period) = match text.split_once('/') {
        None => (text, Period::Run),
        Some((amount, period)) => match period.trim() {
            "day" => (amount, Period::Day),
            "month" => (amount, Period::Month),
            _ => return None,
        },
    };
    Some(MaxCost { amount: amount.trim().parse().ok()?, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_of_day_or_a_duration() {
        let at = |hour, minute, second| Some(Deadline::At(Time::new(hour, minute, second, 0).unwrap()));
        for (text, meant) in [
            ("06:00", at(6, 0, 0)),
            ("6:05", at(6, 5, 0)),
            ("23:59:30", at(23, 59, 30)),
            ("8h", Some(Deadline::After(Duration::from_hours(8)))),
            ("1h30m", Some(Deadline::After(Duration::from_mins(90)))),
        ] {
            assert_eq!(deadline(text), meant, "{text}");
        }
        for text in ["", "24:00", "6", "06:60", "0s", "-1h", "006:00", "6:00:00:00", "6:", "tomorrow"] {
            assert_eq!(deadline(text), None, "{text}");
        }
    }

    #[test]
    fn failures_are_counted_in_rows_or_percent() {
        for (text, meant) in [
            ("20", MaxFailures::Rows(20)),
            ("5%", MaxFailures::Share(5_000)),
            ("0.25 %", MaxFailures::Share(250)),
            ("100%", MaxFailures::Share(100_000)),
        ] {
            assert_eq!(max_failures(text), Some(meant), "{text}");
        }
        for text in ["", "0", "-3", "%", "0%", "101%", "5 rows", "0.0001%"] {
            assert_eq!(max_failures(text), None, "{text}");
        }
    }

    #[test]
    fn costs_are_counted_in_usd_by_run_day_or_month() {
        for (text, usd, period) in [
            ("25", "25", Period::Run),
            ("0.5", "0.5", Period::Run),
            ("25/day", "25", Period::Day),
            (" 500.25 / month ", "500.25", Period::Month),
            ("0", "0", Period::Run),
        ] {
            assert_eq!(max_cost(text), Some(MaxCost { amount: usd.parse().unwrap(), period }), "{text}");
        }
        for text in ["", "-1", "25/", "25/week", "/day", "$25", "25 USD", "1e3", "0.0000000000001", "25/day/month"] {
            assert_eq!(max_cost(text), None, "{text}");
        }
    }
}
