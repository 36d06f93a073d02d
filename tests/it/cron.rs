//! What a crontab line may count on: exit codes, silence, one run at a time, limits of its own, and a steering wheel.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::wait_until;
use crate::world::{Ran, SimServer, World};

/// A job in `job/`, with this many rows of a number `n` and a text.
struct Night {
    world: World,
    sim: SimServer,
}

impl Night {
    fn new(rows: u64, sim: Value) -> Self {
        let night = Self { world: World::new(), sim: SimServer::start(sim) };
        night.job("");
        let rows: Vec<String> =
            (1..=rows).map(|n| json!({"id": n, "n": n, "text": format!("row {n}")}).to_string()).collect();
        night.world.write("job/in.jsonl", rows.join("\n"));
        night
    }

    /// The job file, with these lines at its end.
    fn job(&self, more: &str) {
        let job = format!(
            "input.path = \"in.jsonl\"\noutput.path = \"out.jsonl\"\nmodels.m = \"p/m\"\n\
             providers.p = {{ base_url = \"{}\", api_key_env = \"P_KEY\" }}\nenv_file = \"keys.env\"\n\
             [tasks.tag]\nmodel = \"m\"\nprompt = \"Tag {{{{ text }}}}\"\n{more}\n",
            self.sim.url()
        );
        self.world.write("job/job.toml", job);
        self.world.write("job/keys.env", "P_KEY=right\n");
    }

    /// The binary as cron starts it: from the home folder, with next to nothing in its environment.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env("HOME", self.world.root()).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        command
    }

    fn run(&self, flags: &[&str]) -> Ran {
        Ran::from(self.command(&[&["run", "job/job.toml"], flags].concat()).output().unwrap())
    }

    fn control(&self, word: &str) -> Ran {
        Ran::from(self.command(&["control", "job/job.toml", word]).output().unwrap())
    }

    /// A run that goes on beside the test; its end is its output.
    fn start(&self, flags: &[&str]) -> Started {
        let mut command = self.command(&[&["run", "job/job.toml", "--json"], flags].concat());
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        Started { pid: child.id(), child }
    }

    fn wait_for_call(&self) {
        wait_until("a call is out", || self.sim.ledger().in_flight > 0);
    }

    fn state(&self) -> Value {
        let totals = fs::read_to_string(self.world.path("job/.overnight/job/totals.json"));
        totals.map_or(Value::Null, |totals| serde_json::from_str::<Value>(&totals).unwrap()["state"].clone())
    }
}

struct Started {
    pid: u32,
    child: std::process::Child,
}

