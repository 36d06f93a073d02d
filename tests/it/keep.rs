//! `run.on_change = "keep"`: answers outlast a change of the job, where the row's own values are as they were.

use std::collections::HashMap;

use overnight::sim::answer_mark;
use serde_json::{Value, json};

use crate::incremental::{Job, row, rows};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

const KEEP: (&str, &str) = ("[providers.p]", "[run]\non_change = \"keep\"\n[providers.p]");

/// The prompt that each result answers, by its verb.
fn verbs(job: &Job, rows: &[Value], verbs: &[&str]) -> Vec<String> {
    let results = job.world.lines("out.jsonl");
    assert_eq!(results.len(), rows.len());
    let verb_of = |(row, result): (&Value, &Value)| {
        assert_eq!(result["input"], *row);
        let (text, content) = (row["text"].as_str().unwrap(), result["content"].as_str().unwrap());
        let fits = |verb: &&&str| content.starts_with(&answer_mark(&format!("{verb} {text}")));
        (*verbs.iter().find(fits).unwrap_or_else(|| panic!("{result}"))).to_owned()
    };
    rows.iter().zip(&results).map(verb_of).collect()
}

#[test]
fn a_changed_job_sends_edited_and_new_rows_alone() {
    let job = Job::new();
    let mut rows = rows(40);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 40);

    job.set(&[KEEP, ("Tag {{", "Label {{"), ("\"p/s\"", "\"p/better\"")]);
    assert_eq!(job.calls(&[]), 0);
    let old = ["Tag", "Sum"];
    assert!(verbs(&job, &rows, &old).iter().all(|verb| verb != "Label"));
    assert_eq!(job.world.lines("out.jsonl")[0]["model"], "s", "the model that answered");

    // What no template uses is no change of the row.
    rows[1]["note"] = json!("seen");
    rows[3]["text"] = json!("edited");
    rows[4]["text"] = json!("edited too");
    rows.insert(0, row(50));
    rows.swap(10, 20);
    rows.remove(30);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 3);
    let all = verbs(&job, &rows, &["Tag", "Sum", "Label"]);
    assert_eq!((all[0].as_str(), all[4].as_str(), all[2].as_str()), ("Label", "Label", "Tag"));
    assert_eq!(job.world.lines("out.jsonl")[5]["model"], "better");
    // By number as by key, and over one more change.
    assert_eq!(job.calls(&[]), 0);
    job.set(&[KEEP, ("Tag {{", "Name {{")]);
    assert_eq!(job.calls(&[]), 0);
    assert_eq!(verbs(&job, &rows, &["Tag", "Sum", "Label", "Name"]), all);

    // Kept no more: all that asks otherwise is sent, and told first.
    job.set(&[("Tag {{", "Name {{")]);
    let ran = job.run(&[]);
    assert_eq!(ran.summary()["attempts"], 21, "{ran:?}");
    assert!(ran.stderr.contains("the job changed (run.on_change): 21 rows"), "{ran:?}");
}

#[test]
fn every_command_sees_the_answers_that_are_kept() {
    let job = Job::new();
    let mut rows = rows(30);
    job.input(&rows);
    assert_eq!(job.calls(&[]), 30);
    job.set(&[KEEP, ("Tag {{", "Label {{")]);
    rows.reverse();
    rows[0]["text"] = json!("edited");
    job.input(&rows);
    let json = |args: &[&str]| job.world.overnight(&[args, &["--json"]].concat()).summary();

    let plan = json(&["plan", "job.toml"]);
    assert_eq!((&plan["remaining"], &plan["resend"]["row_changed"]), (&json!(1), &json!(1)), "{plan}");
    let kept = json(&["explain", "job.toml", "2"]);
    assert_eq!((&kept["reason"], &kept["outcome"]["kept"]), (&Value::Null, &json!(false)), "a row of the other task");
    let kept = json(&["explain", "job.toml", "3"]);
    assert_eq!((&kept["reason"], &kept["outcome"]["kept"]), (&Value::Null, &json!(true)), "{kept}");
    let text = job.world.overnight(&["explain", "job.toml", "--id", "r28"]).stdout;
    assert!(text.contains("not sent again: the job changed since, and run.on_change keeps"), "{text}");
    let export = job.world.overnight(&["export", "job.toml", "--format", "jsonl", "-o", "-"]);
    assert_eq!(export.stdout.lines().count(), 29);
    let pruned = json(&["prune", "job.toml", "--dry-run"]);
    assert_eq!((&pruned["without_outcome"], &pruned["kept"]), (&json!(1), &json!(29)), "{pruned}");
    let part = job.run(&["--limit", "5", "--output", "-"]);
    assert_eq!((part.code, part.stdout.lines().count()), (Some(0), 5), "{part:?}");

    assert_eq!(job.calls(&[]), 0);
    let before = job.world.read("out.jsonl");
    let pruned = json(&["prune", "job.toml"]);
    assert_eq!((&pruned["kept"], &pruned["forgotten"]["outcomes"]), (&json!(30), &json!(1)), "{pruned}");
    assert_eq!(job.calls(&[]), 0);
    job.set(&[KEEP, ("Tag {{", "Name {{")]);
    assert_eq!(job.calls(&[]), 0);
    assert_eq!(job.world.read("out.jsonl"), before);
    let export = job.world.overnight(&["export", "job.toml", "--format", "jsonl", "-o", "-"]);
    assert_eq!(export.stdout, before);
    let report = json(&["report", "job.toml", "--run", "all"]);
    assert_eq!(report["rows_now"]["rows"]["succeeded"], 30, "{report}");
}

