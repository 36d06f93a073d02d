//! One slot of the flight file, in bytes.

use std::sync::Arc;

use crate::types::{CallNumber, Key, Money};

/// The size of a slot, in bytes. Aligned to it, a slot never spans two sectors.
pub(super) const SLOT: usize = 256;
const NAMES_AT: usize = 64;
const NAMES: usize = SLOT - NAMES_AT;
const TAKEN: u8 = 1;

/// A call that is about to be sent: what must be known of it if its end never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightEntry {
    /// The call's number, never 0.
    pub call: CallNumber,
    /// The row's key.
    pub key: Key,
    /// The row's record number.
    pub row: u64,
    /// When it is sent, in milliseconds since 1970.
    pub at: u64,
    /// What it costs at most; `None` where no price is known.
    pub worst_cost: Option<Money>,
    /// The table of the job file that the row uses.
    pub task: Arc<str>,
    /// The provider asked.
    pub provider: Arc<str>,
    /// The model's name on the wire.
    pub model: Arc<str>,
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Free,
    Taken(FlightEntry),
    Damaged,
}

pub(super) fn encode(entry: &FlightEntry) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[0] = TAKEN;
    slot[1] = u8::from(entry.worst_cost.is_some());
    slot[8..16].copy_from_slice(&entry.call.to_le_bytes());
    slot[16..24].copy_from_slice(&entry.row.to_le_bytes());
    slot[24..40].copy_from_slice(&entry.key.0);
    slot[40..48].copy_from_slice(&entry.worst_cost.unwrap_or_default().pico().to_le_bytes());
    slot[48..56].copy_from_slice(&entry.at.to_le_bytes());
    let mut at = NAMES_AT;
    for (index, name) in fit([&entry.task, &entry.provider, &entry.model]).into_iter().enumerate() {
        slot[2 + index] = u8::try_from(name.len()).unwrap_or(0);
        slot[at..at + name.len()].copy_from_slice(name.as_bytes());
        at += name.len();
    }
    let sum = checksum(&slot);
    slot[56..64].copy_from_slice(&sum);
    slot
}

pub(super) fn decode(slot: &[u8; SLOT]) -> Slot {
    match slot[0] {
        0 => Slot::Free,
        TAKEN if checksum(slot) == slot[56..64] => entry(slot).map_or(Slot::Damaged, Slot::Taken),
        _ => Slot::Damaged,
    }
}

fn entry(slot: &[u8; SLOT]) -> Option<FlightEntry> {
    let number = |at: usize| slot[at..].first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let mut rest = &slot[NAMES_AT..];
    let mut name = |index: usize| {
        let (name, others) = rest.split_at_checked(usize::from(slot[2 + index]))?;
        rest = others;
        str::from_utf8(name).ok().map(Arc::from)
    };
    Some(FlightEntry {
        call: number(8)?,
        row: number(16)?,
        key: Key(*slot[24..].first_chunk()?),
        worst_cost: if slot[1] == 0 { None } else { Some(Money::from_pico(number(40)?)) },
        at: number(48)?,
        task: name(0)?,
        provider: name(1)?,
        model: name(2)?,
    })
}

/// The first bytes of a hash over all but themselves.
fn checksum(slot: &[u8; SLOT]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&slot[..56]).update(&slot[64..]);
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The names, cut to a third of the room each where they do not fit as they are.
fn fit(names: [&str; 3]) -> [&str; 3] {
    if names.iter().map(|name| name.len()).sum::<usize>() <= NAMES {
        return names;
    }
    names.map(|name| &name[..name.floor_char_boundary(NAMES / 3)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FlightEntry {
        FlightEntry {
            call: 77,
            key: Key([9; 16]),
            row: 1234,
            at: 1_700_000_000_000,
            worst_cost: Some(Money::from_pico(42)),
            task: "tag".into(),
            provider: "gateway".into(),
            model: "qwen-plus".into(),
        }
    }

    #[test]
    fn an_entry_reads_back() {
        let entry = sample();
        assert_eq!(decode(&encode(&entry)), Slot::Taken(entry));
        let unpriced = FlightEntry { worst_cost: None, ..sample() };
        assert_eq!(decode(&encode(&unpriced)), Slot::Taken(unpriced));
        assert_eq!(decode(&[0; SLOT]), Slot::Free);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long: Arc<str> = "日本語".repeat(40).into();
        let entry = FlightEntry { task: Arc::clone(&long), provider: Arc::clone(&long), model: long, ..sample() };
        let Slot::Taken(read) = decode(&encode(&entry)) else { panic!("not taken") };
        assert_eq!(read.model.chars().count(), 21);
        assert!(entry.model.starts_with(&*read.model));
    }

    #[test]
    fn any_changed_byte_of_a_taken_slot_is_seen() {
        let whole = encode(&sample());
        for at in 1..SLOT {
            let mut slot = whole;
            slot[at] ^= 0x10;
            assert_eq!(decode(&slot), Slot::Damaged, "byte {at}");
        }
    }
}
