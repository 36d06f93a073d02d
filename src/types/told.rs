//! What replies tell of tokens and of their bill, in the words of all providers.
//!
//! They differ in what counts as part of what: cached tokens are part of the input for most, beside it for Anthropic;
//! reasoning is part of the output for most, beside it for xAI and Gemini. The sum that they tell shows which it is, so
//! that a reply passed on by a gateway is read as well as one from its own provider.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Billing, Money, Service, Usage};

/// `usage` as received, of chat, responses, embeddings and messages.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    total_tokens: Option<Count>,
    prompt_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    /// As of responses and messages.
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
    /// As Kimi and Together have it.
    cached_tokens: Count,
    /// As `DeepSeek` has it.
    prompt_cache_hit_tokens: Count,
    prompt_cache_miss_tokens: Count,
    /// As Anthropic has it.
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Option<CacheCreation>,
    service_tier: Option<Word>,
    speed: Option<Word>,
    inference_geo: Option<Word>,
    /// As `OpenRouter` has it, in USD.
    cost: Option<Box<RawValue>>,
    cost_details: Option<CostDetails>,
    is_byok: Option<bool>,
    /// As xAI has it.
    cost_in_usd_ticks: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    /// As `LiteLLM` has it.
    cache_creation_tokens: Count,
    cache_creation_token_details: Option<CacheCreation>,
    audio_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct OutputDetails {
    reasoning_tokens: Count,
    /// As Anthropic has it.
    thinking_tokens: Count,
    audio_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CostDetails {
    upstream_inference_cost: Option<Box<RawValue>>,
}

/// A count of tokens: some servers write `12.0`, or null for none.
#[derive(Clone, Copy, Default)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Option::<f64>::deserialize(deserializer)?.unwrap_or_default();
        // Token counts are far below 2^52, and none is negative.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Self(number.round() as u64))
    }
}

/// A text; what is none says nothing.
#[derive(Default)]
pub(super) struct Word(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::<Value>::deserialize(deserializer)?;
        Ok(Self(value.and_then(|value| value.as_str().map(str::to_owned))))
    }
}

impl WireUsage {
    /// The tokens, by a model that calls itself so.
    pub(super) fn usage(&self, model: Option<&str>) -> Usage {
        let (input, cached, written) = self.input();
        let (output, reasoning) = self.output(input, model);
        Usage {
            input_tokens: input,
            cached_input_tokens: cached.min(input - written),
            output_tokens: output,
            reasoning_tokens: reasoning,
            cache_write_tokens: written,
            cache_write_1h_tokens: self.written_for_an_hour().min(written),
        }
    }

    /// All input, and what of it was read from the cache and written to it.
    fn input(&self) -> (u64, u64, u64) {
        let details = self.input_details();
        let told = |count: fn(&InputDetails) -> Count| details.map_or(0, |details| count(details).0);
        let read = self.cache_read_input_tokens.0;
        let created = self.cache_creation_input_tokens.0;
        let cached = told(|details| details.cached_tokens);
        let cached = cached.max(self.cached_tokens.0).max(self.prompt_cache_hit_tokens.0).max(read);
        let written = told(|details| details.cache_write_tokens).max(told(|details| details.cache_creation_tokens));
        let written = written.max(created);
        let parts = self.prompt_cache_hit_tokens.0 + self.prompt_cache_miss_tokens.0;
        let plain = self.prompt_tokens.or(self.input_tokens).map_or(parts, |count| count.0);
        let input = if self.cache_is_beside(plain) { plain + read + created } else { plain };
        (input, cached, written.min(input))
    }

    /// Whether Anthropic's counts of the cache are beside the input: under its own names they are; a gateway that has
    /// `OpenAI`'s names may have put them in, unless they do not fit into it, or the sum shows that it did not.
    fn cache_is_beside(&self, plain: u64) -> bool {
        let cache = self.cache_read_input_tokens.0 + self.cache_creation_input_tokens.0;
        let output = self.completion_tokens.or(self.output_tokens).unwrap_or_default().0;
        let sum = plain + cache + output;
        cache > 0
            && (self.prompt_tokens.is_none() || cache > plain || self.total_tokens.is_some_and(|all| all.0 == sum))
    }

