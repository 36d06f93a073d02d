//! What is sent again after the input or the job changed: what the change touches, and nothing else.

use overnight::sim::answer_mark;
use serde_json::{Value, json};

use crate::world::{Ran, SimServer, World};

/// A job in a folder that asks one simulator.
pub struct Job {
    pub world: World,
    pub sim: SimServer,
    text: String,
}

impl Job {
    /// Two tasks over JSONL whose `key` column is the id.
    pub fn new() -> Self {
        let sim = SimServer::start(json!({ "count_marks": true }));
        let text = format!(
            r#"
            [input]
            path = "in.jsonl"
            id = "key"
            [output]
            path = "out.jsonl"
            [tasks.tag]
            model = "p/m"
            prompt = "Tag {{{{ text }}}}"
            [tasks.sum]
            model = "p/s"
            prompt = "Sum {{{{ text }}}}"
            [providers.p]
            base_url = "{}"
            "#,
            sim.url()
        );
        let job = Self { world: World::new(), sim, text };
        job.set(&[]);
        job
    }

    /// Writes the job file with these replacements.
    pub fn set(&self, changes: &[(&str, &str)]) {
        let change = |text: String, (from, to): &(&str, &str)| {
            assert!(text.contains(from), "{from} is not in the job");
            text.replace(from, to)
        };
        self.world.write("job.toml", changes.iter().fold(self.text.clone(), change));
    }

    pub fn input(&self, rows: &[Value]) {
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        self.world.write("in.jsonl", rows.join("\n"));
    }

    pub fn run(&self, flags: &[&str]) -> Ran {
        self.world.overnight(&[&["run", "job.toml", "--json"], flags].concat())
    }

    /// Runs to a good end; the calls that it took.
    pub fn calls(&self, flags: &[&str]) -> u64 {
        let before = self.sim.ledger().requests;
        let ran = self.run(flags);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let calls = self.sim.ledger().requests - before;
        assert_eq!(ran.summary()["attempts"], calls);
        calls
    }

    /// Each row has the answer to its own prompt, in the order of the input.
    pub fn results_fit(&self, rows: &[Value]) {
        let results = self.world.lines("out.jsonl");
        assert_eq!(results.len(), rows.len());
        for ((number, row), result) in (1..).zip(rows).zip(&results) {
            assert_eq!((&result["row"], &result["id"], &result["input"]), (&json!(number), &row["key"], row));
            let verb = if row["task_type"] == "tag" { "Tag" } else { "Sum" };
            let mark = answer_mark(&format!("{verb} {}", row["text"].as_str().unwrap()));
            assert!(result["content"].as_str().unwrap().starts_with(&mark), "{result}");
        }
    }
}

pub fn row(n: usize) -> Value {
    let task = if n.is_multiple_of(2) { "tag" } else { "sum" };
    json!({"key": format!("r{n}"), "task_type": task, "text": format!("text {n}")})
}

pub fn rows(count: usize) -> Vec<Value> {
    (1..=count).map(row).collect()
}

#[test]
fn an_edited_input_sends_what_is_new_and_what_was_edited() {
    let job = Job::new();
    let mut rows = rows(1_000);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 1_000);

    rows.insert(0, row(5_000));
    rows.extend((6_001..=6_010).map(row));
    for at in [10, 200, 300, 400, 999] {
        rows[at]["text"] = json!(format!("edited {at}"));
    }
    for at in [800, 50, 20] {
        rows.remove(at);
    }
    fastrand::Rng::with_seed(1).shuffle(&mut rows);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 16);
    job.results_fit(&rows);
    assert_eq!(job.calls(&[]), 0);
    job.results_fit(&rows);
}

#[test]
fn another_model_for_a_task_sends_that_task_again_and_the_old_one_back_is_free() {
    let job = Job::new();
    let rows = rows(100);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 100);
    job.set(&[("\"p/s\"", "\"p/better\"")]);
    assert_eq!(job.calls(&[]), 50);
    assert_eq!(job.sim.ledger().by_model["better"].requests, 50);
    let models: Vec<Value> = job.world.lines("out.jsonl").iter().map(|line| line["model"].clone()).collect();
    assert_eq!(models[..4], ["better", "m", "better", "m"]);
    job.set(&[]);
    assert_eq!(job.calls(&[]), 0);
    job.results_fit(&rows);
    assert_eq!(job.world.lines("out.jsonl")[0]["model"], "s");
    // The same from the command line.
    assert_eq!(job.calls(&["--route", "sum=p/better"]), 0);
    assert_eq!(job.calls(&["--model", "p/best"]), 100);
}

