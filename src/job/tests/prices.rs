//! Whose word on a price counts, and where list prices hold.

use std::fs;

use super::{Folder, LEAST, problems};
use crate::job::{Job, Model};
use crate::types::{Money, Price, PriceSource};

fn with(model: &str, tables: &str) -> String {
    format!("{}\n{tables}", LEAST.replace("ollama/qwen3", model))
}

fn load(text: &str) -> Job {
    let keys = ["OPENAI_API_KEY", "OPENROUTER_API_KEY", "DASHSCOPE_API_KEY", "GEMINI_API_KEY"];
    keys.into_iter().fold(Folder::with(text), |folder, key| folder.env(key, "k")).load().unwrap()
}

fn model(text: &str) -> Model {
    load(text).models.remove(0)
}

fn source(text: &str) -> String {
    model(text).price_source.to_string()
}

const LISTED: &str = "built-in table, LiteLLM 1.109.1, 2026-11-22";

#[test]
fn list_prices_hold_at_the_providers_own_addresses_alone() {
    for (provider, url, listed) in [
        ("openai/gpt-4o-mini", None, true),
        ("openai/gpt-4o-mini", Some("https://eu.api.openai.com/v1"), true),
        ("openai/gpt-4o-mini", Some("https://acme.openai.azure.com/openai/v1"), true),
        ("openai/gpt-4o-mini", Some("https://gateway.example/v1"), false),
        ("openai/gpt-4o-mini", Some("https://api.openai.com.evil.example/v1"), false),
        ("openai/gpt-4o-mini", Some("https://notapi.openai.com/v1"), false),
        ("openai/no-such-model", None, false),
        ("qwen/qwen-plus", None, true),
        ("qwen/qwen-plus", Some("https://dashscope.aliyuncs.com/compatible-mode/v1"), false),
        ("qwen/qwen-plus", Some("https://ws1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1"), true),
        ("gemini/models/gemini-2.5-flash", None, true),
    ] {
        let name = provider.split('/').next().unwrap();
        let table = url.map(|url| format!("[providers.{name}]\nbase_url = \"{url}\"")).unwrap_or_default();
        let found = model(&with(provider, &table));
        assert_eq!(found.price.is_some(), listed, "{provider} {url:?}");
        assert_eq!(found.price_source.to_string(), if listed { LISTED } else { "unknown" }, "{provider} {url:?}");
    }
    let gateway = "[providers.gateway]\nkind = \"openai\"\nbase_url = \"https://gateway.example/v1\"";
    let there = model(&with("gateway/gpt-4o-mini", gateway));
    assert_eq!((there.price, there.context, there.price_source), (None, None, PriceSource::Unknown));
}

#[test]
fn replicas_are_listed_where_all_of_them_are() {
    let both = |other: &str| {
        let table = format!("[providers.openai]\nbase_url = [\"https://api.openai.com/v1\", \"{other}\"]");
        load(&with("openai/gpt-4o-mini", &table)).providers.remove(0).listed_as
    };
    assert_eq!(both("https://us.api.openai.com/v1"), Some("openai"));
    assert_eq!(both("https://gateway.example/v1"), None);
}

#[test]
fn the_job_s_own_word_comes_first_then_an_own_server_then_the_replies_then_the_table() {
    let given = "[models.m]\nprovider = \"openrouter\"\nmodel = \"openai/gpt-5.4\"\nprice = { input = 1, output = 2 }";
    assert_eq!(source(&with("m", given)), "job file");
    assert_eq!(source(&with("openrouter/openai/gpt-5.4", "")), "provider's own cost field");
    assert_eq!(source(&with("openrouter/no/such-model", "")), "provider's own cost field");
    assert_eq!(source(&with("ollama/llama3", "")), "self-hosted");
    assert_eq!(source(&with("openai/gpt-4o-mini", "")), LISTED);
}

