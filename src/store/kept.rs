//! The outcomes by a row's own id and the values that were used: how rows find the answers that they keep after the job has
//! changed.

use std::collections::HashMap;
use std::ops::Range;

use super::{End, LoggedOutcome, StoreError};
use crate::types::RowHash;

/// An entry's mark: 48 bits of task and id, the number of the columns that were used, 40 bits of their values, and 32 of
/// the request.
type Mark = [u8; 16];
const OWNER: usize = 6;
const COLUMNS: usize = OWNER;
const VALUES: usize = COLUMNS + 1 + 5;
/// No more sets of columns than have a number: rows of further ones find nothing, and are sent again.
const TOO_MANY: u8 = u8::MAX;
/// In a packed end's how: it has been given out.
const TAKEN: u64 = 0x40;
/// A walk over more entries than this that were given out is remembered.
const LONG_WALK: usize = 32;

#[derive(Clone, Copy)]
struct Entry {
    mark: Mark,
    end: u64,
}

/// The row that an answer may be kept for: its own id, within its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner([u8; OWNER]);

impl Owner {
    /// The row with this id (its hash) in this task.
    #[must_use]
    pub fn new(task: &str, id: RowHash) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&id.0.to_le_bytes()).update(task.as_bytes());
        Self(first(hash.finalize().as_bytes()))
    }
}

/// What of a row an answer was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeOf {
    /// `None`: all of its bytes.
    pub columns: Option<Vec<String>>,
    /// Files that went with it; not told in logs of before that was noted.
    pub files: bool,
}

/// Outcomes that rows may keep, 24 bytes each: of each row those that were made of the same columns as its last one.
#[derive(Clone)]
pub struct KeptIndex {
    entries: Vec<Entry>,
    /// By their numbers in marks.
    made_of: Vec<MadeOf>,
    /// Where the walk through many equal entries goes on.
    walks: HashMap<usize, usize>,
}

impl KeptIndex {
    /// Takes in what has an id and was answered by a model, were it with an error; what another outcome replaces is left out.
    ///
    /// # Errors
    /// The first error of the iterator.
    pub fn build(outcomes: impl Iterator<Item = Result<LoggedOutcome, StoreError>>) -> Result<Self, StoreError> {
        let mut index = Self { entries: Vec::new(), made_of: Vec::new(), walks: HashMap::new() };
        let mut replaced = Vec::new();
        for outcome in outcomes {
            let outcome = outcome?;
            replaced.extend(outcome.ended.replaces);
            index.add(&outcome);
        }
        if !replaced.is_empty() {
            replaced.sort_unstable();
            index.entries.retain(|entry| replaced.binary_search(&offset(entry.end)).is_err());
        }
        index.leave_those_of_last_columns();
        index.entries.sort_unstable_by_key(|entry| (entry.mark, entry.end));
        index.entries.shrink_to_fit();
        Ok(index)
    }

    fn add(&mut self, outcome: &LoggedOutcome) {
        if outcome.ended.end.compared {
            // Which model answers is the job's choice.
            return;
        }
        // A failure without a call is free to be looked at anew, a copied one too.
        let called = outcome.called || (outcome.deduped && !outcome.provider.is_empty());
        let Some(id) = outcome.id_hash.filter(|_| called) else { return };
        let (columns, files, values) = match (&outcome.used, outcome.row_hash) {
            (Some(used), _) => (used.columns.as_ref(), used.files, used.hash),
            (None, Some(row)) => (None, false, row),
            (None, None) => return,
        };
        let Owner(owner) = Owner::new(&outcome.task, id);
        let mut mark = [0; 16];
        mark[..OWNER].copy_from_slice(&owner);
        mark[COLUMNS] = self.number(columns, files);
        mark[COLUMNS + 1..VALUES].copy_from_slice(&first::<5>(&values.0.to_be_bytes()));
        mark[VALUES..].copy_from_slice(&first::<4>(&outcome.ended.key.0));
        self.entries.push(Entry { mark, end: outcome.ended.end.pack() });
    }

