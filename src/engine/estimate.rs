//! Estimates from texts alone: tokens, costs, and how long calls take together.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::plan::{Choice, Plan};
use super::prepare::Request;
use crate::job::{Job, Model};
use crate::limit::Limits;
use crate::types::{Endpoint, Money, Payload, Price, Usage, tokens};

/// A call takes so many seconds where nothing is known of its model.
const CALL_SECONDS: f64 = 2.0;

/// Tokens of an image (or a sound, or a document), where nothing is known of it: a picture of 1024 x 1024 at OpenAI's
/// gpt-4o (85 + 4 tiles of 170).
const ATTACHMENT_TOKENS: u64 = 765;
/// Tokens of an image at most: gpt-4o-mini's for eight tiles are 2,833 + 8 x 5,667, more than any other model's.
const IMAGE_TOKENS_AT_MOST: u64 = 50_000;

/// Text at four bytes a token: what English prose comes to.
pub(super) fn input_tokens(payload: &Payload) -> u64 {
    let attached = payload.attached();
    payload.text_bytes().div_ceil(4) + (attached.images + attached.others) * ATTACHMENT_TOKENS
}

/// The most tokens that a request can have: no tokenizer makes more of them than bytes, and no model of an image.
pub(super) fn input_tokens_at_most(payload: &Payload) -> u64 {
    let attached = payload.attached();
    payload.text_bytes() + attached.other_bytes + attached.images * IMAGE_TOKENS_AT_MOST
}

/// What a model takes in.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// In tokens, where that is known.
    pub context: Option<u64>,
    /// The output that a request asks for counts too, however short the answer would be.
    output_counts: bool,
}

impl Room {
    pub fn of(job: &Job, model: &Model) -> Self {
        let profile = job.providers[model.provider].settings.profile;
        Self { context: model.context, output_counts: profile.output_counts_in_context() }
    }

    /// Whether a request surely has no room: estimates err, and a row that was passed over is never asked. `params`: the
    /// task's on this model, which is asked at `endpoint`.
    pub fn is_too_small_for(&self, request: &Request, endpoint: Endpoint, params: &Map<String, Value>) -> bool {
        let Some(context) = self.context else { return false };
        let room = context.saturating_sub(self.kept_for_output(request, endpoint, params));
        // Counting costs a look at every byte, and there is no word without something behind it.
        let payload = &request.payload;
        payload.text_bytes().div_ceil(2) > room && tokens::at_least(payload.json().get()) > room
    }

    /// The context for an error, with what of it is not the request's.
    pub fn in_words(&self, request: &Request, endpoint: Endpoint, params: &Map<String, Value>) -> String {
        let context = self.context.unwrap_or(0);
        match self.kept_for_output(request, endpoint, params) {
            0 => format!("{context} tokens"),
            output => format!("{context} tokens, {output} of them for the output"),
        }
    }

    fn kept_for_output(&self, request: &Request, endpoint: Endpoint, params: &Map<String, Value>) -> u64 {
        let param = |name: &str| request.params.get(name).or_else(|| params.get(name));
        let cap =
            self.output_counts.then(|| output_cap(request.endpoint_at(endpoint), request.as_written, &param, None));
        cap.flatten().unwrap_or(0)
    }
}

/// The bytes of params that a model reads, such as tools and schemas.
pub(super) fn params_bytes(params: &Map<String, Value>) -> u64 {
    let read = params.values().filter(|value| value.is_object() || value.is_array());
    read.map(|value| value.to_string().len() as u64).sum()
}

/// The names that a cap on the output has anywhere: one of them is sent, by the name that the server knows.
const CAPS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];

/// The output tokens at most, of all answers that are asked for: as the params say, else as the model has it. Params that are
/// sent `as_written` count by the names that the endpoint knows; of several caps the server may hold itself to any.
pub(super) fn output_cap<'a>(
    endpoint: Endpoint,
    as_written: bool,
    param: &dyn Fn(&str) -> Option<&'a Value>,
    max_output: Option<u64>,
) -> Option<u64> {
    if !endpoint.writes() {
        return Some(0);
    }
    let known = |name: &&str| match endpoint {
        Endpoint::Chat => *name != "max_output_tokens",
        Endpoint::Completions | Endpoint::Embeddings => *name == "max_tokens",
        Endpoint::Responses => *name == "max_output_tokens",
    };
    let names = CAPS.into_iter().filter(|name| !as_written || known(name));
    let named = names.filter_map(param).filter_map(Value::as_u64).max();
    let answers = ["n", "best_of"].into_iter().filter_map(param).filter_map(Value::as_u64).max().unwrap_or(1).max(1);
    named.or(max_output).map(|cap| cap.saturating_mul(answers))
}