    fn written_for_an_hour(&self) -> u64 {
        let beside = self.input_details().and_then(|details| details.cache_creation_token_details.as_ref());
        self.cache_creation.as_ref().or(beside).map_or(0, |creation| creation.ephemeral_1h_input_tokens.0)
    }

    /// All output, and what of it was reasoning.
    fn output(&self, input: u64, model: Option<&str>) -> (u64, u64) {
        let details = self.completion_tokens_details.as_ref().or(self.output_tokens_details.as_ref());
        let reasoning = details.map_or(0, |details| details.reasoning_tokens.0.max(details.thinking_tokens.0));
        let output = self.completion_tokens.or(self.output_tokens).unwrap_or_default().0;
        let beside = self.total_tokens.map_or(0, |all| all.0.saturating_sub(input + output));
        // Gemini tells thoughts in the sum alone.
        let thoughts = beside > 0 && (beside == reasoning || model.is_some_and(|model| model.contains("gemini")));
        if thoughts { (output + beside, reasoning.max(beside)) } else { (output, reasoning.min(output)) }
    }

    fn input_details(&self) -> Option<&InputDetails> {
        self.prompt_tokens_details.as_ref().or(self.input_tokens_details.as_ref())
    }

    fn cost(&self) -> Option<Money> {
        if let Some(ticks) = self.cost_in_usd_ticks {
            // 10^10 of them are a dollar.
            return Some(Money::from_pico(ticks.saturating_mul(100)));
        }
        let told = usd(self.cost.as_deref()?)?;
        // With a key of one's own there the model's provider bills beside.
        let beside = self.cost_details.as_ref().filter(|_| self.is_byok == Some(true));
        let beside = beside.and_then(|details| usd(details.upstream_inference_cost.as_deref()?));
        Some(told + beside.unwrap_or_default())
    }

    /// What it tells of the bill, of a reply with this model and service tier.
    pub(super) fn billing(&self, served: Option<String>, service_tier: Option<&str>) -> Billing {
        let word = |word: &Option<Word>| word.as_ref().and_then(|word| word.0.clone());
        let own_tier = word(&self.service_tier);
        let sound = self.input_details().map_or(0, |details| details.audio_tokens.0);
        let details = self.completion_tokens_details.as_ref().or(self.output_tokens_details.as_ref());
        let spoken = details.map_or(0, |details| details.audio_tokens.0);
        Billing {
            served,
            service: Service::named(service_tier.or(own_tier.as_deref())),
            region: word(&self.inference_geo),
            fast: word(&self.speed).as_deref() == Some("fast"),
            audio: sound + spoken > 0,
            cost: self.cost(),
        }
    }
}

/// An amount of USD as a reply has it: some write it as a float computed by floats, so that digits beyond the twelfth
/// mean nothing.
fn usd(number: &RawValue) -> Option<Money> {
    Money::from_decimal(number.get(), 0)
}