    fn number(&mut self, columns: Option<&Vec<String>>, files: bool) -> u8 {
        // The last one first: that is the one of nearly all rows.
        let known = self.made_of.iter().rposition(|known| known.columns.as_ref() == columns && known.files == files);
        let number = known.unwrap_or(self.made_of.len());
        if known.is_none() && number < usize::from(TOO_MANY) {
            self.made_of.push(MadeOf { columns: columns.cloned(), files });
        }
        u8::try_from(number).unwrap_or(TOO_MANY)
    }

    /// An answer of before the prompt used a further column does not know what stands in it. Those with files and those
    /// without stay beside each other: rows that share an id may have both.
    fn leave_those_of_last_columns(&mut self) {
        self.entries.sort_unstable_by_key(|entry| (first::<OWNER>(&entry.mark), entry.end));
        let made_of = &self.made_of;
        let columns = |number: u8| made_of.get(usize::from(number)).map(|made_of| &made_of.columns);
        for run in self.entries.chunk_by_mut(|one, other| one.mark[..OWNER] == other.mark[..OWNER]) {
            let last = run.last().map_or(TOO_MANY, |entry| entry.mark[COLUMNS]);
            let stays = |number: u8| last != TOO_MANY && (number == last || columns(number) == columns(last));
            for entry in run.iter_mut().filter(|entry| !stays(entry.mark[COLUMNS])) {
                entry.end = 0;
            }
        }
        self.entries.retain(|entry| entry.end != 0);
    }

    /// What decides whether the row keeps what it has; `None`: it has nothing. Where some of it was made with files, that is
    /// told.
    #[must_use]
    pub fn made_of(&self, owner: Owner) -> Option<&MadeOf> {
        let made_of = self.numbers(owner).filter_map(|number| self.made_of.get(usize::from(number)));
        made_of.max_by_key(|made_of| made_of.files)
    }

    /// Those in the marks of the row: of the same columns, with files and without.
    fn numbers(&self, owner: Owner) -> impl Iterator<Item = u8> + use<> {
        let begin = self.entries.partition_point(|entry| entry.mark[..OWNER] < owner.0[..]);
        let len = self.entries[begin..].partition_point(|entry| entry.mark[..OWNER] == owner.0[..]);
        let of_owner = &self.entries[begin..begin + len];
        let first = of_owner.first().map(|entry| entry.mark[COLUMNS]);
        let last = of_owner.last().map(|entry| entry.mark[COLUMNS]).filter(|last| Some(*last) != first);
        first.into_iter().chain(last)
    }

    /// The next outcome of the row with these values of its columns. Of several requests the last one counts first; among
    /// the outcomes of one request the k-th call gives the k-th in the order of the log.
    pub fn take(&mut self, owner: Owner, values: RowHash) -> Option<End> {
        let mut newest: Option<(u64, usize)> = None;
        for request in self.requests(owner, values) {
            let last = self.entries[request.end - 1].end;
            let free = self.first_free(request);
            newest = newest.max(free.map(|at| (offset(last), at)));
        }
        let (_, at) = newest?;
        let end = End::unpack(self.entries[at].end);
        self.entries[at].end |= TAKEN;
        end
    }

    /// Says that rows have the outcomes at these places of the log already, which must be sorted.
    pub fn strike_all(&mut self, claimed: &[u64]) {
        let is_claimed = |entry: &&mut Entry| claimed.binary_search(&offset(entry.end)).is_ok();
        self.entries.iter_mut().filter(is_claimed).for_each(|entry| entry.end |= TAKEN);
    }

    /// Says that an outcome was found in another way, so that no further row takes it.
    pub fn strike(&mut self, owner: Owner, values: RowHash, end: End) {
        for request in self.requests(owner, values) {
            let entries = &mut self.entries[request];
            if let Ok(at) = entries.binary_search_by_key(&end.offset, |entry| offset(entry.end)) {
                entries[at].end |= TAKEN;
            }
        }
    }