#[test]
fn a_prompt_that_uses_more_keeps_what_rows_had_before_and_then_minds_the_new_column() {
    let job = Job::new();
    let mut rows: Vec<Value> = rows(10);
    for row in &mut rows {
        row["Long Title"] = json!("title");
    }
    job.input(&rows);
    assert_eq!(job.calls(&[]), 10);
    let wider = ("Tag {{ text }}", "Tag {{ text }} of {{ row['Long Title'] }}");
    rows[1]["Long Title"] = json!("edited");
    job.input(&rows);
    job.set(&[KEEP, wider]);
    assert_eq!(job.calls(&[]), 0, "the old answers were not made of titles");
    job.set(&[wider]);
    assert_eq!(job.calls(&[]), 5);
    rows[1]["Long Title"] = json!("edited again");
    job.input(&rows);
    job.set(&[KEEP, ("Tag {{ text }}", "Label {{ text }} of {{ row['Long Title'] }}")]);
    assert_eq!(job.calls(&[]), 1, "and those of now are");
}

#[test]
fn failed_rows_are_tried_as_ever_with_what_the_job_asks_now() {
    let job = Job::new();
    job.input(&rows(10));
    let failing = [("\"p/m\"", "\"p/fail-500\""), ("\"p/s\"", "\"p/fail-400\"")];
    let once = ("[providers.p]", "[retry]\nmax_attempts = 1\n[providers.p]");
    job.set(&[failing[0], failing[1], once]);
    assert_eq!(job.run(&[]).code, Some(4));

    job.set(&[KEEP, ("Tag {{", "Label {{"), ("Sum {{", "Count {{")]);
    let ran = job.run(&[]);
    let state = &ran.summary()["rows"];
    assert_eq!((&state["succeeded"], &state["failed_before"]), (&json!(5), &json!(5)), "{ran:?}");
    assert_eq!(ran.summary()["attempts"], 5);
    let all = job.run(&["--set", "run.retry_failed=all"]);
    assert_eq!((all.code, &all.summary()["attempts"]), (Some(0), &json!(5)), "{all:?}");
    assert_eq!(verbs(&job, &rows(10), &["Label", "Count"]).len(), 10);
    assert_eq!(job.calls(&[]), 0);
}

#[test]
fn a_row_that_a_template_could_not_render_is_looked_at_anew() {
    let job = Job::new();
    let mut rows = rows(6);
    rows[1].as_object_mut().unwrap().remove("text");
    job.input(&rows);
    assert_eq!(job.run(&[]).code, Some(4));
    job.set(&[KEEP, ("Tag {{ text }}", "Tag {{ text | default('nothing') }}")]);
    assert_eq!(job.calls(&[]), 1);
}

/// Rows whose photos show each something else.
fn photographed(job: &Job, count: usize) -> Vec<Value> {
    let mut rows = rows(count);
    for (n, row) in rows.iter_mut().enumerate() {
        let photo = format!("{n}.png");
        job.world.write(&photo, [PNG, photo.as_bytes()].concat());
        row["photo"] = json!(photo);
    }
    rows
}

/// Another picture in the same file.
fn retouch(job: &Job, photo: &str) {
    job.world.write(photo, [PNG, b"retouched"].concat());
}

