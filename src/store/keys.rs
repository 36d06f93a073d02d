//! The outcomes by key: how rows find their outcomes again after the input or the job has changed.

use super::{End, Ended, StoreError};
use crate::types::Key;

/// Above a packed end whose how is 0 stands an index: the next entry of this key to be given out.
const INDEX_BITS: u32 = 8;

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    end: u64,
}

/// All outcomes that stand, sorted by key; 24 bytes each.
#[derive(Clone, Default)]
pub struct KeyIndex {
    entries: Vec<Entry>,
}

impl KeyIndex {
    /// Takes all outcomes in; those that another one replaces are left out.
    ///
    /// # Errors
    /// The first error of the iterator.
    pub fn build(outcomes: impl Iterator<Item = Result<Ended, StoreError>>) -> Result<Self, StoreError> {
        Self::without(outcomes, &[])
    }

    /// As [`KeyIndex::build`], without those at these places of the log, which must be sorted: rows have them already.
    ///
    /// # Errors
    /// The first error of the iterator.
    pub fn without(
        outcomes: impl Iterator<Item = Result<Ended, StoreError>>,
        claimed: &[u64],
    ) -> Result<Self, StoreError> {
        let (mut entries, mut replaced) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            let outcome = outcome?;
            replaced.extend(outcome.replaces);
            if claimed.binary_search(&outcome.end.offset).is_err() {
                entries.push(Entry { key: outcome.key, end: outcome.end.pack() });
            }
        }
        if !replaced.is_empty() {
            replaced.sort_unstable();
            entries.retain(|entry| replaced.binary_search(&(entry.end >> INDEX_BITS)).is_err());
        }
        entries.sort_unstable_by_key(|entry| (entry.key, entry.end));
        Ok(Self { entries })
    }

    /// Whether there is nothing to be found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there are outcomes of this key.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        self.entries.binary_search_by_key(&key, |entry| entry.key).is_ok()
    }

    /// The next outcome of this key: the k-th call for a key gives its k-th outcome in the order of the log.
    pub fn take(&mut self, key: Key) -> Option<End> {
        let first = self.entries.partition_point(|entry| entry.key < key);
        let head = self.entries.get(first).filter(|entry| entry.key == key)?.end;
        // The first entry of a key, once given out, remembers which one is next: no walk over 100,000 equal keys.
        let at = if End::unpack(head).is_some() { first } else { usize::try_from(head >> INDEX_BITS).ok()? };
        let given = self.entries.get(at).filter(|entry| entry.key == key)?.end;
        self.entries[first].end = (at as u64 + 1) << INDEX_BITS;
        End::unpack(given)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    fn ended(key: u8, offset: u64, replaces: Option<u64>) -> Ended {
        let end = End { offset, failure: None, truncated: false, compared: false };
        Ended { key: Key([key; 16]), row: offset, end, replaces }
    }

    proptest! {
        #[test]
        fn the_kth_take_of_a_key_gives_its_kth_outcome(
            keys in proptest::collection::vec(0u8..4, 0..60),
            takes in proptest::collection::vec(0u8..5, 0..80),
        ) {
            let outcomes: Vec<Ended> = keys.iter().zip(20u64..).map(|(key, at)| ended(*key, at, None)).collect();
            let mut model: HashMap<u8, VecDeque<End>> = HashMap::new();
            for outcome in &outcomes {
                model.entry(outcome.key.0[0]).or_default().push_back(outcome.end);
            }
            let mut index = KeyIndex::build(outcomes.into_iter().map(Ok)).unwrap();
            for key in takes {
                let expected = model.get_mut(&key).and_then(VecDeque::pop_front);
                prop_assert_eq!(index.take(Key([key; 16])), expected);
            }
        }
    }

    #[test]
    fn a_replaced_outcome_is_not_given_out() {
        let outcomes = [ended(1, 20, None), ended(1, 30, None), ended(1, 40, Some(20)), ended(1, 50, Some(40))];
        let mut index = KeyIndex::build(outcomes.into_iter().map(Ok)).unwrap();
        let mut take = || index.take(Key([1; 16])).map(|end| end.offset);
        assert_eq!([take(), take(), take(), take()], [Some(30), Some(50), None, None]);
    }

    #[test]
    fn a_key_that_stands_a_hundred_thousand_times_is_given_out_in_order() {
        let outcomes = (0..100_000).map(|at| Ok(ended(7, at, None)));
        let mut index = KeyIndex::build(outcomes).unwrap();
        for at in 0..100_000 {
            assert_eq!(index.take(Key([7; 16])).map(|end| end.offset), Some(at));
        }
        assert_eq!(index.take(Key([7; 16])), None);
    }
}
