//! Real usage objects of each family of providers, and what they cost at list prices, worked out by hand beside them.

use overnight::price::Prices;
use overnight::types::{Money, read_usage};
use serde_json::{Value, json};

/// Monday 2026-11-23, 02:00 UTC: no provider's cheap hour.
const MONDAY_NIGHT: u64 = 1_795_399_200_000;
const SATURDAY: u64 = MONDAY_NIGHT + 5 * 86_400_000;

fn bill_at(at: u64, provider: &str, model: &str, body: &Value) -> Option<String> {
    let price = Prices::default().find(provider, model).unwrap().price.unwrap();
    let (usage, billing) = read_usage(body).unwrap();
    price.bill(&usage, &billing, at).map(|cost| cost.to_string())
}

fn bill(provider: &str, model: &str, body: &Value) -> Option<String> {
    bill_at(MONDAY_NIGHT, provider, model, body)
}

fn assert_bill(provider: &str, model: &str, body: &Value, usd: &str) {
    assert_eq!(bill(provider, model, body).as_deref(), Some(usd), "{provider}/{model}: {body}");
}

#[test]
fn openai_with_cached_input() {
    let body = json!({ "model": "gpt-4o-mini-2024-07-18", "service_tier": "default", "usage": {
        "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": { "cached_tokens": 1920, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0 } } });
    // 86 * 0.15 + 1920 * 0.075 + 300 * 0.6 = 12.9 + 144 + 180
    assert_bill("openai", "gpt-4o-mini", &body, "0.0003369");
}

fn gpt_5_4(service_tier: Option<&str>) -> Value {
    json!({ "model": "gpt-5.4-2026-03-05", "service_tier": service_tier, "usage": {
        "prompt_tokens": 1000, "completion_tokens": 800, "total_tokens": 1800,
        "prompt_tokens_details": { "cached_tokens": 512 }, "completion_tokens_details": { "reasoning_tokens": 640 } } })
}

#[test]
fn openai_with_reasoning_which_is_part_of_the_output() {
    // 488 * 2.5 + 512 * 0.25 + 800 * 15 = 1220 + 128 + 12000
    assert_bill("openai", "gpt-5.4", &gpt_5_4(None), "0.013348");
}

#[test]
fn a_service_tier_counts_as_the_reply_has_it_and_one_without_rates_is_unknown() {
    // 488 * 1.25 + 512 * 0.13 + 800 * 7.5 = 610 + 66.56 + 6000
    assert_bill("openai", "gpt-5.4", &gpt_5_4(Some("flex")), "0.00667656");
    // 488 * 5 + 512 * 0.5 + 800 * 30 = 2440 + 256 + 24000
    assert_bill("openai", "gpt-5.4", &gpt_5_4(Some("priority")), "0.026696");
    assert_bill("openai", "gpt-5.4", &gpt_5_4(Some("fast")), "0.026696");
    assert_eq!(bill("openai", "gpt-5.4", &gpt_5_4(Some("scale"))), None);
    assert_eq!(bill("openai", "gpt-4o-mini", &gpt_5_4(Some("flex"))), None);
}

#[test]
fn a_long_request_is_dearer_as_a_whole_and_begins_above_the_size() {
    let body = |input: u64, tier: &str| json!({ "service_tier": tier, "usage": { "prompt_tokens": input, "completion_tokens": 100 } });
    // 272000 * 2.5 + 100 * 15 = 680000 + 1500
    assert_bill("openai", "gpt-5.4", &body(272_000, "default"), "0.6815");
    // 272001 * 5 + 100 * 22.5 = 1360005 + 2250
    assert_bill("openai", "gpt-5.4", &body(272_001, "default"), "1.362255");
    // No priority rates are listed for long ones.
    assert_eq!(bill("openai", "gpt-5.4", &body(272_001, "priority")), None);
    // Flex output of long ones is: 272001 * 2.5 + 100 * 11.25 = 680002.5 + 1125
    assert_bill("openai", "gpt-5.4", &body(272_001, "flex"), "0.6811275");
}

#[test]
fn a_dated_version_that_answers_is_billed_at_its_own_price() {
    let body = |served: &str| json!({ "model": served, "usage": { "prompt_tokens": 1000, "completion_tokens": 100 } });
    // 1000 * 2.5 + 100 * 10
    assert_bill("openai", "gpt-4o", &body("gpt-4o-2024-08-06"), "0.0035");
    // 1000 * 5 + 100 * 15
    assert_bill("openai", "gpt-4o", &body("gpt-4o-2024-05-13"), "0.0065");
    // A name of its own making, as gateways have them, says nothing.
    assert_bill("openai", "gpt-4o", &body("my-deployment"), "0.0035");
}

#[test]
fn openai_tokens_of_sound_have_rates_that_are_not_listed() {
    let body = json!({ "usage": { "prompt_tokens": 10, "completion_tokens": 5,
        "prompt_tokens_details": { "audio_tokens": 4 } } });
    assert_eq!(bill("openai", "gpt-4o", &body), None);
}

