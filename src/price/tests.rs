//! The table is whole, and models are found in it by their names and by no other model's.

use std::collections::BTreeSet;
use std::fs;

use super::built_in;
use super::*;
use crate::types::{Money, Price, PriceSource, Usage};

fn find(provider: &str, model: &str) -> Option<Listing> {
    Prices::default().find(provider, model)
}

fn found(provider: &str, model: &str) -> String {
    find(provider, model).map_or_else(|| "none".to_owned(), |listing| listing.name())
}

/// The price of a million plain tokens in and of one out.
fn usd(price: &Price) -> (String, String) {
    let million = 1_000_000;
    let cost = |usage: Usage| price.cost(&usage).map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    let small = Usage { output_tokens: million, ..Usage::default() };
    let rate = price.bands().next().unwrap().standard.input.unwrap();
    (rate.to_string(), cost(small))
}

#[test]
fn every_entry_is_read_in_order_and_finds_itself() {
    let entries: Vec<_> = built_in::all().collect();
    assert_eq!(entries.len(), 2915);
    let names: Vec<_> = entries.iter().map(|entry| (entry.provider.clone(), entry.model.clone())).collect();
    assert!(names.is_sorted() && names.iter().collect::<BTreeSet<_>>().len() == names.len());
    for entry in entries {
        let at_once = built_in::get(&entry.provider, &entry.model);
        assert_eq!(at_once.as_ref(), Some(&entry));
        let listing = find(&entry.provider, &entry.model).unwrap();
        assert_eq!(listing.row, entry.row, "{}", listing.name());
        assert_eq!(listing.price.is_none(), listing.suspect, "{}", listing.name());
    }
}

#[test]
fn the_source_and_its_date_are_told() {
    let source = |provider, model| find(provider, model).unwrap().source.to_string();
    assert_eq!(source("openai", "gpt-4o-mini"), "built-in table, LiteLLM 1.109.1, 2026-11-22");
    assert_eq!(source("openrouter", "openai/gpt-5.4"), "built-in table, genai-prices 0.2.3, 2026-11-22");
}