/// An estimate; `None` where nothing is known to estimate from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range<T> {
    /// At least.
    pub low: Option<T>,
    /// Most likely.
    pub expected: Option<T>,
    /// At most.
    pub high: Option<T>,
}

impl Range<u64> {
    pub(super) const NOTHING: Self = Self { low: Some(0), expected: Some(0), high: Some(0) };

    /// What is unknown once stays unknown.
    pub(super) fn add(&mut self, other: &Self) {
        let add = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        self.low = add(self.low, other.low);
        self.expected = add(self.expected, other.expected);
        self.high = add(self.high, other.high);
    }

    /// What so many calls cost that have this input and this output together, each about as much as the others; a model that
    /// is free costs nothing whatever it says.
    pub(super) fn cost(&self, price: Option<&Price>, calls: u64, input: &InputRange) -> Range<Money> {
        let cost = |input_tokens: u64, output_tokens: Option<u64>| {
            let price = price?;
            if price.is_free() {
                return Some(Money::ZERO);
            }
            let of = |(calls, usage): (u64, Usage)| Some(price.cost(&usage)?.times(calls));
            even(calls, input_tokens, output_tokens?).into_iter().filter(|(calls, _)| *calls > 0).map(of).sum()
        };
        Range {
            low: cost(input.low, self.low),
            expected: cost(input.expected, self.expected),
            high: cost(input.high, self.high),
        }
    }
}

/// Calls of two sizes at most that have so many tokens together: prices go by the size of each call.
fn even(calls: u64, input_tokens: u64, output_tokens: u64) -> [(u64, Usage); 3] {
    let calls = calls.max(1);
    let (more_input, more_output) = (input_tokens % calls, output_tokens % calls);
    let of = |more: [bool; 2]| Usage {
        input_tokens: input_tokens / calls + u64::from(more[0]),
        output_tokens: output_tokens / calls + u64::from(more[1]),
        ..Usage::default()
    };
    let (both, either) = (more_input.min(more_output), more_input.max(more_output));
    [
        (both, of([true, true])),
        (either - both, of([more_input > more_output, more_output > more_input])),
        (calls - either, of([false, false])),
    ]
}

/// Input tokens, which are always known to some degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputRange {
    pub low: u64,
    pub expected: u64,
    pub high: u64,
}

impl InputRange {
    /// So many, and no doubt about it.
    pub fn of(tokens: u64) -> Self {
        Self { low: tokens, expected: tokens, high: tokens }
    }
}

/// What is known of a task's answers on a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Experience {
    pub least_output: Option<u64>,
    pub mean_output: Option<u64>,
    pub most_output: Option<u64>,
    pub mean_seconds: Option<f64>,
}

/// The output tokens of one call. Without a cap what was seen is all that is known of the most.
pub(super) fn output_tokens(cap: Option<u64>, known: &Experience) -> Range<u64> {
    let below_cap = |tokens: u64| cap.map_or(tokens, |cap| tokens.min(cap));
    let expected = known.mean_output.map(below_cap);
    Range {
        low: Some(below_cap(known.least_output.unwrap_or(1))),
        expected: expected.or(cap.map(|cap| cap.div_ceil(2))),
        high: cap.or(known.most_output),
    }
}

/// A request on the model that it would be sent to first.
pub(super) struct FirstCall<'a> {
    pub choice: &'a Choice,
    pub output_cap: Option<u64>,
}

impl<'a> FirstCall<'a> {
    /// `None`: it is longer than the context of every model of its route.
    pub fn of(plan: &'a Plan, request: &Request) -> Option<Self> {
        let mut choices = plan.tasks[request.task].choices(request.model);
        let choice = choices.find(|choice| {
            let model = plan.model(choice.upstream);
            !Room::of(&plan.job, model).is_too_small_for(request, model.endpoint, &choice.params)
        })?;
        Some(Self::on(plan, choice, request))
    }

