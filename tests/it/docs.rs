//! What the documents say of commands, keys, defaults, kinds and exit codes is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use overnight::job::{Job, JobArgs, JobError, load};
use overnight::sim::SimSettings;
use overnight::types::FailureKind;
use serde_json::json;

use crate::world::World;

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/batch.md",
    "docs/cron.md",
    "docs/exit-codes.md",
    "docs/job-file.md",
    "docs/limits.md",
    "docs/plan.md",
    "docs/prices.md",
    "docs/report.md",
];

/// Resembles no key, so that the hint lists all that are known.
const UNKNOWN: &str = "zzzzqqq";

const JOB: &str = r#"
[input]
path = "rows.jsonl"
[output]
path = "out/rows.jsonl"
[tasks.tag]
model = "cheap"
prompt = "Tag {{ text }}"
[models.cheap]
provider = "gateway"
[providers.gateway]
base_url = "https://gateway.example/v1"
"#;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(name)) => open = Some((name == language, String::new())),
            (None, None) => {}
            (Some(_), Some(_)) => found.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block)),
            (Some((_, block)), None) => block.extend([line, "\n"]),
        }
    }
    found
}

/// The body of the table with this header, under this heading; an empty one stands for any.
fn table(text: &str, heading: &str, header: &str) -> Vec<Vec<String>> {
    let (mut under, mut inside, mut rows) = (heading.is_empty(), false, Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            under = heading.is_empty() || title == heading;
        }
        if !line.starts_with('|') {
            inside = false;
        } else if inside {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        } else {
            inside = under && line.starts_with(header);
        }
    }
    assert!(!rows.is_empty(), "no table {header} under {heading:?}");
    // The line between header and body.
    rows.remove(0);
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn first_cells(rows: &[Vec<String>]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| quoted(&row[0])).collect()
}

/// Loads a job in a folder that has all the files which the documents name; every variable is set.
fn load_in(world: &World, job: &str, set: &[String]) -> Result<Job, JobError> {
    let job_file = world.write("jobs/job.toml", job);
    world.write(".env", "GATEWAY_API_KEY=k");
    world.write("jobs/prompts/summarize.md", "Summarize {{ review }}");
    let args = JobArgs { job_file, set: set.to_vec(), ..JobArgs::default() };
    load(&args, &|_| Some("k".to_owned()))
}

/// The keys that are known where this one is not.
fn known_beside(set: &str) -> BTreeSet<String> {
    let error = load_in(&World::new(), JOB, &[set.to_owned()]).expect_err(set);
    let problem = error.problems.iter().find(|problem| problem.key.ends_with(UNKNOWN)).expect(set);
    let hint = problem.hint.as_deref().and_then(|hint| hint.strip_prefix("known here: ")).expect(set);
    hint.split(", ").map(str::to_owned).collect()
}

fn known_in(table: &str) -> BTreeSet<String> {
    known_beside(&if table.is_empty() { format!("{UNKNOWN}=1") } else { format!("{table}.{UNKNOWN}=1") })
}

fn with_prefix(prefix: &str, keys: BTreeSet<String>) -> impl Iterator<Item = String> {
    keys.into_iter().map(move |key| format!("{prefix}{key}"))
}

#[test]
fn the_job_file_document_has_exactly_the_keys_that_are_known() {
    let sections: [(&str, &[(&str, &str)]); 10] = [
        ("At the top", &[("", "")]),
        ("`[job]`", &[("", "job")]),
        ("`[input]`", &[("", "input")]),
        ("`[output]`", &[("", "output")]),
        ("`[tasks.X]`", &[("", "tasks.tag")]),
        ("`[tasks.X.answer]`", &[("", "tasks.tag.answer")]),
        ("`[models.X]`", &[("", "models.cheap"), ("price.", "models.cheap.price"), ("limits.", "models.cheap.limits")]),
        (
            "`[providers.X]`",
            &[
                ("", "providers.gateway"),
                ("limits.", "providers.gateway.limits"),
                ("timeout.", "providers.gateway.timeout"),
            ],
        ),
        ("`[retry]`", &[("", "retry"), ("backoff.", "retry.backoff")]),
        ("`[run]`", &[("", "run")]),
    ];
    let text = document("docs/job-file.md");
    for (heading, tables) in sections {
        let mut known: BTreeSet<String> =
            tables.iter().flat_map(|(prefix, table)| with_prefix(prefix, known_in(table))).collect();
        if heading == "`[tasks.X]`" {
            known.extend(with_prefix("messages.", known_beside(&format!("tasks.tag.messages=[{{{UNKNOWN}=1}}]"))));
        }
        assert_eq!(first_cells(&table(&text, heading, "| key |")), known, "{heading}");
    }
}

#[test]
fn the_simulators_keys_and_faults_are_told() {
    let text = document("docs/job-file.md");
    let expected = |settings: serde_json::Value| {
        let error = serde_json::from_value::<SimSettings>(settings).unwrap_err().to_string();
        quoted(error.split_once("expected one of").unwrap().1)
    };
    let known = expected(json!({ UNKNOWN: 1 }));
    assert_eq!(first_cells(&table(&text, "The simulator", "| key |")), known);
    let faults = expected(json!({ "faults": { UNKNOWN: 1 } }));
    assert_eq!(first_cells(&table(&text, "The simulator", "| fault |")), faults);
}

