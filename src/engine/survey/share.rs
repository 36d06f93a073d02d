//! What one task sends to one model: its rows counted and measured one after the other.

use super::measure::{Measure, Ratio};
use super::{Cacheable, TokenSource};
use crate::engine::estimate::{InputRange, Range, params_bytes};
use crate::engine::plan::Choice;
use crate::engine::prepare::Request;
use crate::token::{TokenCount, Tokenizer};
use crate::types::Payload;

/// Sums over the rows that one task sends to one model.
pub(super) struct Share {
    pub rows: u64,
    output_tokens: Range<u64>,
    /// Bytes of the requests.
    bytes: u64,
    measure: Measure,
    prefix: Prefix,
    /// 64 bits of each request without its row's id, and its tokens by estimate.
    requests: Vec<(u64, u32)>,
}

/// Calls, and what they have together.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    pub count: u64,
    pub input: InputRange,
    pub output: Range<u64>,
}

/// Requests that are like one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Duplicates {
    pub calls: u64,
    pub input_tokens: u64,
}

impl Calls {
    /// Where one answer does for all that are alike.
    pub fn without(self, duplicates: Duplicates) -> Self {
        let count = self.count - duplicates.calls;
        let InputRange { low, expected, high } = self.input;
        let left = expected.saturating_sub(duplicates.input_tokens);
        let input = |tokens| part(tokens, left, expected);
        let output = |tokens: Option<u64>| tokens.map(|tokens| part(tokens, count, self.count));
        let Range { low: least, expected: mean, high: most } = self.output;
        Self {
            count,
            input: InputRange { low: input(low), expected: left, high: input(high) },
            output: Range { low: output(least), expected: output(mean), high: output(most) },
        }
    }
}

/// A row's request, as far as it counts here.
pub(super) struct Asks<'a> {
    pub payload: &'a Payload,
    /// 64 bits of it, without its row's id.
    pub hash: u64,
    /// Of what stands beside the messages, such as tools.
    pub params_tokens: u64,
    pub output: Range<u64>,
}

impl Share {
    /// Of a model whose tokenizer is this; `None`: not known.
    pub fn new(tokenizer: Option<Tokenizer>) -> Self {
        Self {
            rows: 0,
            output_tokens: Range::NOTHING,
            bytes: 0,
            measure: Measure::new(tokenizer),
            prefix: Prefix::default(),
            requests: Vec::new(),
        }
    }

    pub fn add(&mut self, row: &Asks<'_>) {
        let messages = row.payload.json().get();
        self.rows += 1;
        self.bytes += messages.len() as u64;
        self.output_tokens.add(&row.output);
        self.prefix.add(row.payload);
        let tokens = self.measure.add(messages, row.hash, row.params_tokens);
        self.requests.push((row.hash, u32::try_from(tokens).unwrap_or(u32::MAX)));
    }

    /// One for each row; `observed`: what the model's provider counted for each of our tokens.
    pub fn calls(&self, observed: Option<Ratio>) -> (Calls, TokenSource) {
        let (input, source) = self.measure.input(observed);
        (Calls { count: self.rows, input, output: self.output_tokens }, source)
    }

    /// What all requests begin with, where they have so many input tokens together.
    pub fn cacheable(&self, input_tokens: u64) -> Cacheable {
        let bytes = if self.rows > 1 { self.prefix.length as u64 } else { 0 };
        let tokens = part(input_tokens, bytes, self.bytes);
        let percent = part(100, bytes * self.rows, self.bytes);
        Cacheable { prefix_tokens: tokens, percent }
    }

    /// Requests that are like one before, where all have so many input tokens together.
    pub fn duplicates(&mut self, input_tokens: u64) -> Duplicates {
        self.requests.sort_unstable();
        let alike = self.requests.chunk_by(|one, other| one.0 == other.0);
        let (calls, tokens) = alike.fold((0, 0), |(calls, tokens), alike| {
            let more = alike.len() as u64 - 1;
            (calls + more, tokens + more * u64::from(alike[0].1))
        });
        Duplicates { calls, input_tokens: part(input_tokens, tokens, self.measure.estimated()) }
    }
}

/// `all` times `some` / `whole`.
fn part(all: u64, some: u64, whole: u64) -> u64 {
    let part = u128::from(all) * u128::from(some) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// What all requests so far begin with.
#[derive(Default)]
struct Prefix {
    first: Option<Payload>,
    length: usize,
}

impl Prefix {
    fn add(&mut self, payload: &Payload) {
        let json = payload.json().get().as_bytes();
        let Some(first) = &self.first else {
            (self.first, self.length) = (Some(payload.clone()), json.len());
            return;
        };
        let common = first.json().get().as_bytes()[..self.length].iter().zip(json);
        self.length = common.take_while(|(one, other)| one == other).count();
    }
}

/// What stands beside a request's messages, such as tools and a schema, in about so many tokens.
pub(super) fn params_tokens(choice: &Choice, request: &Request) -> u64 {
    (params_bytes(&choice.params) + params_bytes(&request.params) + choice.asking.way(0).bytes()).div_ceil(4)
}

/// A count with what stands beside the messages.
pub(super) fn with_params(count: TokenCount, params_tokens: u64) -> TokenCount {
    TokenCount { around: count.around + params_tokens, ..count }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn add(share: &mut Share, messages: &str, hash: u64) {
        let payload = Payload::messages(RawValue::from_string(messages.to_owned()).unwrap());
        share.add(&Asks { payload: &payload, hash, params_tokens: 0, output: Range::NOTHING });
    }

    #[test]
    fn what_all_requests_begin_with_is_a_part_of_each() {
        let mut share = Share::new(None);
        add(&mut share, r#"["0123456789abcdefgh-1"]"#, 1);
        assert_eq!(share.cacheable(100), Cacheable { prefix_tokens: 0, percent: 0 }, "one row shares with nobody");
        add(&mut share, r#"["0123456789abcdefgh-2"]"#, 2);
        add(&mut share, r#"["0123456789abcdefgh-3"]"#, 3);
        // 21 of 24 bytes; 720 tokens are 240 a row.
        assert_eq!(share.cacheable(720), Cacheable { prefix_tokens: 210, percent: 87 });
    }

    #[test]
    fn requests_like_one_before_are_told_with_their_tokens() {
        let mut share = Share::new(None);
        for hash in [1, 2, 1, 1, 3] {
            add(&mut share, r#"["some text of a row"]"#, hash);
        }
        let (all, _) = share.calls(None);
        let told = share.duplicates(all.input.expected);
        assert_eq!((told.calls, told.input_tokens), (2, all.input.expected * 2 / 5));
        let once = all.without(told);
        assert_eq!((once.count, once.input.expected), (3, all.input.expected * 3 / 5));
    }
}
