//! Inputs as people have them: broken lines, odd encodings, packed files, every shape of row.

use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use overnight::sim::answer_mark;
use serde_json::{Value, json};

use crate::world::{Ran, SimServer, World};

/// A folder with an input, and a job over it.
struct Job {
    world: World,
    sim: SimServer,
}

impl Job {
    fn new(input: &str, content: impl AsRef<[u8]>) -> Self {
        let job = Self { world: World::new(), sim: SimServer::start(json!({})) };
        job.world.write(input, content);
        job.write(&format!("path = \"{input}\""), "prompt = \"Tag {{ text }}\"");
        job
    }

    /// Writes the job file: what stands in `[input]`, and in the only task.
    fn write(&self, input: &str, task: &str) {
        let url = self.sim.url();
        self.world.write(
            "job.toml",
            format!(
                "[input]\n{input}\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"p/m\"\n{task}\n\
                 [providers.p]\nbase_url = \"{url}\"\n"
            ),
        );
    }

    fn run(&self) -> Ran {
        self.world.overnight(&["run", "job.toml", "--json"])
    }

    /// Runs to this exit code; rows that succeeded and rows that failed.
    fn ends(&self, code: i32) -> (usize, usize) {
        let ran = self.run();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        (self.world.lines("out.jsonl").len(), self.world.lines("out.errors.jsonl").len())
    }

    /// Runs to exit 3, which `--json` tells too; nothing was sent.
    fn refused(&self) -> String {
        let ran = self.run();
        assert_eq!((ran.code, self.sim.ledger().requests), (Some(3), 0), "{ran:?}");
        let told = ran.summary();
        assert!(told["exit_code"] == 3 && ran.stderr.contains(told["error"].as_str().unwrap()), "{ran:?}");
        ran.stderr
    }

    fn error(&self, index: usize) -> Value {
        self.world.lines("out.errors.jsonl")[index].clone()
    }

    /// Each result answers this prompt.
    fn answers(&self, prompts: &[&str]) {
        let results = self.world.lines("out.jsonl");
        let contents: Vec<&str> = results.iter().map(|line| line["content"].as_str().unwrap()).collect();
        assert_eq!(contents.len(), prompts.len(), "{contents:?}");
        for (content, prompt) in contents.iter().zip(prompts) {
            assert!(content.starts_with(&answer_mark(prompt)), "{content:?} is no answer to {prompt:?}");
        }
    }
}

#[test]
fn a_broken_line_fails_alone_with_its_place_and_its_text() {
    let job = Job::new("in.jsonl", "{\"text\":\"a\"}\n{\"text\": oops}\n\n[1]\n{\"text\":\"b\"}\n");
    assert_eq!(job.ends(4), (2, 2));
    job.answers(&["Tag a", "Tag b"]);
    let error = job.error(0);
    assert_eq!(
        (&error["error"]["kind"], &error["at"], &error["row"]),
        (&json!("bad_row"), &json!("in.jsonl:2"), &json!(2))
    );
    assert_eq!(error["input"], "{\"text\": oops}");
    assert_eq!((&error["provider"], &error["attempts"], &error["cost_usd"]), (&Value::Null, &json!(0), &json!(0)));
    assert_eq!(job.error(1)["at"], "in.jsonl:4");
    assert_eq!(job.sim.ledger().requests, 2);
    // It is known by its bytes: the same run again asks nothing, and it failed before.
    let again = job.run();
    assert_eq!((again.code, &again.summary()["rows"]["failed_before"]), (Some(0), &json!(2)), "{again:?}");
}

#[test]
fn a_row_over_max_row_fails_and_the_next_is_read() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(3_000));
    let job = Job::new("in.jsonl", format!("{{\"text\":\"a\"}}\n{long}\n{{\"text\":\"b\"}}"));
    job.write("path = \"in.jsonl\"\nmax_row = \"1KB\"", "prompt = \"Tag {{ text }}\"");
    assert_eq!(job.ends(4), (2, 1));
    let error = job.error(0);
    assert_eq!((&error["error"]["kind"], &error["at"]), (&json!("bad_row"), &json!("in.jsonl:2")));
    assert!(error["error"]["message"].as_str().unwrap().contains("max_row"), "{error}");
}

