//! An input that changed between two nights: rows before the change are found by their number, and nothing else comes of it
//! than where all are found by what they ask.

use std::collections::BTreeMap;
use std::fs;

use fastrand::Rng;
use overnight::event::Summary;
use overnight::sim::answer_mark;
use serde_json::{Value, json};

use crate::night::Night;

const VERBS: [&str; 2] = ["Tag", "Label"];

/// A job over the files of a folder, with this verb in its prompt and these lines about its rows and its run.
fn job(verb: &str, input: &str, run: &str) -> String {
    format!(
        r#"
        [input]
        path = "in/*.jsonl"
        {input}
        [output]
        path = "out.jsonl"
        [tasks.tag]
        model = "p/m"
        prompt = "{verb} {{{{ text }}}}"
        [run]
        concurrency = 4
        {run}
        [providers.p]
        base_url = "http://p.test/v1"
        "#
    )
}

/// Some of them are alike in all that they say, and some cannot be rendered. There are marks between them.
fn row(rng: &mut Rng) -> Value {
    let number = rng.u32(..40);
    let pad = "x".repeat(300 + number as usize);
    if number == 0 {
        return json!({ "key": "broken", "pad": pad });
    }
    json!({ "key": format!("r{}", number / 2), "text": format!("text {number}"), "pad": pad })
}

fn edit(rows: &mut Vec<Value>, gone: &mut Vec<Value>, rng: &mut Rng) {
    let at = rng.usize(..=rows.len());
    match rng.u8(..8) {
        0..4 => rows.extend((0..rng.usize(1..12)).map(|_| row(rng)).collect::<Vec<_>>()),
        4 => rows.insert(at, row(rng)),
        5 => gone.extend(rows.drain(at..rows.len().min(at + 3))),
        6 => rows.append(gone),
        _ => {
            if let Some(edited) = rows.get_mut(at) {
                *edited = row(rng);
            }
        }
    }
}

/// The same nights twice: with the marks that a run leaves, and without.
struct Twins([Night; 2]);

impl Twins {
    fn new() -> Self {
        Self([0, 1].map(|_| {
            let mut night = Night::new("", []);
            night.provider("p", json!({ "latency": "1s" }));
            night
        }))
    }

    /// Writes the rows into two files, parted at `split`; the last line may have no end.
    fn write(&self, job: &str, rows: &[Value], split: usize, end: &str) {
        for night in &self.0 {
            night.world.write("job.toml", job);
            for (name, part) in ["in/a.jsonl", "in/b.jsonl"].into_iter().zip([&rows[..split], &rows[split..]]) {
                let lines: Vec<String> = part.iter().map(Value::to_string).collect();
                let text = lines.join("\n") + if part.is_empty() { "" } else { end };
                // A file that stays as it is keeps its times, too.
                if !fs::read_to_string(night.world.path(name)).is_ok_and(|old| old == text) {
                    night.world.write(name, text);
                }
            }
        }
    }

    async fn run(&self) -> [Summary; 2] {
        let _ = fs::remove_file(self.0[1].world.path(".overnight/job/marks"));
        [self.0[0].run().await, self.0[1].run().await]
    }
}

/// What the results say, by what was asked: of rows that are the same, any may have the one answer or the other.
fn answers(night: &Night) -> BTreeMap<String, Vec<String>> {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for result in night.results() {
        let content = result["content"].as_str().unwrap().to_owned();
        let text = result["input"]["text"].as_str().unwrap();
        let fits = VERBS.iter().any(|verb| content.starts_with(&answer_mark(&format!("{verb} {text}"))));
        assert!(fits, "the answer of another row: {result}");
        answers.entry(result["input"].to_string()).or_default().push(content);
    }
    for contents in answers.values_mut() {
        contents.sort_unstable();
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn whatever_is_done_to_an_input_rows_find_what_they_find_by_key() {
    for seed in 0..12 {
        let (mut rng, twins) = (Rng::with_seed(seed), Twins::new());
        let mut rows: Vec<Value> = (0..20).map(|_| row(&mut rng)).collect();
        let mut gone = Vec::new();
        let input = if rng.bool() { "id = \"key\"" } else { "" };
        let keep = !input.is_empty() && rng.bool();
        let (mut verb, mut split) = (VERBS[0], 8);
        for night in 0..7 {
            let stops = night < 6 && rng.u8(..3) == 0;
            let run = if keep { "on_change = \"keep\"" } else { "" };
            let run = run.to_owned() + if stops { "\ndeadline = \"6s\"\ndrain = \"3s\"" } else { "" };
            twins.write(&job(verb, input, &run), &rows, split.min(rows.len()), ["", "\n"][rng.usize(..2)]);
            let summaries = twins.run().await;
            let told = summaries.clone().map(|summary| (summary.exit_code, summary.rows, summary.attempts));
            assert_eq!(told[0], told[1], "seed {seed}, night {night}");
            if summaries[0].stop_reason.is_none() {
                let [marked, plain] = &twins.0;
                assert_eq!(marked.results().len() + marked.errors().len(), rows.len());
                assert_eq!(answers(marked), answers(plain), "seed {seed}, night {night}");
            }
            edit(&mut rows, &mut gone, &mut rng);
            verb = if rng.u8(..5) == 0 { VERBS[1] } else { VERBS[0] };
            split = if rng.u8(..5) == 0 { rng.usize(..12) } else { split };
        }
    }
}

/// Makes what is on record that of keys that no row has.
fn forget_keys(night: &Night) {
    let state = night.world.path(".overnight/job");
    let log = fs::read_to_string(state.join("results.log")).unwrap();
    let lines = log.split_inclusive('\n').map(|line| match line.split_once("\"key\":\"") {
        Some((before, after)) => format!("{before}\"key\":\"00000000{}", &after[8..]),
        None => line.to_owned(),
    });
    fs::write(state.join("results.log"), lines.collect::<String>()).unwrap();
    fs::remove_dir_all(state.join("sled")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn rows_before_a_change_are_not_looked_up_by_key() {
    let row = |n: usize| json!({ "key": n, "text": format!("text {n}"), "pad": "x".repeat(900) });
    let rows: Vec<Value> = (1..=30).map(row).collect();
    let (mut appended, mut edited) = (rows.clone(), rows.clone());
    appended.push(row(31));
    edited[24]["text"] = json!("edited");
    // Of an edited one those from the mark before it on are looked up, and not found.
    for (changed, marks, asked) in [(&appended, true, 1..=1), (&appended, false, 31..=31), (&edited, true, 6..=12)] {
        let mut night = Night::new(&job("Tag", "id = \"key\"", ""), []);
        night.provider("p", json!({}));
        let lines = |rows: &[Value]| rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
        night.world.write("in/a.jsonl", lines(&rows));
        assert_eq!(night.run().await.attempts, 30);
        forget_keys(&night);
        if !marks {
            fs::remove_file(night.world.path(".overnight/job/marks")).unwrap();
        }
        night.world.write("in/a.jsonl", lines(changed));
        let attempts = night.run().await.attempts;
        assert!(asked.contains(&attempts), "{attempts}, not {asked:?}");
        assert_eq!(answers(&night).len(), changed.len());
        assert_eq!(night.run().await.attempts, 0);
    }
}