#[test]
fn an_answer_outlasts_a_change_of_the_job_and_not_one_of_its_image() {
    for prompt in ["Tag {{ row }}", "Tag {{ text }}"] {
        let job = Job::new();
        job.input(&photographed(&job, 10));
        let asks = |prompt: &str| format!("{prompt}\"\nimages = [\"{{{{ photo }}}}\"]");
        job.set(&[("Tag {{ text }}\"", &asks(prompt))]);
        assert_eq!(job.calls(&[]), 10);
        job.set(&[KEEP, ("Tag {{ text }}\"", &asks(&prompt.replace("Tag", "Label")))]);
        assert_eq!(job.calls(&[]), 0, "{prompt}");
        retouch(&job, "1.png");
        assert_eq!(job.calls(&[]), 1, "{prompt}");
        assert_eq!(job.calls(&[]), 0, "{prompt}");
    }
}

#[test]
fn images_that_a_task_did_not_send_before_send_no_row_again_until_it_has_been_asked_with_its_own() {
    let job = Job::new();
    job.input(&photographed(&job, 10));
    assert_eq!(job.calls(&[]), 10);
    let with_images = ("Tag {{ text }}\"", "Tag {{ text }}\"\nimages = [\"{{ photo }}\"]");
    job.set(&[KEEP, with_images]);
    assert_eq!(job.calls(&[]), 0);
    retouch(&job, "1.png");
    assert_eq!(job.calls(&[]), 0, "the old answers were not made of images");
    job.set(&[with_images]);
    assert_eq!(job.calls(&[]), 5);
    job.set(&[KEEP, ("Tag {{ text }}\"", "Label {{ text }}\"\nimages = [\"{{ photo }}\"]")]);
    retouch(&job, "3.png");
    assert_eq!(job.calls(&[]), 1, "and those of now are");
}

#[test]
fn rows_that_share_an_id_keep_their_answers_though_only_some_have_an_image() {
    let job = Job::new();
    let mut rows = photographed(&job, 8);
    for row in &mut rows {
        (row["key"], row["task_type"]) = (json!("shared"), json!("tag"));
    }
    for row in rows.iter_mut().step_by(2) {
        row["photo"] = json!("");
    }
    job.input(&rows);
    job.set(&[("Tag {{ text }}\"", "Tag {{ text }}\"\nimages = [\"{{ photo }}\"]")]);
    assert_eq!(job.calls(&[]), 8);
    job.set(&[KEEP, ("Tag {{ text }}\"", "Label {{ text }}\"\nimages = [\"{{ photo }}\"]")]);
    assert_eq!(job.calls(&[]), 0);
    assert!(verbs(&job, &rows, &["Tag", "Label"]).iter().all(|verb| verb == "Tag"));
    retouch(&job, "1.png");
    rows[3]["photo"] = json!("");
    job.input(&rows);
    assert_eq!(job.calls(&[]), 2, "another image, and none any more");
}

#[test]
fn a_failure_that_no_model_told_is_not_kept_where_it_was_copied_either() {
    let job = Job::new();
    let mut rows = rows(4);
    for at in [1, 3] {
        rows[at]["text"] = json!("word ".repeat(300));
    }
    job.input(&rows);
    let small = "[models.\"p/m\"]\nprovider = \"p\"\nmodel = \"m\"\ncontext = 100\n[run]\ndedupe = true\n";
    job.set(&[("[providers.p]", &format!("{small}[providers.p]"))]);
    let ran = job.run(&[]);
    assert_eq!((ran.code, &ran.summary()["attempts"]), (Some(4), &json!(2)), "{ran:?}");
    let kept = format!("{small}on_change = \"keep\"\n[providers.p]");
    job.set(&[("[providers.p]", &kept), ("Tag {{ text }}", "Tag {{ text | truncate_tokens(10) }}")]);
    let ran = job.run(&[]);
    let state = &ran.summary()["rows"];
    assert_eq!((ran.code, &state["succeeded"], &state["failed_before"]), (Some(0), &json!(4), &json!(0)), "{ran:?}");
    assert_eq!(ran.summary()["attempts"], 1, "and they are asked once");
}

#[test]
fn answers_outlast_a_change_of_the_rules_that_they_were_held_against() {
    let job = Job::new();
    job.input(&rows(10));
    let rule = |rule: &str| ("[tasks.sum]", format!("[tasks.tag.answer]\n{rule}\n[tasks.sum]"));
    let (tables, old) = rule(
        "schema = { type = \"object\", required = [\"mood\"], properties = { mood = { enum = [\"good\", \"bad\"] } } }",
    );
    job.set(&[(tables, &old)]);
    assert_eq!(job.calls(&[]), 10);
    let moods =
        |job: &Job| -> Vec<Value> { job.world.lines("out.jsonl").iter().map(|line| line["data"].clone()).collect() };
    let before = moods(&job);
    assert!(before[1]["mood"].is_string() && before[0].is_null(), "{before:?}");
    // No old answer fits this one, and each stands as it was given.
    let new = old.replace("mood", "feeling");
    job.set(&[KEEP, (tables, &new)]);
    assert_eq!(job.calls(&[]), 0);
    assert_eq!(moods(&job), before);
    let mut rows = rows(10);
    rows[1]["text"] = json!("edited");
    job.input(&rows);
    assert_eq!(job.calls(&[]), 1);
    assert!(moods(&job)[1]["feeling"].is_string(), "{:?}", moods(&job));
    assert_eq!(moods(&job)[2..], before[2..]);
}