#[test]
fn openai_predicted_tokens_that_were_rejected_are_output_once() {
    let body = json!({ "usage": { "prompt_tokens": 0, "completion_tokens": 100,
        "completion_tokens_details": { "accepted_prediction_tokens": 10, "rejected_prediction_tokens": 40 } } });
    // 100 * 10
    assert_bill("openai", "gpt-4o", &body, "0.001");
}

#[test]
fn openai_responses_and_embeddings() {
    let body = json!({ "object": "response", "usage": { "input_tokens": 75, "output_tokens": 1186,
        "input_tokens_details": { "cached_tokens": 0 }, "output_tokens_details": { "reasoning_tokens": 1024 },
        "total_tokens": 1261 } });
    // 75 * 2.5 + 1186 * 15 = 187.5 + 17790
    assert_bill("openai", "gpt-5.4", &body, "0.0179775");
    let body = json!({ "object": "list", "usage": { "prompt_tokens": 1000, "total_tokens": 1000 } });
    // 1000 * 0.1
    assert_bill("mistral", "mistral-embed", &body, "0.0001");
}

#[test]
fn azure() {
    let body = json!({ "model": "gpt-4o-mini-2024-07-18", "prompt_filter_results": [], "usage":
        { "prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050,
          "prompt_tokens_details": { "cached_tokens": 0 } } });
    // 1000 * 0.15 + 50 * 0.6
    assert_bill("azure", "gpt-4o-mini", &body, "0.00018");
}

#[test]
fn anthropic_by_its_compatible_address() {
    let body = json!({ "model": "claude-haiku-4-5-20251001", "usage":
        { "prompt_tokens": 1500, "completion_tokens": 200, "total_tokens": 1700 } });
    // 1500 * 1 + 200 * 5
    assert_bill("anthropic", "claude-haiku-4-5", &body, "0.0025");
}

