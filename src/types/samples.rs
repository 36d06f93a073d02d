//! Some failures of a run in their own words, for a first look: the first of each kind, however many there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FailureKind, LogLine};

/// So many of a kind.
const MOST: usize = 3;
/// No more of a message is kept, in bytes.
const WORDS: usize = 240;

/// A failure in its own words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The row's record number.
    pub row: u64,
    /// The row's task; empty where it has none.
    pub task: String,
    /// The provider asked; empty where none was.
    pub provider: String,
    /// The model's name on the wire; empty where none was asked.
    pub model: String,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the provider or the check said, or the beginning of it.
    pub message: String,
    /// Whether the message was longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// The first failures of each kind, each message once. Calls that were tried again are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(BTreeMap<FailureKind, Vec<Sample>>);

impl Samples {
    /// Looks at one line of the log.
    pub fn count(&mut self, line: &LogLine) {
        let (failure, at, row) = match line {
            LogLine::Attempt(line) => (&line.failure, line.at, line.row),
            LogLine::Outcome(line) => (&line.failure, line.at, line.row),
            LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => return,
        };
        let Some(failure) = failure else { return };
        let message = cut(&failure.message);
        // A storm of one failure must not cost a copy of it for each call.
        if !self.wants(failure.kind, at, row, message) {
            return;
        }
        let (task, provider, model) = match line {
            LogLine::Attempt(line) => (&line.task, &line.provider, &line.model),
            LogLine::Outcome(line) => (&line.task, &line.provider, &line.model),
            LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => return,
        };
        let sample = Sample {
            at,
            row,
            task: task.clone(),
            provider: provider.clone(),
            model: model.clone(),
            status: failure.status,
            message: message.to_owned(),
            cut: message.len() < failure.message.len(),
        };
        self.add(failure.kind, sample);
    }

    /// Takes in another's samples.
    pub fn merge(&mut self, other: &Self) {
        for (kind, samples) in &other.0 {
            for sample in samples {
                self.add(*kind, sample.clone());
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a kind, the first one first.
    #[must_use]
    pub fn of(&self, kind: FailureKind) -> &[Sample] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn wants(&self, kind: FailureKind, at: u64, row: u64, message: &str) -> bool {
        let samples = self.of(kind);
        let comes_before = |sample: &Sample| (at, row) <= (sample.at, sample.row);
        match samples.iter().find(|sample| sample.message == message) {
            Some(same) => comes_before(same),
            None => samples.len() < MOST || samples.last().is_some_and(comes_before),
        }
    }

    fn add(&mut self, kind: FailureKind, sample: Sample) {
        let samples = self.0.entry(kind).or_default();
        match samples.iter().position(|known| known.message == sample.message) {
            Some(at) if samples[at] <= sample => return,
            Some(at) => samples[at] = sample,
            None => samples.push(sample),
        }
        samples.sort_unstable();
        samples.truncate(MOST);
    }
}

/// At the end of a character.
fn cut(message: &str) -> &str {
    let mut end = message.len().min(WORDS);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{AttemptLine, Failure, Key};

    fn line(at: u64, row: u64, message: &str) -> LogLine {
        let failure = Some(Failure::new(FailureKind::ServerError, message));
        LogLine::Attempt(Box::new(AttemptLine {
            call: 1,
            key: Key([0; 16]),
            row,
            run: 1,
            at,
            task: "tag".to_owned(),
            provider: "p".to_owned(),
            model: "m".to_owned(),
            failure,
            latency_ms: 1,
            usage: None,
            cost: None,
            possibly_billed: false,
            worst_cost: None,
            retry: false,
            reask: false,
            came_from: None,
        }))
    }

    fn of(lines: &[(u64, u64, u8)]) -> Samples {
        let mut samples = Samples::default();
        for (at, row, message) in lines {
            samples.count(&line(*at, *row, &message.to_string()));
        }
        samples
    }

    #[test]
    fn the_first_messages_are_kept_once_each_and_no_longer_than_is_read() {
        let samples = of(&[(5, 1, 1), (6, 2, 1), (7, 3, 2), (8, 4, 3), (9, 5, 4)]);
        let kept: Vec<(u64, &str)> =
            samples.of(FailureKind::ServerError).iter().map(|sample| (sample.row, sample.message.as_str())).collect();
        assert_eq!(kept, [(1, "1"), (3, "2"), (4, "3")]);
        let mut long = Samples::default();
        long.count(&line(1, 1, &"é".repeat(400)));
        assert_eq!(long.of(FailureKind::ServerError)[0].message, "é".repeat(120));
        assert!(long.of(FailureKind::Auth).is_empty());
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole_in_any_order(
            lines in prop::collection::vec((0_u64..30, 0_u64..5, 0_u8..6), 0..60),
            cut in 0_usize..60,
        ) {
            let (one, other) = lines.split_at(cut.min(lines.len()));
            let mut merged = of(other);
            merged.merge(&of(one));
            prop_assert_eq!(merged, of(&lines));
        }
    }
}