#[test]
fn rows_without_an_id_are_sent_again_and_told() {
    let job = Job::new();
    let mut rows = rows(10);
    rows[1]["key"] = Value::Null;
    job.input(&rows);
    assert_eq!(job.calls(&[]), 10);
    job.set(&[KEEP, ("Tag {{", "Label {{")]);
    let ran = job.run(&[]);
    assert_eq!(ran.summary()["attempts"], 1);
    assert!(ran.stderr.contains("the job changed (tasks.tag.prompt): 1 row that is done"), "{ran:?}");
}

#[test]
fn it_needs_to_be_told_what_the_id_is() {
    let job = Job::new();
    job.input(&rows(1));
    job.set(&[("id = \"key\"", ""), KEEP]);
    let ran = job.world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("job.toml:") && ran.stderr.contains("run.on_change: keeps answers"), "{ran:?}");
    assert!(ran.stderr.contains("id = \"review_id\" under [input]"), "{ran:?}");
}

/// Nights of edits, moves, rows that go and come back, and changed prompts, with ids that stand more than once: the calls of
/// each are those of rows for whose id and text (and prompt, where answers are not kept) there are not enough answers yet,
/// every answer is one to the row's own text, and what was paid stays in the totals.
#[test]
fn over_many_nights_each_answer_is_paid_for_once() {
    for (seed, keeps) in [(7, true), (8, false)] {
        nights(&mut fastrand::Rng::with_seed(seed), keeps);
    }
}

fn nights(random: &mut fastrand::Rng, keeps: bool) {
    let job = Job::new();
    let (mut rows, mut answers, mut prompts) = (Vec::new(), HashMap::<String, usize>::new(), Vec::new());
    let mut paid = 0;
    for night in 0..7 {
        change_rows(&mut rows, night, random);
        job.input(&rows);
        let verb = format!("Tag{}", if random.bool() { night } else { 0 });
        let ask = format!("{verb} {{{{ text }}}}");
        let prompts_of_night = [("Tag {{ text }}", ask.as_str()), ("Sum {{ text }}", &ask)];
        job.set(&prompts_of_night.into_iter().chain(keeps.then_some(KEEP)).collect::<Vec<_>>());
        let asked = if keeps { String::new() } else { verb.clone() };
        prompts.push(verb);
        let mut needed = HashMap::<String, usize>::new();
        for row in &rows {
            *needed.entry(format!("{asked} {} {}", row["key"], row["text"])).or_default() += 1;
        }
        let mut expected = 0;
        for (row, count) in needed {
            let had = answers.entry(row).or_default();
            expected += count.saturating_sub(*had);
            *had = count.max(*had);
        }
        assert_eq!(job.calls(&[]), expected as u64, "night {night}");
        paid += expected;
        let known: Vec<&str> = if keeps { prompts.iter().map(String::as_str).collect() } else { vec![&prompts[night]] };
        verbs(&job, &rows, &known);
        assert_eq!(job.calls(&[]), 0, "night {night}");
    }
    let report = job.world.overnight(&["report", "job.toml", "--run", "all", "--json"]).summary();
    assert_eq!(report["totals"]["attempts"], paid);
}

/// New rows anywhere, of which a third has an id that stands already, and edits, moves and removals.
fn change_rows(rows: &mut Vec<Value>, night: usize, random: &mut fastrand::Rng) {
    for _ in 0..150 {
        let mut row = row(random.usize(..900));
        row["text"] = json!(format!("text {}", random.usize(..2)));
        rows.insert(random.usize(..=rows.len()), row);
    }
    for _ in 0..60 {
        let at = random.usize(..rows.len());
        match random.u8(..4) {
            0 => rows[at]["text"] = json!(format!("text {}", random.usize(..3))),
            1 => rows[at]["note"] = json!(night),
            2 => drop(rows.remove(at)),
            _ => {
                let other = random.usize(..rows.len());
                rows.swap(at, other);
            }
        }
    }
}
