//! Each record as a row for each of the compared models.

use std::sync::Arc;

use super::{Answered, Sample};
use crate::engine::RunError;
use crate::engine::plan::Plan;
use crate::engine::prepare::{Prepared, prepare};
use crate::source::{Record, Records, SourceError};
use crate::store::End;

/// Takes records apart for the feed.
pub(in crate::engine) struct Copies {
    plans: Vec<Arc<Plan>>,
    sample: Arc<Sample>,
    answered: Answered,
    /// The record at hand.
    record: Option<Record>,
    /// The plan that its next copy is for; that of its last copy stands before it.
    next: usize,
}

impl Copies {
    pub(super) fn new(plans: Vec<Arc<Plan>>, sample: Arc<Sample>, answered: Answered) -> Self {
        Self { plans, sample, answered, record: None, next: 0 }
    }

    /// The next copy: of the record at hand, or of the next one. One that is not compared comes once.
    pub fn next(&mut self, records: &mut Records) -> Result<Option<Record>, SourceError> {
        if self.record.is_none() {
            let next = records.next().transpose()?;
            if next.as_ref().is_none_or(|record| !self.sample.rows.contains(&record.number)) {
                return Ok(next);
            }
            (self.record, self.next) = (next, 0);
        }
        self.next += 1;
        Ok(if self.next < self.plans.len() { self.record.clone() } else { self.record.take() })
    }

    /// What the last copy asks, and its end where that is on record.
    pub fn find(&mut self, record: &Record) -> Result<(Option<End>, Option<Prepared>), RunError> {
        let plan = &self.plans[self.next - 1];
        let prepared = prepare(plan, record);
        let end = self.answered.take(plan, &prepared)?.map(|(end, _)| end);
        Ok((end, Some(prepared)))
    }
}