#[test]
fn a_model_is_found_by_the_names_that_jobs_have_for_it() {
    for (provider, model, listed) in [
        ("openai", "gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-4o-mini-2031-01-01", "openai/gpt-4o-mini"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme:tag:A1", "openai/ft:gpt-4o-mini-2024-07-18"),
        ("openai", "ft:o4-mini:acme::A1", "openai/ft:o4-mini-2025-04-16"),
        ("anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5-20251001"),
        ("anthropic", "claude-opus-5-latest", "anthropic/claude-opus-5"),
        ("qwen", "qwen-plus", "dashscope/qwen-plus"),
        ("google", "models/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("fireworks", "kimi-k2-instruct", "fireworks/accounts/fireworks/models/kimi-k2-instruct"),
        ("together_ai", "openai/gpt-oss-20b", "together/openai/gpt-oss-20b"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("mistral", "mistral-large-latest", "mistral/mistral-large-latest"),
        ("xai", "grok-4.3-latest", "xai/grok-4.3-latest"),
    ] {
        assert_eq!(found(provider, model), listed, "{provider}/{model}");
    }
}

#[test]
fn what_is_not_listed_is_not_taken_for_another_model() {
    for (provider, model) in [
        ("openai", "gpt-4o-mini-turbo"),
        ("openai", "claude-opus-5"),
        ("openai", "gpt-4o-0613"),
        ("openai", "gpt-5-preview"),
        ("gateway", "gpt-4o-mini"),
        ("openai", ""),
        ("", ""),
        ("zzz", "zzz"),
    ] {
        assert_eq!(found(provider, model), "none", "{provider}/{model}");
    }
    let doubtful = find("azure_ai", "jais-30b-chat").unwrap();
    assert!(doubtful.suspect && doubtful.price.is_none());
}

#[test]
fn a_model_without_a_date_may_be_served_by_versions_that_cost_otherwise() {
    let price = find("openai", "gpt-4o").unwrap().price.unwrap();
    assert_eq!(usd(&price), ("2.5".to_owned(), "10".to_owned()));
    let [(name, version)] = price.versions.as_slice() else { panic!("{:?}", price.versions) };
    assert_eq!((&**name, usd(version)), ("gpt-4o-2024-05-13", ("5".to_owned(), "15".to_owned())));
    assert!(find("openai", "gpt-4o-2024-08-06").unwrap().price.unwrap().versions.is_empty());
}

#[test]
fn an_address_of_a_region_has_its_uplift() {
    let cost = |host| {
        let price = Prices::default().find_at("openai", "gpt-5.4", host).unwrap().price.unwrap();
        let usage = Usage { input_tokens: 1000, ..Usage::default() };
        price.bill(&usage, &crate::types::Billing::default(), 0).unwrap().to_string()
    };
    assert_eq!((cost("api.openai.com"), cost("eu.api.openai.com")), ("0.0025".to_owned(), "0.00275".to_owned()));
}

/// As users have it, cut down.
const LITELLM: &str = r#"{
  "sample_spec": { "litellm_provider": "one of https://docs.litellm.ai/docs/providers", "input_cost_per_token": 0.0 },
  "gpt-4o-mini": { "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 128000, "max_output_tokens": 16384,
    "input_cost_per_token": 1.2e-07, "output_cost_per_token": 5.9999999999999997e-07,
    "cache_read_input_token_cost": 8.333333333333334e-08, "input_cost_per_token_flex": 6e-08,
    "output_cost_per_token_flex": 3e-07, "supports_vision": true },
  "azure/eu/own": { "litellm_provider": "azure", "input_cost_per_token": 1, "output_cost_per_token": 2e-06 },
  "vertex_ai/claude-x": { "litellm_provider": "vertex_ai-anthropic_models", "input_cost_per_token": 3e-06,
    "output_cost_per_token": 1.5e-05, "input_cost_per_token_above_200k_tokens": 6e-06,
    "output_cost_per_token_above_200k_tokens": 2.25e-05, "cache_creation_input_token_cost": 3.75e-06,
    "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06, "cache_creation_input_token_cost_above_1hr": 6e-06 },
  "fireworks_ai/accounts/fireworks/models/m": { "litellm_provider": "fireworks_ai", "input_cost_per_token": 9e-07,
    "output_cost_per_token": 9e-07 },
  "dashscope/q": { "litellm_provider": "dashscope", "tiered_pricing": [
    { "range": [0, 256000.0], "input_cost_per_token": 4e-07, "output_cost_per_token": 1.2e-06 },
    { "range": [256000.0, 1000000.0], "input_cost_per_token": 1.2e-06, "output_cost_per_token": 3.6e-06 }] },
  "dall-e": { "litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04 }
}"#;

fn with(text: &str) -> Result<Prices, PriceError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.json");
    fs::write(&path, text).unwrap();
    Prices::with_file(&path)
}

#[test]
fn litellms_file_is_read_as_users_have_it() {
    let prices = with(LITELLM).unwrap();
    assert_eq!(prices.all().count(), 5);
    let find = |provider: &str, model: &str| prices.find(provider, model).unwrap();
    let mini = find("openai", "gpt-4o-mini-2024-07-18");
    assert_eq!((mini.context, mini.max_output), (Some(128_000), Some(16_384)));
    assert_eq!(mini.source, PriceSource::File("prices.json".into()));
    let price = mini.price.unwrap();
    assert_eq!(usd(&price), ("0.12".to_owned(), "0.6".to_owned()));
    let base = price.bands().next().unwrap();
    assert_eq!(base.standard.cached_input, Some("0.083333333333".parse().unwrap()));
    assert_eq!(base.flex.unwrap().output, Money::from_usd(0.3));
    assert_eq!(usd(&find("azure", "eu/own").price.unwrap()).0, "1000000");
    let long = find("vertex_ai", "claude-x").price.unwrap();
    let bands: Vec<_> = long.bands().map(|band| (band.above, band.standard.cache_write)).collect();
    assert_eq!(bands, [(0, Money::from_usd(3.75)), (200_000, Money::from_usd(7.5))]);
    assert_eq!(long.bands().next().unwrap().standard.cache_write_1h, Money::from_usd(6.0));
    assert_eq!(find("fireworks", "m").model, "accounts/fireworks/models/m");
    assert_eq!(find("qwen", "q").price.unwrap().bands().map(|band| band.above).collect::<Vec<_>>(), [0, 256_000]);
    // What the file does not list is looked up in the table that is built in.
    assert!(matches!(find("openai", "gpt-5.4").source, PriceSource::BuiltIn(_)));
}

#[test]
fn a_file_of_our_own_form_is_what_is_printed_of_the_table() {
    let rows: Vec<String> = Prices::default().all().map(|listing| listing.line()).collect();
    let prices = with(&format!("{{\"models\":[{}]}}", rows.join(","))).unwrap();
    for (filed, listed) in prices.all().zip(Prices::default().all()) {
        assert_eq!((filed.name(), &filed.price, &filed.row), (listed.name(), &listed.price, &listed.row));
    }
}

#[test]
fn what_is_no_price_file_is_refused_with_its_reason() {
    let refusal = |text: &str| with(text).unwrap_err().to_string();
    assert!(refusal("not json").contains("is not JSON"));
    assert!(refusal("[]").contains("not a JSON object"));
    assert!(refusal("{}").contains("neither"));
    assert!(refusal(r#"{"models":{}}"#).contains("must be a list"));
    assert!(refusal(r#"{"models":[{"provider":"a"}]}"#).contains("\"provider\" and \"model\""));
    let wrong = refusal(r#"{"models":[{"provider":"a","model":"b","in":1,"out":-2}]}"#);
    assert!(wrong.contains("a/b: out: -2 is not an amount"), "{wrong}");
    let wrong = refusal(r#"{"m":{"litellm_provider":"a","input_cost_per_token":"x"}}"#);
    assert!(wrong.contains("a/m: in: \"x\" is not an amount"), "{wrong}");
    assert!(Prices::with_file(std::path::Path::new("/nowhere.json")).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn the_nearest_names_are_told() {
    let near = |name: &str| Prices::default().nearest(name);
    assert!(near("openai/gpt-4o-mni").contains(&"openai/gpt-4o-mini".to_owned()));
    assert!(near("gpt-4o-mni").iter().any(|name| name.ends_with("/gpt-4o-mini")));
    assert!(near("xyzzy").is_empty());
}