/// The tokens that a body tells although it is no answer, and what it tells of their bill.
#[must_use]
pub fn read_usage(body: &Value) -> Option<(Usage, Billing)> {
    let wire = WireUsage::deserialize(body.get("usage")?).ok()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let model = text("model");
    Some((wire.usage(model), wire.billing(model.map(str::to_owned), text("service_tier"))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(usage: &Value) -> Usage {
        read_usage(&json!({ "usage": usage })).unwrap().0
    }

    fn tokens(input: u64, cached: u64, output: u64, reasoning: u64) -> Usage {
        Usage {
            input_tokens: input,
            cached_input_tokens: cached,
            output_tokens: output,
            reasoning_tokens: reasoning,
            ..Usage::default()
        }
    }

    #[test]
    fn reasoning_inside_the_output_is_counted_once_and_reasoning_beside_it_too() {
        let openai = json!({ "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "completion_tokens_details": { "reasoning_tokens": 30 } });
        assert_eq!(read(&openai), tokens(100, 0, 50, 30));
        let xai = json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 150,
            "completion_tokens_details": { "reasoning_tokens": 30 } });
        assert_eq!(read(&xai), tokens(100, 0, 50, 30));
    }

    #[test]
    fn geminis_thoughts_are_output_where_only_the_sum_tells_them() {
        let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40 });
        let read = |model: &str| read_usage(&json!({ "model": model, "usage": usage })).unwrap().0;
        assert_eq!(read("gemini-2.5-flash"), tokens(10, 0, 30, 25));
        assert_eq!(read("other"), tokens(10, 0, 5, 0));
    }

    #[test]
    fn the_cache_is_part_of_the_input_or_beside_it_as_names_and_sums_tell() {
        let anthropic = json!({ "input_tokens": 10, "cache_read_input_tokens": 1000, "output_tokens": 7,
            "cache_creation_input_tokens": 200, "cache_creation":
            { "ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50 } });
        let all = Usage { cache_write_tokens: 200, cache_write_1h_tokens: 50, ..tokens(1210, 1000, 7, 0) };
        assert_eq!(read(&anthropic), all);
        // A proxy that translates has put them in, and keeps Anthropic's names beside.
        let translated = json!({ "prompt_tokens": 1210, "completion_tokens": 7, "total_tokens": 1217,
            "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200,
            "prompt_tokens_details": { "cached_tokens": 1000,
                "cache_creation_token_details": { "ephemeral_1h_input_tokens": 50 } } });
        assert_eq!(read(&translated), all);
        let renamed = json!({ "prompt_tokens": 10, "completion_tokens": 7, "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 200 });
        assert_eq!(read(&renamed), Usage { cache_write_1h_tokens: 0, ..all });
        let by_the_sum = json!({ "prompt_tokens": 2000, "completion_tokens": 7, "total_tokens": 2107,
            "cache_read_input_tokens": 100 });
        assert_eq!(read(&by_the_sum), tokens(2100, 100, 7, 0));
    }

    #[test]
    fn cached_tokens_are_found_under_all_their_names() {
        for usage in [
            json!({ "prompt_tokens": 9, "prompt_tokens_details": { "cached_tokens": 8 } }),
            json!({ "input_tokens": 9, "input_tokens_details": { "cached_tokens": 8 } }),
            json!({ "prompt_tokens": 9, "cached_tokens": 8 }),
            json!({ "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 1 }),
        ] {
            assert_eq!(read(&usage), tokens(9, 8, 0, 0), "{usage}");
        }
    }

    #[test]
    fn the_bill_is_read_as_far_as_the_reply_tells_it() {
        let body = json!({ "model": "m-2026-01-01", "service_tier": "flex", "usage":
            { "prompt_tokens": 1, "cost": 0.00014, "is_byok": true, "inference_geo": "us", "speed": "fast",
              "cost_details": { "upstream_inference_cost": 1e-6 }, "prompt_tokens_details": { "audio_tokens": 1 } } });
        let billing = read_usage(&body).unwrap().1;
        let cost = "0.000141".parse().ok();
        let expected = Billing {
            served: Some("m-2026-01-01".to_owned()),
            service: Service::Flex,
            region: Some("us".to_owned()),
            fast: true,
            audio: true,
            cost,
        };
        assert_eq!(billing, expected);
        let ticks =
            json!({ "usage": { "prompt_tokens": 1, "service_tier": "scale", "cost_in_usd_ticks": 37_756_000 } });
        let billing = read_usage(&ticks).unwrap().1;
        assert_eq!((billing.service, billing.cost), (Service::Other, "0.0037756".parse().ok()));
        let odd = json!({ "usage": { "prompt_tokens": 1, "cost": { "total_cost": 1 }, "service_tier": 5 } });
        assert_eq!(read_usage(&odd).unwrap().1, Billing::default());
    }
}