    /// The entries of each request that the row made with these values.
    fn requests(&self, owner: Owner, values: RowHash) -> Vec<Range<usize>> {
        let mut prefix = [0; VALUES];
        prefix[..OWNER].copy_from_slice(&owner.0);
        prefix[COLUMNS + 1..].copy_from_slice(&first::<5>(&values.0.to_be_bytes()));
        let mut requests = Vec::new();
        for number in self.numbers(owner) {
            prefix[COLUMNS] = number;
            let mut begin = self.entries.partition_point(|entry| entry.mark[..VALUES] < prefix[..]);
            while let Some(entry) = self.entries.get(begin).filter(|entry| entry.mark[..VALUES] == prefix[..]) {
                let len = self.entries[begin..].partition_point(|other| other.mark <= entry.mark);
                requests.push(begin..begin + len);
                begin += len;
            }
        }
        requests
    }

    fn first_free(&mut self, request: Range<usize>) -> Option<usize> {
        let from = self.walks.get(&request.start).copied().unwrap_or(request.start);
        let at = (from..request.end).find(|at| self.entries[*at].end & TAKEN == 0);
        let to = at.unwrap_or(request.end);
        if to - from > LONG_WALK {
            self.walks.insert(request.start, to);
        }
        at
    }
}

/// Of a packed end.
fn offset(end: u64) -> u64 {
    end >> 8
}