#[test]
fn a_price_can_be_borrowed_and_is_told_so() {
    let gateway = "[providers.gw]\nbase_url = \"https://gateway.example/v1\"";
    let borrows = |name: &str| with("m", &format!("[models.m]\nprovider = \"gw\"\nprice = \"{name}\"\n{gateway}"));
    let borrowed = model(&borrows("openai/gpt-4o-mini"));
    assert_eq!(borrowed.price, model(&with("openai/gpt-4o-mini", "")).price);
    assert_eq!(borrowed.price_source.to_string(), format!("borrowed from openai/gpt-4o-mini ({LISTED})"));
    assert_eq!(source(&borrows("qwen/qwen-plus")), format!("borrowed from dashscope/qwen-plus ({LISTED})"));
    let told = problems(&borrows("openai/gpt-4o-mni"));
    assert!(told.contains("models.m.price: no price is listed of \"openai/gpt-4o-mni\""), "{told}");
    assert!(told.contains("did you mean `openai/gpt-4o-mini`"), "{told}");
    let told = problems(&borrows("azure_ai/jais-30b-chat"));
    assert!(told.contains("azure_ai/jais-30b-chat is known to be wrong"), "{told}");
    let told = problems(&borrows("xyzzy"));
    assert!(told.contains("`overnight models` lists those that are"), "{told}");
}

#[test]
fn the_table_tells_sizes_where_the_job_does_not() {
    let listed = model(&with("openai/gpt-4o-mini", ""));
    assert_eq!((listed.context, listed.max_output), (Some(128_000), None));
    assert_eq!((listed.listed_max_output, listed.output_bound()), (Some(16_384), Some(16_384)));
    let given = "[models.m]\nprovider = \"openai\"\nmodel = \"gpt-4o-mini\"\ncontext = 1000\nmax_output = 10";
    let given = model(&with("m", given));
    assert_eq!((given.context, given.max_output, given.output_bound()), (Some(1000), Some(10), Some(10)));
}

#[test]
fn a_price_file_comes_before_the_table_and_one_that_is_wrong_is_a_problem_of_the_flag() {
    let folder = Folder::with(&with("openai/gpt-4o-mini", "")).env("OPENAI_API_KEY", "k");
    let path = folder.path("own.json");
    fs::write(&path, r#"{"models":[{"provider":"openai","model":"gpt-4o-mini","in":1,"out":2}]}"#).unwrap();
    let found = folder.load_with(|args| args.prices = Some(path.clone())).unwrap().models.remove(0);
    let usd = |usd| Money::from_usd(usd).unwrap();
    assert_eq!(found.price_source.to_string(), "prices own.json");
    let usage = crate::types::Usage { input_tokens: 1_000_000, output_tokens: 1_000_000, ..Default::default() };
    assert_eq!(found.price.as_ref().and_then(|price: &Price| price.cost(&usage)), Some(usd(3.0)));
    fs::write(&path, "{}").unwrap();
    let error = folder.problems_with(|args| args.prices = Some(path.clone()));
    assert!(
        error.starts_with("--prices: ") && error.contains("holds no prices") && error.contains("\n  hint: "),
        "{error}"
    );
}

#[test]
fn a_cost_that_a_header_tells_is_believed_where_the_job_says_so() {
    let proxy = |url: &str| {
        let table = format!("[providers.gw]\nbase_url = \"{url}\"\ncost_header = \"X-LiteLLM-Response-Cost\"");
        load(&with("gw/m", &table))
    };
    for url in ["https://gateway.example/v1", "http://127.0.0.1:4000/v1"] {
        let job = proxy(url);
        assert_eq!(job.models[0].price_source, PriceSource::Provider, "{url}");
        assert_eq!(job.providers[0].settings.cost_header.as_deref(), Some("x-litellm-response-cost"));
        assert!(job.models[0].price.is_none(), "{url}");
    }
    let told = problems(&with("gw/m", "[providers.gw]\nbase_url = \"https://g.example/v1\"\ncost_header = \"a b\""));
    assert!(told.contains("providers.gw.cost_header: is not a header's name"), "{told}");
}
