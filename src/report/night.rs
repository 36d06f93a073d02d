//! One run as a line among others.

use serde::Serialize;

use super::entry::{Entry, Scope};
use crate::types::{Moment, Money, PossiblyBilled, RunKind, RunNumber, RunTotals};

/// One run of a job, with the figures by which nights are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Night {
    /// The run.
    pub run: RunNumber,
    /// What it was for.
    #[serde(skip_serializing_if = "RunKind::is_job")]
    pub kind: RunKind,
    /// When it began.
    pub started_at: Moment,
    /// When nothing remained of it; `None` while it goes on.
    pub ended_at: Option<Moment>,
    /// From its begin to its end, or to the last that is known of it.
    pub elapsed_ms: u64,
    /// Rows that ended.
    pub rows: u64,
    /// Rows that ended well.
    pub succeeded: u64,
    /// Rows that ended badly.
    pub failed: u64,
    /// Requests sent, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// All input tokens.
    pub input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// The known part of the cost; `None` where nothing of it is known.
    pub cost_usd: Option<Money>,
    /// The known part of what bought no answer; `None` where nothing of it is known.
    pub wasted_usd: Option<Money>,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// Calls whose end is not known: they are not in the cost.
    pub possibly_billed: PossiblyBilled,
    /// The cost for a thousand rows; `None` where it is not known, or no row has ended.
    pub cost_per_1000_rows_usd: Option<Money>,
    /// Rows that ended a second, over all of its time; `None` where it took none.
    pub rows_per_second: Option<f64>,
}

impl Night {
    /// Its number, and what it was for where that is not the job itself.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            RunKind::Job => self.run.to_string(),
            RunKind::Compare => format!("{} compare", self.run),
        }
    }

    /// `told_at`: the last moment that is known of the job.
    pub(super) fn new(run: &RunTotals, told_at: Option<u64>) -> Self {
        let entry = Entry::new(&Scope::All, &run.totals.sum(), None);
        let elapsed_ms = run.elapsed_ms(told_at);
        Self {
            run: run.run,
            kind: run.kind,
            started_at: Moment(run.started_at),
            ended_at: run.ended_at.map(Moment),
            elapsed_ms,
            rows: entry.rows,
            succeeded: entry.succeeded,
            failed: entry.failed,
            attempts: entry.attempts,
            rate_limited: entry.rate_limited,
            input_tokens: entry.input_tokens,
            output_tokens: entry.output_tokens,
            cost_usd: entry.cost_usd,
            wasted_usd: entry.wasted_usd,
            cost_unknown_rows: entry.cost_unknown_rows,
            possibly_billed: run.totals.possibly_billed,
            cost_per_1000_rows_usd: entry.cost_usd.and_then(|cost| per_thousand(cost, entry.rows)),
            rows_per_second: per_second(entry.rows, elapsed_ms),
        }
    }
}

fn per_thousand(cost: Money, rows: u64) -> Option<Money> {
    let pico = (u128::from(cost.pico()) * 1_000).checked_div(u128::from(rows))?;
    u64::try_from(pico).ok().map(Money::from_pico)
}

/// To three decimals.
fn per_second(rows: u64, elapsed_ms: u64) -> Option<f64> {
    let thousandths = rows.saturating_mul(1_000_000).checked_div(elapsed_ms)?;
    // Far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    Some(thousandths as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_and_a_price_need_something_to_go_by() {
        assert_eq!((per_second(3, 2_000), per_second(1, 3_000), per_second(1, 0)), (Some(1.5), Some(0.333), None));
        let usd = |text: &str| text.parse::<Money>().unwrap();
        assert_eq!((per_thousand(usd("0.3"), 200), per_thousand(usd("1"), 0)), (Some(usd("1.5")), None));
    }
}
