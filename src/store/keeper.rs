//! The store: the single writer of a state directory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::checkpoint::{SharedCheckpoint, records_from};
use super::commits::Beside;
use super::lock::now_ms;
use super::log::Log;
use super::meta::Meta;
use super::order::{self, Order};
use super::{
    Beginning, End, Ended, Flight, KeyIndex, OrderReader, OrderState, Record, StateDir, StoreError, packed, totals,
};
use crate::types::{AttemptLine, CallNumber, Key, Ledger, LogLine, OutcomeLine, TrailEntry};

/// How many settled calls are remembered before those that left the flight file are forgotten; far above any number of
/// slots.
const SETTLED: usize = 1 << 16;

/// What was found when the store was opened.
#[derive(Debug)]
pub struct Opened {
    /// Words for the user: what was torn, damaged or rebuilt.
    pub notes: Vec<String>,
    /// Calls that were out when the last process died: they are on record now, at their worst case.
    pub possibly_billed: Vec<AttemptLine>,
    /// The number of the next call.
    pub next_call: CallNumber,
    /// Attempts on record of rows that have no outcome yet.
    pub spent: HashMap<Key, Vec<TrailEntry>>,
}

/// How things stood before this process wrote anything.
pub(super) struct AtOpen {
    /// The checkpoint's cursor, in bytes of the log.
    pub(super) cursor: u64,
    /// The records up to there.
    pub(super) records: u64,
    /// Lines were found that cannot be read, so that places in the order may point to them.
    pub(super) broken: bool,
}

/// The state of a job, open for writing. The caller holds the directory's lock.
///
/// Dropping it loses what was appended and not written, and nothing else.
pub struct Store {
    pub(super) dir: StateDir,
    pub(super) log: Log,
    pub(super) checkpoint: SharedCheckpoint,
    pub(super) flight: Arc<Flight>,
    pub(super) order: Option<Order>,
    /// The sums up to the last line appended; but cursor, tail and records are those of the last commit.
    pub(super) meta: Meta,
    /// Outcomes behind the last commit.
    pub(super) gathered: Vec<Ended>,
    /// So many of them make the next commit.
    pub(super) commit_at: usize,
    /// What the disk is asked for while lines are written.
    pub(super) beside: Beside,
    /// Calls on record that may still stand in the flight file.
    pub(super) settled: HashSet<CallNumber>,
    pub(super) at_open: AtOpen,
    /// Commits may not have reached the disk.
    pub(super) unsynced: bool,
}

impl Store {
    /// Appends a line to the write buffer, counts it, and returns where it will stand in the log, in bytes. Raw line
    /// breaks in a reply are made blanks.
    ///
    /// # Errors
    /// A line that is no JSON was not appended. After an I/O error of the order the line stands, but the run must end.
    pub fn append(&mut self, line: &LogLine) -> Result<u64, StoreError> {
        let offset = self.log.append(line)?;
        self.count(line, offset)?;
        Ok(offset)
    }

    /// Writes all that was appended, in one go. After an error there are only whole lines in the log; the others stay in
    /// the buffer, so that this may be called again.
    ///
    /// # Errors
    /// I/O, such as a full disk.
    pub fn write(&mut self) -> Result<(), StoreError> {
        self.log.write()
    }

