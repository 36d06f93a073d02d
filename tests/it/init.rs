//! From data or an example to a job file that runs; help, completions, man page.

use crate::world::{Ran, World};

const REVIEWS: &str = "stars,review_id,review\n5,a,\"Very good, and\nit lasts\"\n1,b,Broken on the first day\n";

/// A world in which `init` made a job of simulated answers, and what it said.
fn init(world: &World, data: &str) -> Ran {
    world.overnight(&["init", data, "--model", "sim/any"])
}

fn contents(world: &World, job: &str, results: &str) -> usize {
    let ran = world.overnight(&["run", job, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world.lines(results).len()
}

#[test]
fn a_csv_becomes_a_job_that_runs() {
    let world = World::new();
    world.write("data/reviews.csv", REVIEWS);
    let made = init(&world, "data/reviews.csv");
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(made.stdout, "wrote reviews.toml\nmodel sim/any: as asked for\nnext: overnight run reviews.toml\n");
    insta::assert_snapshot!(world.read("reviews.toml"), @r##"
    # Made by `overnight init`. It runs as it is:
    #
    #   overnight run reviews.toml --limit 5
    #   overnight run reviews.toml

    # Columns: stars, review_id, review
    [input]
    path = "data/reviews.csv"
    id = "review_id"   # with it a row keeps its answer when it moves
    # where = "..."                   # rows to take, such as "lang == 'en'"; default: all

    [output]
    path = "out/reviews.jsonl"   # or .csv; failed rows go to .errors.jsonl
    # include = ["..."]               # input columns to copy; default: all

    [tasks.default]
    model = "sim/any"   # as asked for
    # fallback = ["provider/model"]   # tried when the model before fails
    # Say here what is to be done; {{ column }} stands for a row's value.
    prompt = """
    Summarize this in one sentence.

    {{ review }}"""
    params = { temperature = 0, max_tokens = 200 }

    # A provider of invented answers, for a rehearsal without key and cost.
    [providers.sim]
    kind = "simulated"

    [run]
    concurrency = 16                  # calls in flight at most
    "##);
    assert_eq!(contents(&world, "reviews.toml", "out/reviews.jsonl"), 2);
}

#[test]
fn folders_arrays_task_types_and_batch_files_run_too() {
    let world = World::new();
    world.write("letters/a.txt", "Dear Ada");
    world.write("letters/b.md", "Dear Bob");
    assert_eq!(init(&world, "letters").code, Some(0));
    assert_eq!(contents(&world, "letters.toml", "out/letters.jsonl"), 2);

    world.write(
        "array.json",
        r#"[{"odd name": "some text", "task_type": "tag"}, {"odd name": "x", "task_type": "a b"}]"#,
    );
    assert_eq!(init(&world, "array.json").code, Some(0));
    let job = world.read("array.toml");
    assert!(job.contains("[tasks.tag]") && job.contains("[tasks.\"a b\"]") && job.contains("[tasks.default]"), "{job}");
    assert_eq!(contents(&world, "array.toml", "out/array.jsonl"), 2);

    let line = r#"{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Hi"}]}}"#;
    world.write("batch.jsonl", line);
    assert_eq!(init(&world, "batch.jsonl").code, Some(0));
    assert_eq!(contents(&world, "batch.toml", "out/batch.jsonl"), 1);

    let elsewhere = world.overnight(&["init", "letters", "--model", "sim/any", "-o", "jobs/deep/l.toml"]);
    assert_eq!(elsewhere.code, Some(0), "{elsewhere:?}");
    assert!(world.read("jobs/deep/l.toml").contains("path = \"../../letters\""));
    assert_eq!(contents(&world, "jobs/deep/l.toml", "jobs/deep/out/letters.jsonl"), 2);
}

#[test]
fn nothing_is_overwritten() {
    let world = World::new();
    world.write("reviews.csv", REVIEWS);
    world.write("reviews.toml", "mine");
    let refused = init(&world, "reviews.csv");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("reviews.toml: is there already") && refused.stderr.contains("hint: -o"));
    assert_eq!(world.read("reviews.toml"), "mine");

    world.write("data/tickets.csv", "mine");
    assert_eq!(world.overnight(&["init", "--example", "tag-csv"]).code, Some(1));
    assert!(!world.path("tag-csv.toml").exists(), "all or nothing");
}

#[test]
fn the_model_follows_from_the_keys_that_are_set() {
    let world = World::new();
    let output = world.command(&["init"]).env("MISTRAL_API_KEY", "k").output().unwrap();
    assert!(output.status.success());
    assert!(world.read("sample.toml").contains("\"mistral/mistral-small-latest\"   # MISTRAL_API_KEY is set"));
    let without = world.overnight(&["init", "sample.csv", "--model", "openai/gpt-4o-mini", "-o", "b.toml"]);
    assert!(without.stdout.contains("before it runs:") && without.stdout.contains("OPENAI_API_KEY is not set"));
}

#[test]
fn an_unknown_example_lists_those_there_are() {
    let refused = World::new().overnight(&["init", "--example", "nope"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("no example is called \"nope\"; there are:\n  quickstart"), "{}", refused.stderr);
    assert!(refused.stderr.contains("\n  nightly "));
    assert!(refused.stderr.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn help_is_short_and_help_of_a_command_has_examples() {
    let world = World::new();
    let commands = "run plan explain status report errors retry export control prune init sim schema completions man";
    for command in commands.split(' ') {
        let short = world.overnight(&[command, "--help"]);
        assert_eq!(short.code, Some(0), "{short:?}");
        assert!(!short.stdout.contains("Examples:"), "{command}");
        let long = world.overnight(&["help", command]).stdout;
        assert!(long.contains("Examples:"), "{command}");
        let examples = long.split("Examples:").nth(1).unwrap();
        assert!(examples.lines().all(|line| line.chars().count() <= 90), "{examples}");
    }
}

#[test]
fn completions_and_man_page_know_every_command() {
    let world = World::new();
    let help = world.overnight(&["--help"]).stdout;
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"run") && names.contains(&"man"), "{help}");
    let man = world.overnight(&["man"]).stdout;
    let bash = world.overnight(&["completions", "bash"]).stdout;
    for name in names {
        assert!(man.contains(name) && bash.contains(name), "{name}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(world.overnight(&["completions", shell]).stdout.contains("overnight"), "{shell}");
    }
    assert!(world.overnight(&["man", "run"]).stdout.contains("sample"));
    assert_eq!(world.overnight(&["man", "rum"]).code, Some(2));
}