impl Started {
    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid.to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn end(self) -> Ran {
        Ran::from(self.child.wait_with_output().unwrap())
    }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_good_night_is_silent_and_a_bad_one_is_not() {
    let night = Night::new(20, json!({"key": "right"}));
    let ran = night.run(&["-q"]);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
    assert_eq!(night.world.lines("job/out.jsonl").len(), 20);
    let ran = night.run(&["-q", "--json"]);
    assert_eq!((ran.code, &ran.summary()["rows"]["skipped"], &*ran.stderr), (Some(0), &json!(20), ""));

    let mut rows = night.world.read("job/in.jsonl");
    rows.push_str("\n{\"id\": 21, \"n\": 21}\n");
    night.world.write("job/in.jsonl", rows);
    let ran = night.run(&["-q"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stdout.contains("1 template"), "{ran:?}");
}

/// What cron makes of a line: five fields of time, `%` is a line break unless it is escaped, and the shell does the rest.
#[test]
fn the_crontab_lines_of_the_documents_run() {
    let night = Night::new(5, json!({}));
    fs::create_dir_all(night.world.path("reviews/jobs")).unwrap();
    fs::rename(night.world.path("job/job.toml"), night.world.path("reviews/jobs/reviews.toml")).unwrap();
    for file in ["in.jsonl", "keys.env"] {
        fs::rename(night.world.path(&format!("job/{file}")), night.world.path(&format!("reviews/jobs/{file}")))
            .unwrap();
    }
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cron.md")).unwrap();
    let (_, crontab) = document.split_once("```crontab\n").unwrap();
    let (crontab, _) = crontab.split_once("```").unwrap();
    let line = crontab.lines().find(|line| line.starts_with("0 22 * * * ")).unwrap();
    let typed = line.strip_prefix("0 22 * * * ").unwrap().replace("\\%", "\u{0}");
    assert!(!typed.contains('%'), "cron would cut {line}");
    let typed = typed.replace('\u{0}', "%").replace("/srv/reviews", night.world.path("reviews").to_str().unwrap());
    let typed = typed.replace("/usr/local/bin/overnight", env!("CARGO_BIN_EXE_overnight"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", typed.trim()]).current_dir(night.world.root()).env_clear().env("HOME", night.world.root());
    shell.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("LOGNAME", "me");
    // Wherever it is six o'clock now, it is not so here.
    let hour = jiff::Timestamp::now().in_tz("UTC").unwrap().hour();
    shell.env("TZ", if hour == 5 { "Asia/Tokyo" } else { "UTC" });
    let ran = Ran::from(shell.output().unwrap());
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""));
}

#[test]
fn a_wrong_key_is_a_6_and_tells_what_the_provider_said() {
    let night = Night::new(20, json!({"key": "another"}));
    let ran = night.run(&["-q"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stdout.contains("model removed") && ran.stdout.contains("auth"), "{ran:?}");
    let status = Ran::from(night.command(&["status", "job/job.toml", "--json"]).output().unwrap()).summary();
    assert_eq!((&status["exit_code"], &status["stop_reason"]), (&json!(6), &json!("no_model_left")), "{status}");
}

#[test]
fn a_wrong_key_beside_a_right_one_is_told_though_all_rows_are_done() {
    let night = Night::new(40, json!({"key": "right", "latency": "20ms"}));
    let job = night.world.read("job/job.toml").replace("\"P_KEY\"", "[\"P_KEY\", \"OLD_KEY\"]");
    night.world.write("job/job.toml", job);
    night.world.write("job/keys.env", "P_KEY=right\nOLD_KEY=revoked\n");
    let ran = night.run(&["-q"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = format!("left out         p/m: {} with OLD_KEY: auth: ", night.sim.url());
    assert!(ran.stdout.contains(&told) && !ran.stdout.contains("revoked"), "{ran:?}");
    assert_eq!(night.world.lines("job/out.jsonl").len(), 40);
}

#[test]
fn signals_drain_and_the_next_night_goes_on() {
    let night = Night::new(40, json!({"latency": "20ms"}));
    for (signal, code, reason) in [("INT", 130, "interrupted"), ("TERM", 143, "terminated"), ("HUP", 143, "terminated")]
    {
        let run = night.start(&["--concurrency", "1"]);
        night.wait_for_call();
        run.signal(signal);
        let ran = run.end();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(ran.summary()["stop_reason"], reason);
        assert_eq!(ran.summary()["possibly_billed"]["attempts"], 0);
    }
    assert_eq!(night.run(&[]).code, Some(0));
    assert_eq!(night.sim.ledger().requests, 40);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_run_is_batch_work_to_the_scheduler_with_all_its_threads() {
    /// `SCHED_BATCH` of sched(7).
    const BATCH: &str = "3";
    let night = Night::new(5, json!({"script": [{"from": 1, "to": 5, "fault": "hang"}]}));
    let run = night.start(&["--set", "run.drain=0s"]);
    night.wait_for_call();
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", run.pid)).unwrap() {
        // One that syncs may have ended since.
        let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
        // The 41st field; a name with blanks and brackets is the second.
        let policy = stat.rsplit(')').next().unwrap().split_whitespace().nth(38);
        assert_eq!(policy, Some(BATCH), "{stat}");
        threads += 1;
    }
    assert!(threads > 3, "{threads} threads");
    run.signal("INT");
    assert_eq!(run.end().code, Some(130));
}

#[test]
fn a_second_run_fails_skips_or_waits_as_it_is_told() {
    let night = Night::new(40, json!({"latency": "50ms"}));
    let first = night.start(&["--concurrency", "1"]);
    night.wait_for_call();

    let refused = night.run(&["-q"]);
    assert_eq!(refused.code, Some(7));
    assert!(refused.stderr.contains(&format!("in use by process {}", first.pid)), "{refused:?}");
    let skipped = night.run(&["--if-locked", "skip"]);
    assert_eq!((skipped.code, &*skipped.stdout, &*skipped.stderr), (Some(0), "", ""));
    let late = night.run(&["--if-locked", "wait", "--deadline", "300ms", "--set", "run.drain=0s"]);
    assert_eq!(late.code, Some(5), "{late:?}");
    let told = format!("waiting for process {}", first.pid);
    assert_eq!(late.stderr.matches(&told).count(), 1, "{late:?}");

    let second = night.start(&["--if-locked", "wait"]);
    first.signal("TERM");
    assert_eq!(first.end().code, Some(143));
    let second = second.end();
    assert_eq!((second.code, &second.summary()["rows"]["succeeded"]), (Some(0), &json!(40)));
    assert_eq!(night.sim.ledger().requests, 40);
}

#[test]
fn a_run_that_waits_can_be_stopped() {
    let night = Night::new(40, json!({"latency": "50ms"}));
    let first = night.start(&["--concurrency", "1"]);
    night.wait_for_call();
    let second = night.start(&["--if-locked", "wait", "--events", "events.jsonl"]);
    wait_until("the second run waits", || {
        fs::read_to_string(night.world.path("events.jsonl")).is_ok_and(|events| events.contains("waiting for"))
    });
    second.signal("TERM");
    let second = second.end();
    assert_eq!(second.code, Some(143), "{second:?}");
    assert!(second.stderr.contains("another run holds this job's lock"), "{second:?}");
    first.signal("INT");
    assert_eq!(first.end().code, Some(130));
}

#[test]
fn a_deadline_leaves_time_for_the_drain_and_the_rest_for_the_next_night() {
    let night = Night::new(60, json!({"latency": "20ms"}));
    night.job("[run]\ndrain = \"20s\"\n");
    let ran = night.run(&["--json", "--concurrency", "1", "--deadline", "20300ms"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let summary = ran.summary();
    assert_eq!(summary["stop_reason"], "deadline");
    assert!(summary["elapsed_ms"].as_u64().unwrap() < 5_000, "{summary}");
    assert_eq!(summary["attempts"], summary["rows"]["succeeded"]);
    let ran = night.run(&["--deadline", "8h"]);
    assert_eq!((ran.code, night.sim.ledger().requests), (Some(0), 60));

    let ran = night.run(&["--deadline", "20s"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("--deadline: run.deadline: leaves no time for calls"), "{ran:?}");
}

#[test]
fn a_time_of_day_is_taken_in_the_local_zone() {
    let night = Night::new(5, json!({}));
    night.job("[run]\ndrain = \"10m\"\n");
    let now = jiff::Timestamp::now();
    // Five minutes ahead in Tokyo, which is within the drain; elsewhere it is hours away.
    let soon = now.in_tz("Asia/Tokyo").unwrap().checked_add(jiff::Span::new().minutes(5)).unwrap();
    let soon = soon.strftime("%H:%M:%S").to_string();
    let run = |zone| {
        let args = ["run", "job/job.toml", "--json", "--deadline", &soon];
        Ran::from(night.command(&args).env("TZ", zone).output().unwrap())
    };
    let ran = run("Asia/Tokyo");
    assert_eq!((ran.code, &ran.summary()["stop_reason"]), (Some(5), &json!("deadline")));
    let ran = run("America/New_York");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn failures_stop_a_run_before_it_has_burnt_the_night() {
    let night = Night::new(400, json!({"latency": "2ms", "faults": {"content_filter": 1.0}}));
    for (flags, least) in [(vec![], 50), (vec!["--max-failures", "10"], 10), (vec!["--max-failures", "2.5%"], 100)] {
        let ran = night.run(&[&["--fresh", "--json", "--concurrency", "4"], &flags[..]].concat());
        assert_eq!(ran.code, Some(5), "{ran:?}");
        let summary = ran.summary();
        assert_eq!(summary["stop_reason"], "max_failures");
        let failed = summary["rows"]["failed"].as_u64().unwrap();
        assert!((least..least + 100).contains(&failed), "{summary}");
    }
    let ran = night.run(&["-q", "--concurrency", "4"]);
    assert_eq!(ran.code, Some(5));
    assert!(ran.stdout.contains("the first rows all failed"), "{ran:?}");
    let ran = night.run(&["--max-failures", "0"]);
    assert_eq!(ran.code, Some(3));
}

#[test]
fn fresh_begins_anew_and_deletes_nothing() {
    let night = Night::new(10, json!({}));
    assert_eq!(night.run(&["-q"]).code, Some(0));
    let log = night.world.read("job/.overnight/job/results.log");
    let ran = night.run(&["--json", "--fresh"]);
    assert_eq!((ran.code, &ran.summary()["attempts"]), (Some(0), &json!(10)));
    assert!(ran.stderr.contains("began anew; what was there is in"), "{ran:?}");
    let archive = fs::read_dir(night.world.path("job/.overnight/job/archive")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_to_string(archive.path().join("results.log")).unwrap(), log);
    let ran = night.run(&["-q", "--fresh"]);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "", ""), "what was asked for is nothing wrong");
}

#[test]
fn where_makes_a_part() {
    let night = Night::new(10, json!({}));
    let ran = night.run(&["--json", "--where", "n > 7"]);
    assert_eq!((ran.code, &ran.summary()["rows"]["total"]), (Some(0), &json!(3)));
    let rows: Vec<Value> =
        night.world.lines("job/out.partial.jsonl").into_iter().map(|line| line["row"].clone()).collect();
    assert_eq!(rows, [8, 9, 10]);
    assert!(!night.world.path("job/out.jsonl").exists());
    let wrong = night.run(&["--where", "n >"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("--where"), "{wrong:?}");
}

#[test]
fn events_tell_the_run_line_by_line() {
    let night = Night::new(8, json!({"script": [{"from": 1, "to": 1, "fault": "overloaded"}]}));
    let none = night.run(&["--events", "no/such/folder/events.jsonl"]);
    assert_eq!((none.code, night.sim.ledger().requests), (Some(3), 0));

    let ran = night.run(&["--json", "-q", "--events", "events.jsonl"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let events = lines(&night.world.path("events.jsonl"));
    let named = |name: &str| events.iter().filter(|line| line["event"] == name).count();
    assert_eq!((named("run_started"), named("row_done"), named("attempt_failed")), (1, 8, 1));
    assert!(named("progress") >= 1);
    assert!(events.iter().all(|line| line["ts"].is_u64()));
    let (last, before) = events.split_last().unwrap();
    assert!(before.iter().all(|line| line["event"] != "run_finished"));
    let mut last = last.as_object().unwrap().clone();
    assert_eq!((last.remove("event"), last.remove("ts").is_some()), (Some(json!("run_finished")), true));
    assert_eq!(Value::Object(last), ran.summary());
}

#[test]
fn a_kill_is_not_told_as_the_stop_before_it() {
    let night = Night::new(200, json!({"latency": "20ms"}));
    let stop_reason = || night.world.overnight(&["status", "job/job.toml", "--json"]).summary()["stop_reason"].clone();
    let stopped = night.run(&["--model", "p/fail-400", "--max-failures", "1", "--concurrency", "1"]);
    assert_eq!((stopped.code, stop_reason()), (Some(5), json!("max_failures")), "{stopped:?}");
    let sent = night.sim.ledger().requests;
    let mut run = night.start(&["--concurrency", "1"]);
    wait_until("calls go out", || night.sim.ledger().requests > sent + 1);
    run.child.kill().unwrap();
    run.end();
    assert_eq!(stop_reason(), json!(null));
}

#[test]
fn a_running_job_is_paused_resumed_and_drained() {
    let night = Night::new(200, json!({"latency": "20ms"}));
    let run = night.start(&["--concurrency", "1", "--events", "events.jsonl"]);
    wait_until("rows end", || night.sim.ledger().answered >= 5);
    let said = night.control("pause");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout, format!("pause: process {} sends no more calls; those in flight finish\n", run.pid));
    wait_until("the run is paused", || night.state() == "paused");
    let sent = night.sim.ledger().requests;
    assert!(sent < 200);
    let paused = || {
        let events = night.world.read("events.jsonl");
        let (_, since) = events.split_once("paused: no calls are sent").unwrap_or_default();
        let whole_lines = since.split_inclusive('\n').skip(1).filter(|line| line.ends_with('\n'));
        let told = whole_lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        told.filter(|event| event["event"] == "progress").collect::<Vec<_>>()
    };
    wait_until("progress is told", || paused().len() >= 2);
    for progress in paused() {
        assert_eq!(progress["eta_ms"], Value::Null, "nobody knows when a pause ends: {progress}");
    }

    assert_eq!(night.control("resume").code, Some(0));
    wait_until("the run goes on", || night.state() == "running");
    wait_until("calls go out", || night.sim.ledger().requests > sent);
    assert_eq!(night.control("drain").code, Some(0));
    let ran = run.end();
    assert_eq!(ran.code, Some(143), "{ran:?}");
    assert_eq!(
        (&ran.summary()["stop_reason"], &ran.summary()["possibly_billed"]["attempts"]),
        (&json!("terminated"), &json!(0))
    );
    assert_eq!(night.run(&["-q"]).code, Some(0));
    assert_eq!(night.sim.ledger().requests, 200);

    for word in ["pause", "resume", "drain"] {
        let none = night.control(word);
        assert_eq!((none.code, &*none.stdout), (Some(1), ""));
        assert!(none.stderr.contains("no run of this job is on\n  hint:"), "{none:?}");
    }
}