#[test]
fn rows_of_a_megabyte_pass_whole() {
    let rows: Vec<String> =
        (0..12).map(|n| json!({"text": format!("{n} {}", "y".repeat(1_000_000))}).to_string()).collect();
    let job = Job::new("in.jsonl", rows.join("\n"));
    assert_eq!(job.ends(0), (12, 0));
    assert!(job.sim.ledger().input_tokens > 12 * 250_000);
    let input = &job.world.lines("out.jsonl")[11]["input"]["text"];
    assert_eq!(input.as_str().unwrap().len(), 1_000_003);
}

#[test]
fn a_column_that_no_header_has_is_told_before_anything_is_sent() {
    let job = Job::new("in.csv", "id,txet,lang\n1,hello,en\n");
    let told = job.refused();
    assert!(told.contains("no column \"text\"") && told.contains("did you mean \"txet\"?"), "{told}");
    assert!(told.starts_with("error: ") && told.contains("job.toml:"), "{told}");
}

#[test]
fn a_column_that_none_of_the_first_records_has_is_told_before_anything_is_sent() {
    let rows = |fields: &str, count: usize| format!("{{{fields}}}\n").repeat(count);
    let job = Job::new("rows.jsonl", rows("\"txet\": \"a\"", 1_000) + &rows("\"text\": \"b\"", 1));
    let told = job.refused();
    assert!(told.contains("none of the first 1,000 records has a column \"text\""), "{told}");
    assert!(told.contains("did you mean \"txet\"?"), "{told}");

    // One that has it is enough, broken records have none, and a task that comes later may bring its own.
    let first = rows("\"txet\": \"a\"", 998) + "broken\n" + &rows("\"text\": null", 1);
    job.world.write("rows.jsonl", first + &rows("\"task_type\": \"late\", \"own\": \"c\"", 1));
    let late = "prompt = \"{{ text }}\"\n[tasks.late]\nmodel = \"p/m\"\nprompt = \"{{ own }}\"";
    job.write("path = \"rows.jsonl\"", late);
    let ran = job.world.overnight(&["run", "job.toml", "--json", "--set", "run.max_failures=2000"]);
    assert_eq!((ran.code, &ran.summary()["rows"]["succeeded"]), (Some(4), &json!(1)), "{ran:?}");
}

