//! What is known of models, listed; price files and borrowed prices in a run and its report.

use overnight::types::Money;
use serde_json::{Value, json};

use crate::world::{SimServer, World};

fn listed(args: &[&str]) -> Vec<String> {
    let ran = World::new().overnight(&[&["models"], args].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn a_pattern_is_a_part_of_a_name_or_a_glob_and_without_one_all_are_listed() {
    assert_eq!(listed(&[]).len(), 2_916, "a line a model and the header");
    let mini = listed(&["GPT-4o-Mini"]);
    assert!(
        mini.contains(&"openai/gpt-4o-mini".to_owned()) && mini.contains(&"azure/gpt-4o-mini".to_owned()),
        "{mini:?}"
    );
    assert_eq!(listed(&["openai/gpt-5.4-*o"]), ["model", "openai/gpt-5.4-nano", "openai/gpt-5.4-pro"]);
    assert!(listed(&["grok-code-fast-?"]).contains(&"xai/grok-code-fast-1".to_owned()));
}

#[test]
fn the_model_that_a_job_would_find_comes_first() {
    let ran = World::new().overnight(&["models", "qwen/qwen-plus"]);
    assert!(ran.stdout.lines().nth(1).unwrap().starts_with("dashscope/qwen-plus "), "{}", ran.stdout);
    assert_eq!(ran.stderr, "a job finds qwen/qwen-plus as dashscope/qwen-plus\n");
    assert_eq!(listed(&["openai/gpt-5.4-2031-01-01"]), ["model", "openai/gpt-5.4"]);
}

#[test]
fn source_and_date_are_told_and_programs_read_it_too() {
    let ran = World::new().overnight(&["models", "openai/gpt-4o-mini-2024-07-18"]);
    assert!(ran.stdout.contains("built-in table, LiteLLM 1.109.1, 2026-11-22"), "{}", ran.stdout);
    let told = World::new().overnight(&["models", "openai/gpt-4o-mini-2024-07-18", "--json"]).summary();
    let model = &told["models"][0];
    assert_eq!((&model["input"], &model["cached_input"], &model["output"]), (&json!(0.15), &json!(0.075), &json!(0.6)));
    assert_eq!((&model["context"], &model["batch"]["output"]), (&json!(128_000), &json!(0.3)));
    assert_eq!(model["source"], "built-in table, LiteLLM 1.109.1, 2026-11-22");
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_ones() {
    let ran = World::new().overnight(&["models", "openai/gpt-4o-mni"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("error: no model is listed that matches \"openai/gpt-4o-mni\"\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: the nearest are openai/gpt-4o-mini"), "{}", ran.stderr);
    assert_eq!(World::new().overnight(&["models", "[", "-q"]).code, Some(2));
}

#[test]
fn what_is_printed_as_a_price_file_is_read_as_one() {
    let world = World::new();
    let printed = world.overnight(&["models", "openai/gpt-5.4*", "--format", "prices"]).stdout;
    world.write("own.json", &printed);
    let again = world.overnight(&["models", "--prices", "own.json", "--format", "prices"]).stdout;
    let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&printed), rows(&again));
    let wrong = world.overnight(&["models", "--prices", "gone.json"]);
    assert_eq!((wrong.code, wrong.stderr.starts_with("error: cannot read gone.json")), (Some(3), true), "{wrong:?}");
}

/// A job of two models at a gateway, one with a borrowed price and one without any.
fn job(url: &str) -> String {
    format!(
        "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"borrowed\"\n\
         prompt = \"Tag {{{{ text }}}}\"\n[models.borrowed]\nprovider = \"p\"\nmodel = \"m\"\n\
         price = \"acme/model\"\n[providers.p]\nbase_url = \"{url}\"\n"
    )
}

#[test]
fn a_price_file_counts_in_the_run_and_stands_in_the_report_even_without_the_flag() {
    let (world, sim) = (World::new(), SimServer::start(json!({})));
    world.write("job.toml", job(sim.url()));
    world.write("in.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}");
    world.write("own.json", r#"{"models":[{"provider":"acme","model":"model","in":1000,"out":2000}]}"#);
    let refused = world.overnight(&["run", "job.toml"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("no price is listed of \"acme/model\""), "{}", refused.stderr);
    let ran = world.overnight(&["run", "job.toml", "--prices", "own.json", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ledger = sim.ledger();
    let expected = serde_json::to_value(Money::from_pico(
        (ledger.input_tokens * 1_000 + ledger.output_tokens * 2_000) * 1_000_000,
    ));
    let expected = expected.unwrap();
    assert_eq!(ran.summary()["cost_usd"], expected);
    // The job may say otherwise by now.
    world.write("job.toml", job(sim.url()).replace("\"acme/model\"", "{ input = 7, output = 7 }"));
    let report: Value = world.overnight(&["report", "job.toml", "--json"]).summary();
    assert_eq!(report["by_model"][0]["price_source"], "borrowed from acme/model (prices own.json)");
    assert_eq!(report["by_model"][0]["cost_usd"], expected);
    let text = world.overnight(&["report", "job.toml"]).stdout;
    assert!(text.contains("p/m: borrowed from acme/model (prices own.json)"), "{text}");
}