#[test]
fn anthropic_with_the_cache_beside_the_input_as_gateways_pass_it() {
    let body = json!({ "model": "claude-haiku-4-5-20251001", "usage": { "input_tokens": 50, "output_tokens": 300,
        "cache_read_input_tokens": 10000, "cache_creation_input_tokens": 2000, "service_tier": "standard",
        "cache_creation": { "ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500 } } });
    // 50 * 1 + 10000 * 0.1 + 1500 * 1.25 + 500 * 2 + 300 * 5 = 50 + 1000 + 1875 + 1000 + 1500
    assert_bill("anthropic", "claude-haiku-4-5", &body, "0.005425");
    let body = json!({ "usage": { "prompt_tokens": 1210, "completion_tokens": 7, "total_tokens": 1217,
        "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200,
        "prompt_tokens_details": { "cached_tokens": 1000, "cache_creation_tokens": 200,
            "cache_creation_token_details": { "ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50 } } } });
    // A proxy put it in: 10 * 1 + 1000 * 0.1 + 150 * 1.25 + 50 * 2 + 7 * 5 = 10 + 100 + 187.5 + 100 + 35
    assert_bill("anthropic", "claude-haiku-4-5", &body, "0.0004325");
}

#[test]
fn anthropic_uplifts_count_where_the_reply_tells_of_them() {
    let body = |extra: Value| {
        let mut usage = json!({ "input_tokens": 1000, "output_tokens": 100 });
        usage.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "usage": usage })
    };
    // 1000 * 5 + 100 * 25 = 7500, twice that, and 1.1 times that
    assert_bill("anthropic", "claude-opus-5", &body(json!({ "speed": "standard" })), "0.0075");
    assert_bill("anthropic", "claude-opus-5", &body(json!({ "speed": "fast" })), "0.015");
    assert_bill("anthropic", "claude-opus-5", &body(json!({ "speed": "fast", "inference_geo": "us" })), "0.0165");
    assert_bill("anthropic", "claude-opus-5", &body(json!({ "inference_geo": "global" })), "0.0075");
}

#[test]
fn gemini_whose_thoughts_stand_in_the_sum_alone() {
    let body = json!({ "model": "gemini-2.5-flash", "usage":
        { "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 520 } });
    // 100 * 0.3 + (20 + 400) * 2.5 = 30 + 1050
    assert_bill("gemini", "gemini-2.5-flash", &body, "0.00108");
    let body = json!({ "model": "gemini-2.5-pro", "usage":
        { "prompt_tokens": 200_001, "completion_tokens": 10, "total_tokens": 200_011 } });
    // 200001 * 2.5 + 10 * 15 = 500002.5 + 150
    assert_bill("gemini", "gemini-2.5-pro", &body, "0.5001525");
}

#[test]
fn deepseek_with_its_own_names_and_its_cheap_hours() {
    let body = json!({ "model": "deepseek-v4-pro", "usage": { "prompt_tokens": 1000, "completion_tokens": 100,
        "total_tokens": 1100, "prompt_cache_hit_tokens": 768, "prompt_cache_miss_tokens": 232,
        "completion_tokens_details": { "reasoning_tokens": 60 } } });
    // 232 * 1.32 + 768 * 0.044 + 100 * 3.96 = 306.24 + 33.792 + 396
    assert_bill("deepseek", "deepseek-v4-pro", &body, "0.000736032");
    // At the weekend half of it.
    assert_eq!(bill_at(SATURDAY, "deepseek", "deepseek-v4-pro", &body).as_deref(), Some("0.000368016"));
    // On a Monday from four to six in the morning too.
    let morning = MONDAY_NIGHT + 3 * 3_600_000;
    assert_eq!(bill_at(morning, "deepseek", "deepseek-v4-pro", &body).as_deref(), Some("0.000368016"));
}

#[test]
fn xai_whose_reasoning_is_beside_the_output_and_whose_long_requests_begin_at_the_size() {
    let body = json!({ "model": "grok-4.20", "usage": { "prompt_tokens": 100, "completion_tokens": 50,
        "total_tokens": 350, "completion_tokens_details": { "reasoning_tokens": 200 },
        "cost_in_usd_ticks": 7_500_000 } });
    // 100 * 1.25 + (50 + 200) * 2.5 = 125 + 625
    assert_bill("xai", "grok-4.20", &body, "0.00075");
    assert_eq!(read_usage(&body).unwrap().1.cost.unwrap().to_string(), "0.00075");
    let body = |input: u64| json!({ "usage": { "prompt_tokens": input, "completion_tokens": 10 } });
    // 199999 * 1.25 + 10 * 2.5 = 249998.75 + 25
    assert_bill("xai", "grok-4.20", &body(199_999), "0.25002375");
    // 200000 * 2.5 + 10 * 5
    assert_bill("xai", "grok-4.20", &body(200_000), "0.50005");
}

#[test]
fn mistral_and_groq() {
    let body = json!({ "model": "mistral-large-latest", "usage": { "prompt_tokens": 500, "completion_tokens": 100,
        "total_tokens": 600, "service_tier": "standard", "prompt_tokens_details": { "cached_tokens": 400 } } });
    // 100 * 0.5 + 400 * 0.05 + 100 * 1.5 = 50 + 20 + 150
    assert_bill("mistral", "mistral-large-latest", &body, "0.00022");
    let body = |tier: &str| {
        json!({ "model": "openai/gpt-oss-120b", "service_tier": tier, "usage": { "queue_time": 0.03, "prompt_time": 0.01,
            "completion_time": 0.2, "total_time": 0.21, "prompt_tokens": 300, "completion_tokens": 120,
            "total_tokens": 420, "completion_tokens_details": { "reasoning_tokens": 80 } } })
    };
    // 300 * 0.15 + 120 * 0.6 = 45 + 72
    assert_bill("groq", "openai/gpt-oss-120b", &body("on_demand"), "0.000117");
    assert_eq!(bill("groq", "openai/gpt-oss-120b", &body("flex")), None);
}

#[test]
fn qwen_whose_bands_hold_their_upper_end_and_whose_thinking_has_a_rate() {
    let body = |input: u64| {
        json!({ "model": "qwen-plus-latest", "usage": { "prompt_tokens": input, "completion_tokens": 1000,
            "completion_tokens_details": { "reasoning_tokens": 700 } } })
    };
    // 256000 * 0.4 + 300 * 1.2 + 700 * 4 = 102400 + 360 + 2800
    assert_bill("qwen", "qwen-plus-latest", &body(256_000), "0.10556");
    // 256001 * 1.2 + 300 * 3.6 + 700 * 12 = 307201.2 + 1080 + 8400
    assert_bill("qwen", "qwen-plus-latest", &body(256_001), "0.3166812");
}

#[test]
fn openrouter_tells_what_it_charged() {
    let body = |byok: bool| {
        json!({ "model": "openai/gpt-5.4", "usage": { "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196,
            "cost": 0.00095, "is_byok": byok, "cost_details": { "upstream_inference_cost": 0.0193 },
            "prompt_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 100 } } })
    };
    let told = |byok| read_usage(&body(byok)).unwrap().1.cost.unwrap();
    assert_eq!(told(false), Money::from_usd(0.00095).unwrap());
    // With a key of one's own the fee, and what the model's provider bills: 0.00095 + 0.0193
    assert_eq!(told(true), Money::from_usd(0.02025).unwrap());
    assert_eq!(read_usage(&body(true)).unwrap().0.cache_write_tokens, 100);
}

#[test]
fn together_fireworks_and_cerebras() {
    let usage = json!({ "usage": { "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
        "cached_tokens": 0 } });
    // 1000 * 0.15 + 100 * 1.5
    assert_bill("together", "Qwen/Qwen3-Next-80B-A3B-Instruct", &usage, "0.0003");
    // 1000 * 0.6 + 100 * 2.5; cached input has no rate of its own there
    let cached = json!({ "usage": { "prompt_tokens": 1000, "completion_tokens": 100,
        "prompt_tokens_details": { "cached_tokens": 900 } } });
    assert_bill("fireworks", "kimi-k2-instruct", &cached, "0.00085");
    // 1000 * 0.35 + 100 * 0.75
    assert_bill("cerebras", "gpt-oss-120b", &usage, "0.000425");
}
