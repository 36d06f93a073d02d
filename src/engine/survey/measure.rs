//! Input tokens of many requests: estimated for all, counted exactly for those that there is time for, and put right by what
//! the provider counted before.

use std::collections::BinaryHeap;

use super::TokenSource;
use super::share::with_params;
use crate::engine::estimate::InputRange;
use crate::token::{Tokenizer, estimated, exactly};

/// So many requests are counted exactly at most: those with the smallest hashes, which are the same ones each time.
const COUNTED: usize = 1_000;
/// And so many bytes of them: a second and a half of work, where requests are long.
const COUNTED_BYTES: usize = 48 << 20;

/// So many answers tell how a provider counts.
const TELLING: u64 = 10;

/// By how much, in percent, what a provider counts may differ from what is expected, all rows together.
#[derive(Clone, Copy)]
struct Margin {
    low: u64,
    high: u64,
}

/// By its own counts so far.
const OBSERVED: Margin = Margin { low: 85, high: 115 };
/// By its tokenizer: not every server that has a model of this name counts as its maker does.
const EXACT: Margin = Margin { low: 70, high: 140 };
/// By script: tokenizers differ, and so do texts.
const ESTIMATED: Margin = Margin { low: 55, high: 170 };

/// What a provider counted, for what was estimated of the same requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ratio {
    pub answers: u64,
    pub counted: u64,
    pub estimated: u64,
}

impl Ratio {
    pub fn add(&mut self, counted: u64, estimated: u64) {
        self.answers += 1;
        self.counted += counted;
        self.estimated += estimated;
    }

    pub fn merge(&mut self, other: Self) {
        self.answers += other.answers;
        self.counted += other.counted;
        self.estimated += other.estimated;
    }

    /// Whether there are enough answers to go by.
    pub fn tells(&self) -> bool {
        self.answers >= TELLING && self.counted > 0 && self.estimated > 0
    }
}

/// A request that was counted exactly.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    hash: u64,
    estimated: u64,
    exact: u64,
}

pub(super) struct Measure {
    tokenizer: Option<Tokenizer>,
    rows: u64,
    /// Tokens of all texts, and of what stands around them.
    texts: u64,
    around: u64,
    /// The requests with the smallest hashes.
    sample: BinaryHeap<Counted>,
    counted_bytes: usize,
}

impl Measure {
    pub fn new(tokenizer: Option<Tokenizer>) -> Self {
        Self { tokenizer, rows: 0, texts: 0, around: 0, sample: BinaryHeap::new(), counted_bytes: 0 }
    }

    /// Takes a request in; its tokens by estimate.
    pub fn add(&mut self, messages: &str, hash: u64, params_tokens: u64) -> u64 {
        let count = with_params(estimated(messages), params_tokens);
        self.rows += 1;
        self.texts += count.texts;
        self.around += count.around;
        if let Some(tokenizer) = self.tokenizer {
            self.count(messages, tokenizer, hash, params_tokens, count.total());
        }
        count.total()
    }

    /// The tokens of all requests by estimate alone.
    pub fn estimated(&self) -> u64 {
        self.texts + self.around
    }

    pub fn input(&self, observed: Option<Ratio>) -> (InputRange, TokenSource) {
        if let Some(ratio) = observed.filter(Ratio::tells) {
            let expected = scaled(self.estimated(), ratio.counted, ratio.estimated);
            return (OBSERVED.around(expected, 0), TokenSource::Observed { answers: ratio.answers });
        }
        let rows = self.sample.len() as u64;
        if rows > 0 {
            let (exact, estimated) =
                self.sample.iter().fold((0, 0), |(exact, sum), one| (exact + one.exact, sum + one.estimated));
            let expected = scaled(self.estimated(), exact, estimated);
            let source = if rows == self.rows { TokenSource::Exact } else { TokenSource::Sampled { rows } };
            return (EXACT.around(expected, self.around), source);
        }
        (ESTIMATED.around(self.estimated(), self.around), TokenSource::Estimated)
    }

    fn count(&mut self, messages: &str, tokenizer: Tokenizer, hash: u64, params_tokens: u64, estimated: u64) {
        let is_full = self.sample.len() >= COUNTED;
        let is_out = is_full && self.sample.peek().is_some_and(|last| last.hash <= hash);
        if is_out || self.counted_bytes > COUNTED_BYTES {
            return;
        }
        self.counted_bytes += messages.len();
        let exact = with_params(exactly(messages, tokenizer), params_tokens).total();
        self.sample.push(Counted { hash, estimated, exact });
        if self.sample.len() > COUNTED {
            self.sample.pop();
        }
    }
}

impl Margin {
    /// `around`: what stands around texts, which a provider may count otherwise altogether.
    fn around(self, expected: u64, around: u64) -> InputRange {
        let texts = expected.saturating_sub(around);
        InputRange {
            low: (texts + around / 2) * self.low / 100,
            expected,
            high: ((texts + around) * self.high).div_ceil(100) + around / 2,
        }
    }
}

fn scaled(tokens: u64, to: u64, from: u64) -> u64 {
    let scaled = (u128::from(tokens) * u128::from(to)).div_ceil(u128::from(from.max(1)));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> String {
        serde_json::json!([{ "role": "user", "content": text }]).to_string()
    }

    fn measured(tokenizer: Option<Tokenizer>, rows: u64) -> Measure {
        let mut measure = Measure::new(tokenizer);
        for row in 0..rows {
            // Any order of hashes but that of the rows.
            measure.add(
                &request(&format!("Summarize what happened on day {row}.")),
                row.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                0,
            );
        }
        measure
    }

    #[test]
    fn what_a_provider_counted_puts_an_estimate_right() {
        let measure = measured(None, 100);
        let (range, source) = measure.input(None);
        assert_eq!((range.expected, source), (measure.estimated(), TokenSource::Estimated));
        let mut ratio = Ratio::default();
        for _ in 0..TELLING - 1 {
            ratio.add(30, 20);
        }
        assert_eq!(measure.input(Some(ratio)).1, TokenSource::Estimated, "too few answers to go by");
        ratio.add(30, 20);
        let (range, source) = measure.input(Some(ratio));
        assert_eq!(source, TokenSource::Observed { answers: TELLING });
        assert_eq!(range.expected, (measure.estimated() * 3).div_ceil(2));
        assert!(range.low < range.expected && range.expected < range.high);
    }

    #[cfg(feature = "tokenizer")]
    #[test]
    fn a_known_tokenizer_counts_all_rows_where_they_are_few_and_a_sample_of_many() {
        // 3 around the chat, 4 around the message, 10 of the text: Summ-ar-ize, four words, a blank, the number, a stop.
        let few = measured(Some(Tokenizer::O200k), 10);
        assert_eq!(few.input(None), (EXACT.around(10 * (3 + 4 + 10), 10 * 7), TokenSource::Exact));
        let many = measured(Some(Tokenizer::O200k), 1_200);
        let (range, source) = many.input(None);
        assert_eq!(source, TokenSource::Sampled { rows: 1_000 });
        assert!((1_200 * 17..=1_200 * 18).contains(&range.expected), "{range:?}");
        // The same rows in another order are counted alike.
        let mut again = Measure::new(Some(Tokenizer::O200k));
        for row in (0..1_200_u64).rev() {
            let text = request(&format!("Summarize what happened on day {row}."));
            again.add(&text, row.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
        }
        assert_eq!(again.input(None), (range, source));
    }
}