    /// The bytes that were appended and not yet written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.log.unwritten()
    }

    /// Replaces `totals.json`: the ledger, and the members of `extra`, an object.
    ///
    /// # Errors
    /// I/O.
    pub fn save_totals(&self, extra: &Value) -> Result<(), StoreError> {
        totals::save(&self.dir, now_ms(), self.log.len(), &self.meta.ledger, extra)
    }

    /// The sums of all that was appended.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.meta.ledger
    }

    /// The flight file.
    #[must_use]
    pub fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.flight)
    }

    /// The log's length with all that was appended, in bytes.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        self.log.len()
    }

    /// All outcomes in the order of the log, for the key index.
    pub fn outcomes(&self) -> impl Iterator<Item = Result<Ended, StoreError>> + '_ {
        self.outcomes_from(0)
    }

    /// How many outcomes are on record, those that another one replaced included.
    #[must_use]
    pub fn outcome_count(&self) -> u64 {
        self.meta.outcomes + self.gathered.len() as u64
    }

    /// Opens the order for this identity (of the input and the job). Where it is the order on disk, it is brought up to
    /// date with the log; otherwise a new one begins, and the old one is gone.
    ///
    /// # Errors
    /// I/O.
    pub fn order_for(&mut self, identity: [u8; 16]) -> Result<OrderState, StoreError> {
        Ok(if self.resume_order(identity)? { OrderState::Matched } else { self.begin_order(identity)? })
    }

    /// Opens the order on disk, brought up to date with the log, where it is of this identity and matched.
    ///
    /// # Errors
    /// I/O.
    pub fn resume_order(&mut self, identity: [u8; 16]) -> Result<bool, StoreError> {
        let mut order = self.order_on_disk(identity)?;
        if let Some(order) = &mut order {
            // The identity tells the input's times.
            order.confirm(self.log.len());
            order.save_confirmed()?;
        }
        self.order = order;
        Ok(self.order.is_some())
    }

    /// Makes the order on disk that of another identity, whose input begins with as many rows of the one that it tells of.
    /// What rows have by it they keep; what is left is returned, for all others. Where it is left with nothing, it is
    /// matched. `None` where the order cannot be used: nothing was changed then.
    ///
    /// # Errors
    /// I/O.
    pub fn carry_order(
        &mut self,
        identity: [u8; 16],
        before: &Beginning,
    ) -> Result<Option<(KeyIndex, Vec<u64>)>, StoreError> {
        let Some(mut order) = self.order_on_disk(before.identity)? else { return Ok(None) };
        let claimed = order.carry_over(identity, before.rows, self.log.len(), self.meta.cursor)?;
        let is_all = claimed.len() as u64 == self.outcome_count();
        let others = if is_all { KeyIndex::default() } else { KeyIndex::without(self.outcomes(), &claimed)? };
        if others.is_empty() {
            order.mark_carried()?;
        }
        self.order = Some(order);
        Ok(Some((others, claimed)))
    }

    /// Of which identity the order on disk is, if there is one.
    #[must_use]
    pub fn order_identity(&self) -> Option<[u8; 16]> {
        order::identity_on_disk(&self.dir)
    }

    /// The input has not changed since the order for it was opened: what the order tells is true of it.
    pub fn confirm_order(&mut self) {
        let log_len = self.log.len();
        if let Some(order) = &mut self.order {
            order.confirm(log_len);
        }
    }

    /// Begins an order, in place of any on disk.
    fn begin_order(&mut self, identity: [u8; 16]) -> Result<OrderState, StoreError> {
        self.wait_for_disk()?;
        let any = self.meta.outcomes > 0 || !self.gathered.is_empty();
        let state = if any { OrderState::Unmatched } else { OrderState::Matched };
        self.order = Some(Order::begin(&self.dir, identity, state, self.log.len(), self.meta.cursor)?);
        Ok(state)
    }

    /// The order on disk up to date with the log, where it is of this identity and matched. None is open then.
    fn order_on_disk(&mut self, identity: [u8; 16]) -> Result<Option<Order>, StoreError> {
        self.flush_order()?;
        self.order = None;
        // The order's base must not be a place that a power loss can take away and other lines then fill.
        self.sync()?;
        if self.at_open.broken {
            return Ok(None);
        }
        let found = Order::resume(&self.dir, identity, self.at_open.cursor, self.log.len())?;
        let Some(mut order) = found else { return Ok(None) };
        Ok(self.bring_up_to_date(&mut order)?.then_some(order))
    }

    /// Removes the order: what is written next is not told by the numbers of today's rows.
    ///
    /// # Errors
    /// I/O.
    pub fn forget_order(&mut self) -> Result<(), StoreError> {
        self.wait_for_disk()?;
        self.order = None;
        Order::remove(&self.dir)
    }

    /// Puts in where a row that was found by its key ended. Does nothing where no order is open.
    ///
    /// # Errors
    /// I/O: the order is not taken for whole then.
    pub fn set_order(&mut self, row: u64, end: End) -> Result<(), StoreError> {
        self.order.as_mut().map_or(Ok(()), |order| order.put(row, end))
    }

    /// Says that all rows of the input have been looked up by key.
    ///
    /// # Errors
    /// I/O.
    pub fn mark_matched(&mut self) -> Result<(), StoreError> {
        // What came of an earlier commit does not make the order a worse one.
        let ended = self.wait_for_disk();
        self.order.as_mut().map_or(Ok(()), Order::mark_matched).and(ended)
    }

    /// Lets readers of the order see all entries. Writes the log first: an entry on disk without its line costs the next
    /// start a pass over the whole input.
    ///
    /// # Errors
    /// I/O.
    pub fn flush_order(&mut self) -> Result<(), StoreError> {
        self.write()?;
        self.order.as_mut().map_or(Ok(()), Order::flush)
    }

    /// A reader of the order as it is now, flushed. [`Store::order_for`] comes first.
    ///
    /// # Errors
    /// I/O, also where there is no order.
    pub fn order(&mut self) -> Result<OrderReader, StoreError> {
        self.flush_order()?;
        OrderReader::open(&self.dir)
    }

    /// Writes everything, moves the checkpoint to the end of the log and closes it.
    ///
    /// # Errors
    /// I/O, or the checkpoint's own.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.checkpoint()
    }

    /// Counts a line that stands at this place.
    pub(super) fn count(&mut self, line: &LogLine, offset: u64) -> Result<(), StoreError> {
        self.meta.ledger.count(line);
        match line {
            LogLine::Run(_) | LogLine::RunEnd(_) => Ok(()),
            LogLine::Carried(carried) => {
                self.meta.next_call = self.meta.next_call.max(carried.next_call);
                Ok(())
            }
            LogLine::Attempt(attempt) => {
                self.saw_call(attempt.call);
                self.meta.spent.count_attempt(attempt);
                Ok(())
            }
            LogLine::Outcome(outcome) => {
                self.saw_call(outcome.call);
                self.meta.spent.count_outcome(outcome);
                let ended = ended(outcome, offset);
                self.gathered.push(ended);
                self.set_order(ended.row, ended.end)
            }
        }
    }

    /// Entries behind the checkpoint's cursor may be of lines that are gone: they go, and come again from the lines.
    /// `false` where one does not come: a line was lost that may have replaced another, which only its key can find.
    fn bring_up_to_date(&self, order: &mut Order) -> Result<bool, StoreError> {
        // Before its base an order has places that were found by key: there the log's row numbers mean other rows.
        let from = order.base().max(self.at_open.cursor);
        let forgot = order.forget_from(from)?;
        for outcome in self.outcomes_from(self.at_open.records) {
            let outcome = outcome?;
            if outcome.end.offset >= from {
                order.put(outcome.row, outcome.end)?;
            }
        }
        if forgot && order.has_forgotten()? {
            return Ok(false);
        }
        // Opening may have moved the cursor, and the next process compares with it.
        order.sync(self.meta.cursor)?;
        Ok(true)
    }

    fn outcomes_from(&self, record: u64) -> impl Iterator<Item = Result<Ended, StoreError>> + '_ {
        // Behind those may stand what a commit under way has put there; it has still gathered, too.
        let records = self.meta.records;
        let is_known = move |record: &Result<Record, _>| record.as_ref().map_or(true, |(number, _)| *number < records);
        let known = records_from(record, |from| self.checkpoint.lock().record_from(from)).take_while(is_known);
        let committed = known.flat_map(|record| {
            let (ends, error) = match record.and_then(|(_, record)| self.unpack(&record)) {
                Ok(ends) => (ends, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            ends.into_iter().map(Ok).chain(error)
        });
        committed.chain(self.gathered.iter().copied().map(Ok))
    }

    fn unpack(&self, record: &[u8]) -> Result<Vec<Ended>, StoreError> {
        let damaged =
            || StoreError::Checkpoint { path: self.dir.file("sled"), reason: "a record is damaged".to_owned() };
        packed::decode(record).ok_or_else(damaged)
    }

    fn saw_call(&mut self, call: CallNumber) {
        if call != 0 {
            self.settled.insert(call);
            self.meta.next_call = self.meta.next_call.max(call + 1);
            // In an outage there are many attempts and no outcomes, so no commits.
            if self.settled.len() >= SETTLED {
                self.forget_settled();
            }
        }
    }

    /// Keeps of the settled calls only those that still stand in the flight file.
    pub(super) fn forget_settled(&mut self) {
        let standing = self.flight.standing();
        self.settled.retain(|call| standing.contains(call));
    }
}

pub(super) fn ended(line: &OutcomeLine, offset: u64) -> Ended {
    let failure = line.failure.as_ref().map(|failure| failure.kind);
    let end = End { offset, failure, truncated: line.truncated, compared: line.compared };
    Ended { key: line.key, row: line.row, end, replaces: line.replaces }
}
