//! The examples of `jobs/`, the reference job and the schema.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use overnight::job::{Job, JobArgs, Problem, SCHEMA, load};
use serde_json::Value;

use crate::world::World;

fn jobs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs")
}

fn names() -> Vec<String> {
    let files = fs::read_dir(jobs()).unwrap().map(|entry| entry.unwrap().path());
    let jobs = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    jobs.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_example_unpacks_and_runs() {
    for name in names() {
        let world = World::new();
        let unpacked = world.overnight(&["init", "--example", &name]);
        assert_eq!(unpacked.code, Some(0), "{name}: {unpacked:?}");
        let file = format!("{name}.toml");
        let mut args = vec!["run", &file, "--limit", "30", "--json"];
        if name == "quickstart" {
            args.extend(["--set", "retry.backoff.base=\"1ms\"", "--set", "providers.sim.simulate.latency=\"0ms\""]);
            args.extend(["--set", "providers.gateway.simulate.latency=\"0ms\""]);
        }
        let ran = world.overnight(&args);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert!(ran.summary()["rows"]["succeeded"].as_u64().unwrap() > 0, "{name}: {ran:?}");
    }
}

const LEAST: &str = r#"
[job]
name = "reference"
[input]
path = "data/tickets.csv"
[output]
path = "out/reference.jsonl"
[tasks.tag]
model = "cheap"
prompt = "Tag this ticket: {{ message }}"
[models.cheap]
provider = "sim"
[providers.sim]
kind = "simulated"
[vars]
language = "French"
"#;

fn reference() -> String {
    fs::read_to_string(jobs().join("reference.toml")).unwrap()
}

fn args(world: &World, text: &str) -> JobArgs {
    JobArgs { job_file: world.write("reference.toml", text), ..JobArgs::default() }
}

/// All of a checked job but the places of its keys.
fn meaning(job: &Job) -> String {
    let whole = format!("{job:#?}");
    whole.split("\n    places: ").next().unwrap().to_owned()
}

#[test]
fn the_reference_job_tells_the_defaults() {
    let world = World::new();
    let of = |text: &str| meaning(&load(&args(&world, text), &|_| None).unwrap());
    let (written, least) = (of(&reference()), of(LEAST));
    assert!(written.contains("concurrency: 256"), "{written}");
    assert_eq!(written, least);
}

/// The tables with fixed keys, and where the schema has them.
const TABLES: [(&str, &str); 15] = [
    ("", ""),
    ("job", "/properties/job"),
    ("input", "/properties/input"),
    ("output", "/properties/output"),
    ("tasks.tag", "/properties/tasks/additionalProperties"),
    ("tasks.tag.answer", "/properties/tasks/additionalProperties/properties/answer"),
    ("models.cheap", "/properties/models/additionalProperties/anyOf/1"),
    ("models.cheap.price", "/properties/models/additionalProperties/anyOf/1/properties/price/anyOf/1"),
    ("models.cheap.limits", "/properties/models/additionalProperties/anyOf/1/properties/limits"),
    ("providers.sim", "/properties/providers/additionalProperties"),
    ("providers.sim.limits", "/properties/providers/additionalProperties/properties/limits"),
    ("providers.sim.timeout", "/properties/providers/additionalProperties/properties/timeout"),
    ("retry", "/properties/retry"),
    ("retry.backoff", "/properties/retry/properties/backoff"),
    ("run", "/properties/run"),
];

/// A key like no other, whose refusal names all that are known.
const UNKNOWN: &str = "qqqq9";

/// The keys of each table, as the code tells them when it is given one that it does not know.
fn known() -> Vec<(String, BTreeSet<String>)> {
    let world = World::new();
    let mut args = args(&world, &reference());
    let key = |table: &str| if table.is_empty() { UNKNOWN.to_owned() } else { format!("{table}.{UNKNOWN}") };
    args.set = TABLES.iter().map(|(table, _)| format!("{}=1", key(table))).collect();
    let problems = load(&args, &|_| None).unwrap_err().problems;
    let keys = |problem: &Problem| {
        let hint = problem.hint.as_deref().unwrap();
        let list = hint.strip_prefix("known here: ").unwrap_or_else(|| panic!("{problem}"));
        list.split(", ").map(str::to_owned).collect()
    };
    let of =
        |table: &str| problems.iter().find(|problem| problem.key == key(table)).unwrap_or_else(|| panic!("{table}"));
    TABLES.iter().map(|(table, _)| ((*table).to_owned(), keys(of(table)))).collect()
}

#[test]
fn every_key_stands_in_the_reference_job() {
    let text = reference();
    for (table, keys) in known() {
        for key in keys {
            let forms = [format!("\n{key} = "), format!("# {key} = "), format!("{{ {key} = "), format!(", {key} = ")];
            let headed = text.contains(&format!("\n[{key}]"))
                || text.contains(&format!("\n[{key}."))
                || text.contains(&format!("\n[{table}.{key}]"));
            assert!(headed || forms.iter().any(|form| text.contains(form)), "[{table}] {key}");
        }
    }
}

#[test]
fn the_schema_knows_the_keys_that_the_code_knows() {
    let printed = World::new().overnight(&["schema"]);
    assert_eq!(printed.stdout, SCHEMA);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    for ((table, keys), (_, pointer)) in known().into_iter().zip(TABLES) {
        let properties = schema.pointer(&format!("{pointer}/properties")).and_then(Value::as_object).unwrap();
        let properties: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(properties, keys, "[{table}]");
    }
}