#[test]
fn what_decides_no_answer_costs_no_call() {
    let job = Job::new();
    let rows = rows(60);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 60);

    job.set(&[("model = \"p/m\"", "model = \"p/m\"\nfallback = [\"p/other\"]")]);
    assert_eq!(job.calls(&[]), 0, "a fallback");

    let other = SimServer::start(json!({}));
    job.set(&[(job.sim.url(), other.url())]);
    assert_eq!(job.calls(&[]), 0, "a provider's URL");
    assert_eq!(other.ledger().requests, 0);

    job.set(&[("path = \"out.jsonl\"", "path = \"out.jsonl\"\ninclude = [\"text\"]")]);
    assert_eq!(job.calls(&[]), 0, "the columns that are copied");
    assert_eq!(job.world.lines("out.jsonl")[1]["input"], json!({"text": "text 2"}));

    job.set(&[("out.jsonl", "elsewhere/out.csv")]);
    assert_eq!(job.calls(&[]), 0, "the output's place and format");
    let csv = job.world.read("elsewhere/out.csv");
    assert_eq!(csv.lines().count(), 61, "{csv}");
    assert!(csv.lines().nth(2).unwrap().contains(&answer_mark("Tag text 2")), "{csv}");

    job.set(&[("id = \"key\"", "id = \"key\"\nwhere = \"task_type == 'tag'\"")]);
    assert_eq!(job.calls(&[]), 0, "a filter");
    assert_eq!(job.world.lines("out.jsonl").len(), 30);

    job.set(&[("[providers.p]", "[run]\nconcurrency = 3\n[retry]\nmax_attempts = 2\n[providers.p]")]);
    assert_eq!(job.calls(&[]), 0, "how it is run");
    job.results_fit(&rows);
}

#[test]
fn a_prompt_edited_and_edited_back_is_paid_for_once() {
    let job = Job::new();
    job.input(&rows(40));
    assert_eq!(job.calls(&[]), 40);
    job.set(&[("Tag {{", "Tag well {{")]);
    assert_eq!(job.calls(&[]), 20);
    job.set(&[]);
    assert_eq!(job.calls(&[]), 0);
    job.results_fit(&rows(40));
    job.set(&[("Tag {{", "Tag well {{")]);
    assert_eq!(job.calls(&[]), 0);
}

#[test]
fn identical_rows_without_ids_each_have_an_answer_of_their_own() {
    let job = Job::new();
    job.set(&[("id = \"key\"", "")]);
    let row = json!({"task_type": "tag", "text": "the same"});
    let others: Vec<Value> = (1..=5).map(|n| json!({"task_type": "tag", "text": n.to_string()})).collect();
    let twice = [others.clone(), vec![row.clone(), row.clone()]].concat();
    let once = [vec![row.clone()], others.clone()].concat();
    job.input(&twice);
    assert_eq!(job.calls(&[]), 7);
    assert_eq!(job.sim.ledger().answered_by_mark[&answer_mark("Tag the same")], 2);
    assert_eq!(job.world.lines("out.jsonl").len(), 7);
    job.input(&once);
    assert_eq!(job.calls(&[]), 0);
    assert_eq!(job.world.lines("out.jsonl").len(), 6);
    job.input(&twice);
    assert_eq!(job.calls(&[]), 0);
    job.input(&[twice, vec![row]].concat());
    assert_eq!(job.calls(&[]), 1);
}

#[test]
fn a_part_of_the_input_goes_to_a_partial_file_and_is_not_paid_again() {
    let job = Job::new();
    let rows = rows(100);
    job.input(&rows);
    assert_eq!(job.calls(&["--limit", "10"]), 10);
    assert!(!job.world.path("out.jsonl").exists());
    let numbers =
        |name: &str| -> Vec<u64> { job.world.lines(name).iter().map(|line| line["row"].as_u64().unwrap()).collect() };
    assert_eq!(numbers("out.partial.jsonl"), (1..=10).collect::<Vec<u64>>());
    assert!(job.world.path("out.errors.partial.jsonl").exists());

    let first = job.calls(&["--sample", "20"]);
    let sample = numbers("out.partial.jsonl");
    assert_eq!((sample.len(), first), (20, sample.iter().filter(|number| **number > 10).count() as u64));
    assert_eq!(job.calls(&["--sample", "20"]), 0);
    assert_eq!(numbers("out.partial.jsonl"), sample);

    let of_task = |number: &u64| number.is_multiple_of(2);
    let done = (1..=100).filter(|number| of_task(number) && (*number <= 10 || sample.contains(number))).count();
    assert_eq!(job.calls(&["--task", "tag"]), 50 - done as u64);
    assert!(numbers("out.partial.jsonl").iter().all(of_task));
    assert_eq!(numbers("out.partial.jsonl").len(), 50);

    assert_eq!(job.sim.ledger().requests + job.calls(&[]), 100);
    job.results_fit(&rows);
}