/// The first bytes of at least as many.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Ended;
    use crate::types::{Key, UsedValues};

    const ID: RowHash = RowHash(7);

    /// `request`: which prompt it was.
    fn outcome(offset: u64, request: u8, columns: &[&str], values: u64) -> LoggedOutcome {
        let end = End { offset, failure: None, truncated: false, compared: false };
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        LoggedOutcome {
            ended: Ended { key: Key([request; 16]), row: offset, end, replaces: None },
            id_hash: Some(ID),
            row_hash: Some(RowHash(1 << 40)),
            used: (!columns.is_empty()).then(|| UsedValues {
                columns: Some(columns),
                files: false,
                hash: values_of(values),
            }),
            request: None,
            deduped: false,
            called: true,
            task: "tag".to_owned(),
            provider: String::new(),
            model: String::new(),
            usage: None,
            latency_ms: 0,
        }
    }

    fn values_of(number: u64) -> RowHash {
        RowHash(number << 40)
    }

    fn index(outcomes: Vec<LoggedOutcome>) -> KeptIndex {
        KeptIndex::build(outcomes.into_iter().map(Ok)).unwrap()
    }

    fn take(index: &mut KeptIndex, values: u64) -> Option<u64> {
        index.take(Owner::new("tag", ID), values_of(values)).map(|end| end.offset)
    }

    #[test]
    fn the_last_request_counts_first_and_within_it_the_order_of_the_log() {
        let mut index = index(vec![
            outcome(10, 9, &["a"], 1),
            outcome(20, 9, &["a"], 1),
            outcome(30, 2, &["a"], 1),
            outcome(40, 2, &["a"], 1),
            outcome(50, 2, &["a"], 2),
        ]);
        assert_eq!(
            index.made_of(Owner::new("tag", ID)),
            Some(&MadeOf { columns: Some(vec!["a".to_owned()]), files: false })
        );
        assert_eq!(index.made_of(Owner::new("sum", ID)), None);
        let takes: Vec<_> = (0..5).map(|_| take(&mut index, 1)).collect();
        assert_eq!(takes, [Some(30), Some(40), Some(10), Some(20), None]);
        assert_eq!((take(&mut index, 2), take(&mut index, 3)), (Some(50), None));
    }

    #[test]
    fn what_was_found_by_key_is_not_given_out_again() {
        let mut index = index(vec![outcome(10, 1, &["a"], 1), outcome(20, 1, &["a"], 1), outcome(30, 1, &["a"], 1)]);
        let end = |offset| End { offset, failure: None, truncated: false, compared: false };
        index.strike(Owner::new("tag", ID), values_of(1), end(20));
        index.strike(Owner::new("tag", ID), values_of(1), end(99));
        assert_eq!([take(&mut index, 1), take(&mut index, 1), take(&mut index, 1)], [Some(10), Some(30), None]);
    }

    #[test]
    fn only_outcomes_of_the_columns_that_were_used_last_count() {
        let mut wider = index(vec![outcome(10, 1, &["a"], 1), outcome(20, 2, &["a", "b"], 5)]);
        assert_eq!((take(&mut wider, 1), take(&mut wider, 5)), (None, Some(20)));
        let mut back = index(vec![outcome(10, 1, &[], 0), outcome(20, 2, &["a", "b"], 5), outcome(30, 1, &["a"], 1)]);
        assert_eq!((take(&mut back, 5), take(&mut back, 1)), (None, Some(30)));
        let mut whole = index(vec![outcome(10, 1, &["a"], 1), outcome(20, 2, &[], 0)]);
        assert_eq!(whole.made_of(Owner::new("tag", ID)).map(|made_of| &made_of.columns), Some(&None));
        assert_eq!(take(&mut whole, 1), Some(20));
    }

    #[test]
    fn what_was_replaced_or_asked_no_model_is_not_kept() {
        let mut replacing = outcome(20, 1, &["a"], 1);
        replacing.ended.replaces = Some(10);
        let uncalled = LoggedOutcome { called: false, ..outcome(5, 1, &["a"], 1) };
        let copied = LoggedOutcome { deduped: true, ..uncalled.clone() };
        let mut index = index(vec![uncalled, copied, outcome(10, 1, &["a"], 1), replacing]);
        assert_eq!([take(&mut index, 1), take(&mut index, 1)], [Some(20), None]);
    }

    #[test]
    fn what_was_made_with_files_and_what_was_made_without_are_kept_beside_each_other() {
        let with_files = |mut outcome: LoggedOutcome| {
            outcome.used.as_mut().unwrap().files = true;
            outcome
        };
        for turn in [[10, 20], [20, 10]] {
            let bare = outcome(turn[0], 1, &["a"], 1);
            let mut outcomes = vec![bare, with_files(outcome(turn[1], 2, &["a"], 5))];
            outcomes.sort_by_key(|outcome| outcome.ended.end.offset);
            let mut index = index(outcomes);
            // So that nobody looks for a row's values without its files.
            assert!(index.made_of(Owner::new("tag", ID)).unwrap().files);
            assert_eq!((take(&mut index, 1), take(&mut index, 5)), (Some(turn[0]), Some(turn[1])));
            assert_eq!((take(&mut index, 1), take(&mut index, 5)), (None, None));
        }
        let mut wider = index(vec![with_files(outcome(10, 1, &["a"], 1)), outcome(20, 2, &["a", "b"], 5)]);
        assert_eq!((take(&mut wider, 1), take(&mut wider, 5)), (None, Some(20)));
        assert!(!wider.made_of(Owner::new("tag", ID)).unwrap().files);
    }

    #[test]
    fn an_outcome_takes_24_bytes() {
        let of = |at| LoggedOutcome { id_hash: Some(RowHash(at)), ..outcome(at, 1, &["a"], at) };
        let mut index = index((1..=10_000).map(of).collect());
        assert_eq!(index.entries.capacity() * size_of::<Entry>(), 24 * 10_000);
        assert_eq!(index.take(Owner::new("tag", RowHash(9)), values_of(9)).map(|end| end.offset), Some(9));
    }

    #[test]
    fn a_hundred_thousand_equal_rows_are_given_out_in_order() {
        let mut index = index((1..=100_000).map(|at| outcome(at, 1, &["a"], 1)).collect());
        for at in 1..=100_000 {
            assert_eq!(take(&mut index, 1), Some(at));
        }
        assert_eq!(take(&mut index, 1), None);
    }

    #[test]
    fn more_sets_of_columns_than_have_a_number_only_cost_calls() {
        let names = (1..=300).map(|number| format!("c{number}"));
        let mut one_by_one = index((1..).zip(names).map(|(at, name)| outcome(at, 1, &[&name], 1)).collect());
        assert_eq!(one_by_one.made_of(Owner::new("tag", ID)), None);
        assert_eq!(take(&mut one_by_one, 1), None);
    }
}
