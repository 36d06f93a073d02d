//! How an outcome is remembered: where its line stands and how it ended, in 8 bytes, and many of them in one record.

use crate::types::{FailureKind, Key};

const TRUNCATED: u8 = 0x80;
const REPLACES: u8 = 0x40;
const COMPARED: u8 = 0x20;
const SUCCEEDED: u8 = 1;
const FAILED: u8 = 2;
const HOW_BITS: u32 = 8;

/// Where a row's outcome stands in the log, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Where its line begins in the log, in bytes.
    pub offset: u64,
    /// Why it failed; `None` where it succeeded.
    pub failure: Option<FailureKind>,
    /// The model stopped at its output limit.
    pub truncated: bool,
    /// It is of a comparison, which asks one model alone.
    pub compared: bool,
}

impl End {
    /// 56 bits of offset above 8 bits of how; never 0.
    pub(super) fn pack(self) -> u64 {
        self.offset << HOW_BITS | u64::from(self.how())
    }

    /// What [`End::pack`] made; `None` for 0 and for anything else that it cannot have made.
    pub(super) fn unpack(packed: u64) -> Option<Self> {
        let how = u8::try_from(packed & 0xff).ok()?;
        Self::from_how(packed >> HOW_BITS, how)
    }

    fn how(self) -> u8 {
        let truncated = if self.truncated { TRUNCATED } else { 0 };
        let compared = if self.compared { COMPARED } else { 0 };
        truncated | compared | self.failure.map_or(SUCCEEDED, |kind| FAILED + kind.code())
    }

    fn from_how(offset: u64, how: u8) -> Option<Self> {
        let failure = match how & !(TRUNCATED | REPLACES | COMPARED) {
            0 => return None,
            SUCCEEDED => None,
            code => Some(FailureKind::from_code(code - FAILED)?),
        };
        Some(Self { offset, failure, truncated: how & TRUNCATED != 0, compared: how & COMPARED != 0 })
    }
}

/// A row that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its key.
    pub key: Key,
    /// Its record number when it ran.
    pub row: u64,
    /// Where and how.
    pub end: End,
    /// Where the outcome that this one replaces stands in the log.
    pub replaces: Option<u64>,
}

/// Packs outcomes in the order of the log: 16 bytes of key, and differences for the rest.
pub(super) fn encode(ends: &[Ended]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + ends.len() * 24);
    put_varint(&mut out, ends.len() as u64);
    let (mut offset, mut row) = (0, 0);
    for ended in ends {
        let replaces = if ended.replaces.is_some() { REPLACES } else { 0 };
        out.push(ended.end.how() | replaces);
        out.extend_from_slice(&ended.key.0);
        put_varint(&mut out, zigzag(ended.end.offset, offset));
        put_varint(&mut out, zigzag(ended.row, row));
        if let Some(replaced) = ended.replaces {
            put_varint(&mut out, replaced);
        }
        (offset, row) = (ended.end.offset, ended.row);
    }
    out
}

/// How many outcomes a record holds; `None` where it is damaged.
pub(super) fn count(mut record: &[u8]) -> Option<u64> {
    take_varint(&mut record)
}

/// Reads a record back; `None` where it is damaged.
pub(super) fn decode(mut record: &[u8]) -> Option<Vec<Ended>> {
    let count = usize::try_from(take_varint(&mut record)?).ok()?;
    let mut ends = Vec::with_capacity(count.min(record.len() / 19));
    let (mut offset, mut row) = (0, 0);
    for _ in 0..count {
        let how = record.split_off_first().copied()?;
        let (key, rest) = record.split_first_chunk::<16>()?;
        record = rest;
        offset = unzigzag(take_varint(&mut record)?, offset);
        row = unzigzag(take_varint(&mut record)?, row);
        let replaces = if how & REPLACES == 0 { None } else { Some(take_varint(&mut record)?) };
        ends.push(Ended { key: Key(*key), row, end: End::from_how(offset, how)?, replaces });
    }
    record.is_empty().then_some(ends)
}

/// The difference as an unsigned number that is small where the difference is small, of either sign.
fn zigzag(to: u64, from: u64) -> u64 {
    let difference = to.wrapping_sub(from).cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

fn unzigzag(packed: u64, from: u64) -> u64 {
    let difference = (packed >> 1) ^ (packed & 1).wrapping_neg();
    from.wrapping_add(difference)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = from.split_off_first().copied()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_end() -> impl Strategy<Value = End> {
        let failure = proptest::option::of((0..FailureKind::ALL.len()).prop_map(|at| FailureKind::ALL[at]));
        (0..1u64 << 56, failure, any::<bool>(), any::<bool>()).prop_map(|(offset, failure, truncated, compared)| End {
            offset,
            failure,
            truncated,
            compared,
        })
    }

    fn any_ended() -> impl Strategy<Value = Ended> {
        (any::<[u8; 16]>(), any::<u64>(), any_end(), any::<Option<u64>>()).prop_map(|(key, row, end, replaces)| Ended {
            key: Key(key),
            row,
            end,
            replaces,
        })
    }

    proptest! {
        #[test]
        fn an_end_reads_back_and_is_never_zero(end in any_end()) {
            prop_assert_ne!(end.pack(), 0);
            prop_assert_eq!(End::unpack(end.pack()), Some(end));
        }

        #[test]
        fn a_record_reads_back(ends in proptest::collection::vec(any_ended(), 0..40)) {
            let record = encode(&ends);
            prop_assert_eq!(count(&record), Some(ends.len() as u64));
            prop_assert_eq!(decode(&record), Some(ends));
        }

        #[test]
        fn a_cut_record_is_refused(ends in proptest::collection::vec(any_ended(), 1..10), cut in any::<prop::sample::Index>()) {
            let record = encode(&ends);
            prop_assert_eq!(decode(&record[..cut.index(record.len())]), None);
        }
    }

    #[test]
    fn garbage_is_refused_without_a_huge_allocation() {
        assert_eq!(decode(&[0xff; 9]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]), None);
        assert_eq!(End::unpack(0), None);
        assert_eq!(End::unpack(63), None);
    }

    #[test]
    fn an_outcome_takes_at_most_28_bytes_in_a_record() {
        let ends: Vec<Ended> = (0..2048)
            .map(|at| Ended {
                key: Key([7; 16]),
                row: 1 + (at ^ 0x155),
                end: End { offset: 50_000_000_000 + at * 9_000, failure: None, truncated: false, compared: false },
                replaces: None,
            })
            .collect();
        assert!(encode(&ends).len() <= 2048 * 23, "{} bytes", encode(&ends).len());
    }
}