#[test]
fn a_part_after_an_edit_does_not_hide_what_is_done() {
    let job = Job::new();
    let mut rows = rows(50);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 50);
    rows.reverse();
    rows.push(row(51));
    job.input(&rows);
    assert_eq!(job.calls(&["--limit", "5"]), 0);
    assert_eq!(job.calls(&["--task", "sum"]), 1);
    assert_eq!(job.calls(&[]), 0);
    job.results_fit(&rows);
}

#[test]
fn a_lasting_failure_is_tried_once_and_a_passing_one_again_in_the_next_run() {
    let job = Job::new();
    job.input(&rows(10));
    job.set(&[
        ("\"p/m\"", "\"p/fail-400\""),
        ("\"p/s\"", "\"p/fail-500\""),
        ("[providers.p]", "[retry]\nmax_attempts = 1\n[providers.p]"),
    ]);
    let first = job.run(&[]);
    assert_eq!((first.code, &first.summary()["rows"]["failed"]), (Some(4), &json!(10)), "{first:?}");
    assert_eq!(job.sim.ledger().requests, 10);

    let second = job.run(&[]);
    let rows = &second.summary()["rows"];
    assert_eq!((second.code, &rows["failed"], &rows["failed_before"]), (Some(4), &json!(5), &json!(5)), "{second:?}");
    assert_eq!(job.sim.ledger().requests, 15);
    assert_eq!(job.world.lines("out.errors.jsonl").len(), 10);

    // Only the lasting ones are left: nothing is sent, and nothing failed in this run.
    let third = job.run(&["--set", "run.retry_failed=none"]);
    let rows = &third.summary()["rows"];
    assert_eq!((third.code, &rows["failed"], &rows["failed_before"]), (Some(0), &json!(0), &json!(10)), "{third:?}");
    assert_eq!(job.sim.ledger().requests, 15);

    let all = job.run(&["--set", "run.retry_failed=all"]);
    assert_eq!((all.code, job.sim.ledger().requests), (Some(4), 25));
    assert_eq!(job.world.lines("out.errors.jsonl").len(), 10);
}

#[test]
fn a_passing_failure_that_passed_leaves_one_result_even_among_identical_rows() {
    let job = Job::new();
    let down = SimServer::start(json!({ "script": [{ "from": 2, "to": 3, "fault": "server_error" }] }));
    job.set(&[
        ("id = \"key\"", ""),
        ("[providers.p]", "[retry]\nmax_attempts = 1\n[providers.p]"),
        (job.sim.url(), down.url()),
    ]);
    let same = || json!({"task_type": "tag", "text": "the same"});
    job.input(&[same(), same(), same()]);
    let first = job.run(&[]);
    assert_eq!((first.code, &first.summary()["rows"]["failed"]), (Some(4), &json!(2)), "{first:?}");
    let second = job.run(&[]);
    assert_eq!((second.code, &second.summary()["rows"]["succeeded"]), (Some(0), &json!(3)), "{second:?}");
    assert_eq!(second.summary()["attempts"], 2);
    assert_eq!((job.world.lines("out.jsonl").len(), job.world.read("out.errors.jsonl")), (3, String::new()));
    // Found by key as well, where the failures that were mended must not come up again.
    job.input(&[same(), same(), json!({"task_type": "sum", "text": "another"}), same()]);
    let third = job.run(&[]);
    assert_eq!((third.code, &third.summary()["attempts"]), (Some(0), &json!(1)), "{third:?}");
    assert_eq!(job.world.lines("out.jsonl").len(), 4);
}

#[test]
fn a_job_that_takes_some_rows_is_matched_by_number_once_it_has_met_them_all() {
    let job = Job::new();
    job.set(&[("id = \"key\"", "id = \"key\"\nwhere = \"task_type == 'tag'\"")]);
    job.input(&rows(20));
    assert_eq!(job.calls(&[]), 10);
    let mut grown = rows(20);
    grown.insert(0, row(22));
    job.input(&grown);
    assert_eq!(job.calls(&[]), 1);
    // The order says so itself.
    let is_matched = || std::fs::read(job.world.path(".overnight/job/order")).unwrap()[24] == 1;
    assert!(is_matched());
    assert_eq!(job.calls(&[]), 0);
    let lines = job.world.lines("out.jsonl");
    assert_eq!((lines.len(), &lines[0]["row"]), (11, &json!(1)));
    // Other rows, another order: those of the other task are not taken for done.
    job.set(&[("id = \"key\"", "id = \"key\"\nwhere = \"task_type == 'sum'\"")]);
    assert_eq!(job.calls(&[]), 10);
    assert!(is_matched());
    assert_eq!(job.calls(&["--where", "text != ''"]), 0);
    job.set(&[]);
    assert_eq!(job.calls(&[]), 0);
    job.results_fit(&grown);
}