    pub fn on(plan: &Plan, choice: &'a Choice, request: &Request) -> Self {
        let model = plan.model(choice.upstream);
        let param = |name: &str| request.params.get(name).or_else(|| choice.params.get(name));
        let output_cap = output_cap(request.endpoint_at(model.endpoint), request.as_written, &param, model.max_output);
        Self { choice, output_cap }
    }
}

/// What is to be sent to one model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Of all calls one after the other.
    pub seconds: f64,
}

impl Load {
    /// So many calls, each of which takes as long as is known.
    pub fn new(calls: u64, input_tokens: u64, output_tokens: u64, known: &Experience) -> Self {
        let seconds = known.mean_seconds.unwrap_or(CALL_SECONDS) * float(calls);
        Self { calls, input_tokens, output_tokens, seconds }
    }

    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.seconds += other.seconds;
    }
}

/// How long all calls take under the limits, in seconds, and which limit decides it. Retries are not foreseen.
pub(super) fn duration(plan: &Plan, loads: &BTreeMap<usize, Load>) -> (u64, Option<String>) {
    let (mut all, mut providers, mut models) = (Load::default(), BTreeMap::new(), BTreeMap::new());
    for (upstream, load) in loads {
        let model = plan.model(*upstream);
        all.add(*load);
        providers.entry(model.provider).or_insert_with(Load::default).add(*load);
        // Two aliases of one model share its limits.
        let of_model = models.entry((model.provider, &model.wire));
        let (limits, sum) = of_model.or_insert((model.limits, Load::default()));
        *limits = limits.tightest(model.limits);
        sum.add(*load);
    }
    let concurrency = float(plan.job.concurrency as u64);
    let mut longest = (0.0, None);
    offer(&mut longest, all.seconds / concurrency, || format!("concurrency {concurrency} of the run"));
    for (index, load) in &providers {
        let provider = &plan.job.providers[*index];
        under(&mut longest, &provider.limits, load, &provider.settings.name);
    }
    for ((provider, wire), (limits, load)) in &models {
        under(&mut longest, limits, load, &format!("{}/{wire}", plan.job.providers[*provider].settings.name));
    }
    // Even the last call takes its time.
    let one_call = if all.calls > 0 { all.seconds / float(all.calls) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative; saturates")]
    let seconds = f64::max(longest.0, one_call).ceil() as u64;
    (seconds, longest.1)
}

fn under(longest: &mut (f64, Option<String>), limits: &Limits, load: &Load, name: &str) {
    const MINUTE: f64 = 60.0;
    const DAY: f64 = 24.0 * 60.0 * MINUTE;
    let all_tokens = load.input_tokens + load.output_tokens;
    let rates = [
        ("rpm", limits.rpm, load.calls, MINUTE),
        ("tpm", limits.tpm, all_tokens, MINUTE),
        ("input_tpm", limits.input_tpm, load.input_tokens, MINUTE),
        ("output_tpm", limits.output_tpm, load.output_tokens, MINUTE),
        // What a day lets through goes at once; the rest waits for the next.
        ("rpd", limits.rpd, load.calls.saturating_sub(limits.rpd.unwrap_or(0)), DAY),
    ];
    for (key, limit, amount, window) in rates {
        if let Some(limit) = limit {
            offer(longest, window * float(amount) / float(limit), || format!("{key} {limit} of {name}"));
        }
    }
    if let Some(concurrency) = limits.concurrency {
        offer(longest, load.seconds / float(concurrency), || format!("concurrency {concurrency} of {name}"));
    }
}

fn offer(longest: &mut (f64, Option<String>), seconds: f64, name: impl FnOnce() -> String) {
    if seconds > longest.0 {
        *longest = (seconds, Some(name()));
    }
}

/// Rows and tokens are far below 2^52.
#[expect(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Attached;

    #[test]
    fn output_is_between_what_was_seen_and_the_cap() {
        let nothing = Experience::default();
        let range = |low, expected, high| Range { low: Some(low), expected, high };
        assert_eq!(output_tokens(None, &nothing), range(1, None, None));
        assert_eq!(output_tokens(Some(65), &nothing), range(1, Some(33), Some(65)));
        let known =
            Experience { least_output: Some(10), mean_output: Some(50), most_output: Some(70), mean_seconds: None };
        assert_eq!(output_tokens(Some(40), &known), range(10, Some(40), Some(40)));
        assert_eq!(output_tokens(None, &known), range(10, Some(50), Some(70)));
    }

    #[test]
    fn even_calls_have_all_tokens_and_no_two_of_them_differ_by_more_than_one() {
        for (calls, input, output) in [(1, 7, 3), (3, 10, 11), (4, 0, 2), (7, 7_000, 13), (0, 5, 5)] {
            let parts = even(calls, input, output);
            let sum = |of: fn(&Usage) -> u64| parts.iter().map(|(calls, usage)| calls * of(usage)).sum::<u64>();
            assert_eq!((sum(|usage| usage.input_tokens), sum(|usage| usage.output_tokens)), (input, output));
            assert_eq!(parts.iter().map(|(calls, _)| calls).sum::<u64>(), calls.max(1));
        }
    }

    #[test]
    fn several_answers_have_several_caps_and_tools_are_read_too() {
        let params = serde_json::json!({"max_tokens": 10, "n": 3, "temperature": 0, "tools": [{"a": 1}]});
        let params = params.as_object().unwrap();
        let cap = |endpoint| output_cap(endpoint, false, &|name| params.get(name), Some(7));
        assert_eq!((cap(Endpoint::Chat), cap(Endpoint::Embeddings)), (Some(30), Some(0)));
        assert_eq!(output_cap(Endpoint::Responses, false, &|_| None, Some(7)), Some(7));
        assert_eq!(params_bytes(params), 9);
    }

    #[test]
    fn of_several_caps_the_largest_counts_among_those_that_the_server_knows() {
        let cap =
            |endpoint, as_written, params: Value| output_cap(endpoint, as_written, &|name| params.get(name), Some(7));
        let both = serde_json::json!({"max_completion_tokens": 10, "max_tokens": 1000});
        assert_eq!(
            (cap(Endpoint::Chat, false, both.clone()), cap(Endpoint::Chat, true, both)),
            (Some(1000), Some(1000))
        );
        let none = serde_json::json!({"max_completion_tokens": null, "max_tokens": 20});
        assert_eq!(cap(Endpoint::Chat, true, none), Some(20));
        let foreign = serde_json::json!({"max_output_tokens": 3});
        assert_eq!(
            (cap(Endpoint::Chat, true, foreign.clone()), cap(Endpoint::Chat, false, foreign)),
            (Some(7), Some(3))
        );
        let newer = serde_json::json!({"max_completion_tokens": 3});
        assert_eq!(
            (cap(Endpoint::Completions, true, newer.clone()), cap(Endpoint::Responses, true, newer)),
            (Some(7), Some(7))
        );
    }

    #[test]
    fn a_picture_counts_by_itself_and_not_by_its_bytes() {
        let json = serde_json::value::to_raw_value(&"x".repeat(998)).unwrap();
        let text = Payload::messages(json);
        assert_eq!((input_tokens(&text), input_tokens_at_most(&text)), (250, 1000));
        let attached = Attached { images: 2, image_bytes: 500, others: 1, other_bytes: 100 };
        let payload = text.with(attached, Vec::new());
        assert_eq!(input_tokens(&payload), 100 + 3 * 765);
        assert_eq!(input_tokens_at_most(&payload), 400 + 100 + 100_000);
    }

    #[test]
    fn an_unknown_price_is_not_nothing_but_a_free_model_is() {
        let output = output_tokens(None, &Experience::default());
        let input = |tokens| InputRange { low: tokens - 1, expected: tokens, high: tokens + 1 };
        let unknown = Range { low: None, expected: None, high: None };
        assert_eq!(output.cost(None, 1, &input(100)), unknown);
        assert_eq!(output.cost(Some(&Price::FREE), 1, &input(100)).high, Some(Money::ZERO));
        let dollar = Money::from_usd(1.0).unwrap();
        let price = Price::flat(dollar, dollar, dollar);
        assert_eq!(output.cost(Some(&price), 1, &input(100)).low.unwrap().to_string(), "0.0001");
        assert_eq!(output.cost(Some(&price), 1, &input(100)).high, None);
    }
}