/// All of a job but the places in its file.
fn meaning(job: &Job) -> String {
    format!(
        "{:#?}",
        (
            (&job.name, &job.state, &job.input, &job.id, &job.task, &job.filter, job.allow_overrides),
            (&job.output, &job.tasks, job.default_task, &job.providers, &job.models),
            (job.retry, job.concurrency, job.drain, job.deadline, job.max_failures, job.retry_failed, &job.vars),
            (job.max_cost, job.on_outage),
        )
    )
}

#[test]
fn the_defaults_written_out_are_the_defaults() {
    let world = World::new();
    let written = blocks(&document("docs/job-file.md"), "toml");
    let [written] = written.as_slice() else { panic!("{} blocks", written.len()) };
    assert_eq!(meaning(&load_in(&world, written, &[]).unwrap()), meaning(&load_in(&world, JOB, &[]).unwrap()));
}

/// Lays one table over another.
fn lay(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay(below, above),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[test]
fn every_piece_of_a_job_file_loads() {
    for name in DOCUMENTS {
        for block in blocks(&document(name), "toml") {
            let mut job: toml::Table = toml::from_str(&block).unwrap_or_else(|error| panic!("{name}: {error}"));
            // A piece is completed to a job.
            if !job.contains_key("input") {
                let piece = std::mem::replace(&mut job, toml::from_str(JOB).unwrap());
                lay(&mut job, piece);
            }
            let job = toml::to_string(&job).unwrap();
            load_in(&World::new(), &job, &[]).unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
        }
    }
}

#[test]
fn the_quickstarts_job_file_is_there_and_loads() {
    let job_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/quickstart.toml");
    load(&JobArgs { job_file, ..JobArgs::default() }, &|_| None).unwrap();
}

/// The arguments of each `overnight` that a document tells to type.
fn commands(text: &str) -> Vec<Vec<String>> {
    let typed = ["console", "crontab", "sh"].into_iter().flat_map(|language| blocks(text, language));
    let lines: Vec<String> = typed.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let starts = ["cargo run --release -- ", "overnight "];
    let of_line = |line: &String| {
        let (_, arguments) = starts.iter().find_map(|start| line.split_once(start))?;
        let arguments = arguments.split([';', '#']).next()?;
        Some(arguments.split_whitespace().map(str::to_owned).collect())
    };
    lines.iter().filter_map(of_line).collect()
}

#[test]
fn every_command_of_the_documents_parses() {
    let world = World::new();
    let mut seen = 0;
    for name in DOCUMENTS {
        for command in commands(&document(name)) {
            // Arguments are parsed up to the flag that asks for help; then nothing is run.
            let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            arguments.push("--help");
            let ran = world.overnight(&arguments);
            assert_eq!(ran.code, Some(0), "{name}: overnight {}: {}", command.join(" "), ran.stderr);
            seen += 1;
        }
    }
    assert!(seen > 8, "only {seen} commands were found");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = World::new().overnight(&["--help"]).stdout;
    let lines = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let of_line = |line: &str| {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        vec![code.to_owned(), meaning.trim().to_owned()]
    };
    let codes: Vec<Vec<String>> = lines.map(of_line).collect();
    assert!(codes.len() > 5, "{help}");
    for name in ["README.md", "docs/exit-codes.md"] {
        assert_eq!(table(&document(name), "", "| code |"), codes, "{name}");
    }
}

#[test]
fn the_readme_tells_what_follows_from_each_kind_of_failure_once() {
    let mut told: Vec<String> =
        table(&document("README.md"), "", "| kind |").iter().flat_map(|row| quoted(&row[0])).collect();
    let mut kinds: Vec<String> = FailureKind::ALL.map(|kind| kind.name().to_owned()).to_vec();
    told.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(told, kinds);
}

#[test]
fn all_providers_known_by_name_are_named() {
    let set = format!("models.cheap.provider={UNKNOWN}");
    let error = load_in(&World::new(), JOB, &[set]).unwrap_err();
    let hint = error.problems[0].hint.as_deref().unwrap();
    let known = hint.strip_prefix("providers known here: gateway, ").unwrap();
    for name in ["README.md", "docs/job-file.md"] {
        let text = document(name);
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let missing: Vec<&str> = known.split(", ").filter(|provider| !words.contains(provider)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn examples_of_lines_are_json() {
    for name in DOCUMENTS {
        for line in blocks(&document(name), "json").iter().flat_map(|block| block.lines()) {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
        }
    }
}

#[test]
fn links_within_the_repository_lead_somewhere() {
    for name in DOCUMENTS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).parent().unwrap().to_owned();
        for link in document(name).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)) {
            let file = link.split('#').next().unwrap();
            let there = link.starts_with("https://") || folder.join(file).exists();
            assert!(there, "{name}: {link}");
        }
    }
}

#[test]
fn the_table_of_levels_has_exactly_the_rooms_that_are_there() {
    let rows = table(&document("docs/architecture.md"), "Levels", "| level |");
    let told: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[1])).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(source).unwrap().map(Result::unwrap);
    let rooms = entries.filter(|entry| entry.path().is_dir());
    let rooms: BTreeSet<String> = rooms.map(|room| room.file_name().into_string().unwrap()).collect();
    assert_eq!(told, rooms);
}