#[test]
fn a_missing_column_is_told_under_the_key_or_flag_that_names_it() {
    let job = Job::new("rows.csv", "text,lang\na,en\n");
    let two =
        "prompt = \"{{ txt }}\"\n[tasks.sum]\nmodel = \"p/m\"\nsystem = \"In {{ lnag }}\"\nprompt = \"{{ txt }}\"";
    job.write("path = \"rows.csv\"\nid = \"idd\"\nwhere = \"lagn == 'en'\"", two);
    insta::assert_snapshot!(job.refused(), @r#"
    error: job.toml:3:6: input.id: the input has no column "idd"
      hint: the columns are: text, lang
    job.toml:4:9: input.where: the input has no column "lagn"
      hint: did you mean "lang"? The columns are: text, lang
    job.toml:9:10: tasks.tag.prompt: the input has no column "txt"
      hint: did you mean "text"? The columns are: text, lang
    job.toml:12:10: tasks.sum.system: the input has no column "lnag"
      hint: did you mean "lang"? The columns are: text, lang
    job.toml:13:10: tasks.sum.prompt: the input has no column "txt"
      hint: did you mean "text"? The columns are: text, lang
    "#);
    job.write("path = \"rows.csv\"", "prompt = \"{{ text }}\"");
    let told = |args: &[&str]| job.world.overnight(&[&["run", "job.toml"], args].concat()).stderr;
    insta::assert_snapshot!(told(&["--where", "lagn == 'en'"]), @r#"
    error: --where: the input has no column "lagn"
      hint: did you mean "lang"? The columns are: text, lang
    "#);
    insta::assert_snapshot!(told(&["--set", "input.where=lagn == 'en'"]), @r#"
    error: --set: input.where: the input has no column "lagn"
      hint: did you mean "lang"? The columns are: text, lang
    "#);
    job.world.write("rows.jsonl", "{\"text\": \"a\"}");
    insta::assert_snapshot!(told(&["--input", "rows.jsonl", "--set", "input.id=idd"]), @r#"
    error: --set: input.id: none of the first 1,000 records has a column "idd"
      hint: the columns are: text
    "#);
}

#[test]
fn a_filter_over_a_column_that_no_header_has_is_refused_as_it_would_take_no_row() {
    let job = Job::new("rows.csv", "text,lang\na,en\n");
    job.write("path = \"rows.csv\"\nwhere = \"lagn == 'en'\"", "prompt = \"{{ text }}\"");
    assert!(job.refused().contains("did you mean \"lang\"?"));
    job.write("path = \"rows.csv\"\nwhere = \"lagn is not defined\"", "prompt = \"{{ text }}\"");
    let ran = job.world.overnight(&["run", "job.toml", "--where", "lagn == 'en'"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("no column \"lagn\""), "{ran:?}");
    assert_eq!(job.ends(0), (1, 0));
}

#[test]
fn a_name_alone_that_no_column_has_is_told_as_well() {
    let job = Job::new("rows.csv", "text,id\na,1\n");
    for input in ["id = \"idd\"", "where = \"idd\""] {
        job.write(&format!("path = \"rows.csv\"\n{input}"), "prompt = \"{{ text }}\"");
        let told = job.refused();
        assert!(told.contains("no column \"idd\"") && told.contains("did you mean \"id\"?"), "{told}");
    }
    job.world.write("rows.jsonl", "{\"text\": \"a\", \"id\": 1}\nbroken\n{\"text\": \"b\"}\n");
    job.write("path = \"rows.jsonl\"\nid = \"idd\"", "prompt = \"{{ text }}\"");
    assert!(job.refused().contains("none of the first 1,000 records has a column \"idd\""));
    job.write("path = \"rows.jsonl\"\nid = \"id\"", "prompt = \"{{ text }}\"");
    assert_eq!(job.ends(4), (2, 1));
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_told_before_anything_is_sent() {
    let job = Job::new("rows.json", "\n{\"text\": \"a\"}\n");
    insta::assert_snapshot!(job.refused(), @r#"
    error: rows.json:2: an object stands where a JSON array was expected
      hint: if each line is an object, set input.format = "jsonl", else make the file one array of objects
    "#);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    (0..2_000).for_each(|n| writeln!(packed, "{{\"text\": \"row {n} {}\"}}", answer_mark(&n.to_string())).unwrap());
    let whole = packed.finish().unwrap();
    job.write("path = \"rows.jsonl.gz\"", "prompt = \"{{ text }}\"");
    let told = |bytes: &[u8]| {
        job.world.write("rows.jsonl.gz", bytes);
        let ran = job.world.overnight(&["plan", "job.toml"]);
        (ran.code, ran.stderr)
    };
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    for (bytes, code, why) in [
        (&b"{\"text\": \"a\"}\n"[..], 3, "this is no gzip data, though its name says so\n  hint: pack the file"),
        (
            &whole[..whole.len() / 2],
            3,
            "the gzip data is cut short\n  hint: the file was not written or copied in full",
        ),
        (&flipped, 3, "the gzip data is damaged: "),
    ] {
        let (ended, told) = told(bytes);
        assert!(ended == Some(code) && told.contains(why), "{ended:?} {told}");
    }
}

#[test]
fn rows_before_a_break_in_the_file_are_done_and_kept() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    writeln!(packed, "text").unwrap();
    (0..40).for_each(|n| writeln!(packed, "row {n}").unwrap());
    let whole = packed.finish().unwrap();
    // The checksum is gone; all rows stand before it.
    let job = Job::new("rows.csv.gz", &whole[..whole.len() - 8]);
    // More rows than calls are in flight: those that wait are done as well.
    let ran = job.world.overnight(&["run", "job.toml", "--json", "--concurrency", "2"]);
    assert_eq!((ran.code, job.sim.ledger().requests), (Some(1), 40), "{ran:?}");
    let told = ran.summary();
    insta::assert_snapshot!(told["error"].as_str().unwrap(), @"rows.csv.gz: the gzip data is cut short; the 40 rows that ended before it are kept");
    insta::assert_snapshot!(told["hint"].as_str().unwrap(), @"the file was not written or copied in full: do that again; the same command goes on then");
    let status = job.world.overnight(&["status", "job.toml", "--json"]).summary();
    assert_eq!((&status["state"], &status["rows"]["succeeded"]), (&json!("stopped"), &json!(40)), "{status}");
    // Nothing is left to send before the break: the same command would never go on, so somebody must mend the file.
    for command in ["run", "plan"] {
        let again = job.world.overnight(&[command, "job.toml"]);
        assert_eq!((again.code, job.sim.ledger().requests), (Some(3), 40), "{again:?}");
    }
    assert!(!job.world.path("out.jsonl").exists());
    let part = job.world.overnight(&["run", "job.toml", "--limit", "30"]);
    assert_eq!((part.code, job.world.lines("out.partial.jsonl").len()), (Some(0), 30), "{part:?}");
    job.world.write("rows.csv.gz", whole);
    assert_eq!((job.ends(0), job.sim.ledger().requests), ((40, 0), 40));
}

#[test]
fn a_break_among_the_first_records_is_told_before_anything_is_sent() {
    let job = Job::new("rows.json", "[{\"text\": 1},\n{\"text\": 2}},\n{\"text\": 3}]");
    insta::assert_snapshot!(job.refused(), @r"
    error: rows.json:2: `}` closes what is not open; the elements behind it cannot be told apart
      hint: mend the brackets there
    ");
}

#[test]
fn a_column_that_a_record_lacks_fails_that_row() {
    let job = Job::new("in.jsonl", "{\"text\":\"a\"}\n{\"other\":1}\n{\"text\":null}\n{\"text\":\"\"}\n");
    job.write("path = \"in.jsonl\"", "prompt = \"{{ text }}\"");
    assert_eq!(job.ends(4), (1, 3));
    for (index, row) in (0..3).zip(2..) {
        let error = job.error(index);
        assert_eq!((&error["error"]["kind"], &error["row"]), (&json!("template"), &json!(row)), "{error}");
    }
    assert!(job.error(0)["error"]["message"].as_str().unwrap().contains("text"));
    assert_eq!(job.sim.ledger().requests, 1);
}

#[test]
fn csv_as_it_comes_is_read() {
    // A byte order mark, CRLF, quotes, embedded line breaks, a record that is too short and one that is too long.
    let csv = "\u{feff}id;text\r\n1;\"two\r\nlines; \"\"quoted\"\"\"\r\n2;plain\r\n3\r\n4;too;many\r\n5;Größe\r\n";
    let job = Job::new("in.csv", csv);
    assert_eq!(job.ends(4), (3, 2));
    let results = job.world.lines("out.jsonl");
    assert_eq!(results[0]["input"]["text"].as_str().unwrap().replace("\r\n", "\n"), "two\nlines; \"quoted\"");
    assert_eq!((&results[1]["id"], &results[2]["input"]["text"]), (&json!("2"), &json!("Größe")));
    assert_eq!((&job.error(0)["error"]["kind"], &job.error(0)["at"]), (&json!("bad_row"), &json!("in.csv:5")));
    assert_eq!((&job.error(1)["row"], &job.error(1)["at"]), (&json!(4), &json!("in.csv:6")));
    job.write("path = \"in.csv\"\ndelimiter = \",\"", "prompt = \"Tag {{ text }}\"");
    let told = job.refused_after(3);
    assert!(told.contains("id;text"), "{told}");
}

#[test]
fn bytes_that_are_no_utf8_fail_their_row() {
    for (name, content) in
        [("in.jsonl", &b"{\"text\":\"a\"}\n{\"text\":\"\xff\xfe\"}\n"[..]), ("in.csv", b"text,x\na,1\n\xff\xfe,2\n")]
    {
        let job = Job::new(name, content);
        assert_eq!(job.ends(4), (1, 1), "{name}");
        assert_eq!(job.error(0)["error"]["kind"], "bad_row");
        assert!(job.error(0)["input"].as_str().unwrap().contains('\u{fffd}'));
    }
}

#[test]
fn packed_files_are_read_as_they_are() {
    let text = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 0).unwrap();
    for (name, content) in [("in.jsonl.gz", gzip.clone()), ("in.jsonl.zst", zstd)] {
        let job = Job::new(name, content);
        assert_eq!(job.ends(0), (2, 0), "{name}");
        job.answers(&["Tag a", "Tag b"]);
    }
    let cut = Job::new("in.jsonl.gz", &gzip[..gzip.len() - 9]);
    let ran = cut.run();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("in.jsonl.gz") && ran.stderr.contains("cut short"), "{ran:?}");
}

#[test]
fn standard_input_is_a_new_input_each_time_and_matched_all_the_same() {
    let job = Job::new("unused.jsonl", "");
    let pipe = |text: &str| {
        let mut command =
            job.world.command(&["run", "job.toml", "--input", "-", "--set", "input.format=jsonl", "--json"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    };
    let first = pipe("{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    assert_eq!((first.code, &first.summary()["attempts"]), (Some(0), &json!(2)), "{first:?}");
    let second = pipe("{\"text\":\"c\"}\n{\"text\":\"a\"}\n");
    assert_eq!((second.code, &second.summary()["attempts"]), (Some(0), &json!(1)), "{second:?}");
    job.answers(&["Tag c", "Tag a"]);
}

#[test]
fn globs_and_folders_are_read_in_order() {
    let job = Job::new("data/b.jsonl", "{\"text\":\"b\"}");
    job.world.write("data/a.jsonl", "{\"text\":\"a1\"}\n{\"text\":\"a2\"}\n");
    job.world.write("data/notes.md", "not rows");
    job.write("path = \"data/*.jsonl\"", "prompt = \"Tag {{ text }}\"");
    assert_eq!(job.ends(0), (3, 0));
    job.answers(&["Tag a1", "Tag a2", "Tag b"]);
    job.write("path = \"data\"", "prompt = \"Tag {{ text }}\"");
    assert_eq!(job.ends(0), (3, 0));
    assert_eq!(job.sim.ledger().requests, 3);
    job.write("path = \"nothing/*.jsonl\"", "prompt = \"Tag {{ text }}\"");
    assert!(job.refused_after(3).contains("no file matches"));
    job.write("path = \"gone.jsonl\"", "prompt = \"Tag {{ text }}\"");
    assert!(job.refused_after(3).contains("gone.jsonl: no such file"));
}

#[test]
fn a_task_type_without_a_table_fails_unless_there_is_a_default() {
    let rows = "{\"text\":\"a\",\"task_type\":\"tag\"}\n{\"text\":\"b\",\"task_type\":\"tga\"}\n{\"text\":\"c\"}\n";
    let job = Job::new("in.jsonl", rows);
    let two = "prompt = \"Tag {{ text }}\"\n[tasks.sum]\nmodel = \"p/m\"\nprompt = \"Sum {{ text }}\"";
    job.write("path = \"in.jsonl\"", two);
    assert_eq!(job.ends(4), (1, 2));
    assert_eq!(job.error(0)["error"]["kind"], "no_route");
    assert!(job.error(0)["error"]["message"].as_str().unwrap().contains("[tasks.tga]"));
    assert_eq!((&job.error(1)["error"]["kind"], &job.error(1)["task"]), (&json!("no_route"), &json!("")));
    job.write("path = \"in.jsonl\"", &two.replace("tasks.sum", "tasks.default"));
    // They failed for good in a run before, with the job as it was: the default makes them other rows.
    assert_eq!(job.ends(0), (3, 0));
    job.answers(&["Tag a", "Sum b", "Sum c"]);
    assert_eq!(job.world.lines("out.jsonl")[1]["task"], "default");
}

#[test]
fn an_output_that_is_an_input_is_refused() {
    let job = Job::new("data/rows.jsonl", "{\"text\":\"a\"}");
    job.world.write("out.jsonl", "{\"text\":\"precious\"}");
    for input in ["out.jsonl", "./data/../out.jsonl", "*.jsonl"] {
        job.write(&format!("path = \"{input}\""), "prompt = \"Tag {{ text }}\"");
        let told = job.refused();
        assert!(told.contains("output.path: the output would overwrite the input") && told.contains("hint:"), "{told}");
    }
    std::os::unix::fs::symlink(job.world.path("out.jsonl"), job.world.path("link.jsonl")).unwrap();
    job.write("path = \"link.jsonl\"", "prompt = \"Tag {{ text }}\"");
    assert!(job.refused().contains("would overwrite"));
    assert_eq!(job.world.read("out.jsonl"), "{\"text\":\"precious\"}");
}

#[test]
fn rows_may_hold_their_own_prompt_or_messages() {
    let rows = [
        json!({"id": 1, "prompt": "just this"}),
        json!({"id": 2, "prompt": "and this", "system": "be brief"}),
        json!({"id": 3, "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "go on"}]}),
        json!({"id": 4, "messages": "no list"}),
        json!({"id": 5, "question": "neither"}),
    ];
    let job = Job::new("in.jsonl", rows.map(|row| row.to_string()).join("\n"));
    job.write("path = \"in.jsonl\"", "");
    assert_eq!(job.ends(4), (3, 2));
    job.answers(&["just this", "and this", "go on"]);
    let tokens: Vec<u64> =
        job.world.lines("out.jsonl").iter().map(|line| line["usage"]["input_tokens"].as_u64().unwrap()).collect();
    assert_eq!(tokens, [6, 10, 12], "system and earlier turns are sent as well");
    assert_eq!(job.error(0)["error"]["kind"], "template");
    assert_eq!(job.error(1)["error"]["kind"], "template");
}

#[test]
fn lines_of_an_openai_batch_are_asked_as_they_stand() {
    let line = |n: u64, tokens: u64| {
        json!({"custom_id": format!("c{n}"), "method": "POST", "url": "/v1/chat/completions",
               "body": {"model": "their-model", "max_tokens": tokens, "messages": [{"role": "user", "content": format!("question {n} {}", "word ".repeat(40))}]}})
    };
    let text = [line(1, 100), line(2, 2)].map(|line| line.to_string()).join("\n");
    let job = Job::new("in.jsonl", text);
    job.write("path = \"in.jsonl\"\nformat = \"openai-batch\"", "");
    assert_eq!(job.ends(0), (2, 0));
    let results = job.world.lines("out.jsonl");
    assert_eq!((&results[0]["id"], &results[1]["id"]), (&json!("c1"), &json!("c2")));
    assert_eq!(
        (&results[0]["finish_reason"], results[1]["usage"]["output_tokens"].as_u64().unwrap() <= 5),
        (&json!("stop"), true)
    );
}

impl Job {
    /// As [`Job::refused`], after a run that sent something.
    fn refused_after(&self, requests: u64) -> String {
        let ran = self.run();
        assert_eq!((ran.code, self.sim.ledger().requests), (Some(3), requests), "{ran:?}");
        ran.stderr
    }
}

#[test]
fn an_input_without_rows_ends_well_with_empty_outputs() {
    for (name, content) in [("in.jsonl", ""), ("in.jsonl", "\n\n"), ("in.csv", "text,x\n")] {
        let job = Job::new(name, content);
        let ran = job.run();
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert_eq!((&ran.summary()["rows"]["total"], &ran.summary()["run"]), (&json!(0), &Value::Null));
        assert_eq!((job.world.read("out.jsonl"), job.world.read("out.errors.jsonl")), (String::new(), String::new()));
    }
    let job = Job::new("in.jsonl", "{\"text\":\"a\"}");
    job.write("path = \"in.jsonl\"\nwhere = \"text == 'b'\"", "prompt = \"Tag {{ text }}\"");
    assert_eq!(job.ends(0), (0, 0));
    assert_eq!(job.sim.ledger().requests, 0);
}
