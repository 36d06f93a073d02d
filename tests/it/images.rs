//! Images that rows name: what they are known by, and what becomes of a row whose image cannot be sent.

use std::fs;
use std::time::Duration;

use overnight::event::Summary;
use serde_json::{Value, json};

use crate::night::{Night, TOP, two_providers};
use crate::world::{SimServer, World};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nbytes of a picture";

fn world(sim: &SimServer) -> World {
    let world = World::new();
    let job = format!(
        "[input]\npath = \"rows/in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"p/m\"\n\
         prompt = \"What is this?\"\nimages = [\"{{{{ photo | default('') }}}}\"]\n[providers.p]\nbase_url = \"{}\"\n",
        sim.url()
    );
    world.write("job.toml", job);
    world
}

fn rows(world: &World, photos: &[Option<&str>]) {
    let lines = photos.iter().enumerate().map(|(id, photo)| json!({"id": id, "photo": photo}).to_string());
    world.write("rows/in.jsonl", lines.collect::<Vec<_>>().join("\n"));
}

fn run(world: &World, code: i32) -> Value {
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    ran.summary()
}

#[test]
fn an_image_is_known_by_its_bytes_and_not_by_its_name() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    // From the job file's folder, not the input's.
    world.write("photos/a.png", PNG);
    let link = Some("https://e.example/c.png");
    rows(&world, &[Some("photos/a.png"), None, link]);
    assert_eq!(run(&world, 0)["attempts"], 3);
    assert_eq!(run(&world, 0)["attempts"], 0);

    fs::rename(world.path("photos/a.png"), world.path("photos/b.png")).unwrap();
    rows(&world, &[Some("photos/b.png"), None, link]);
    assert_eq!(run(&world, 0)["attempts"], 0, "the same image under another name");

    world.write("photos/b.png", [PNG, b"!"].concat());
    assert_eq!(run(&world, 0)["attempts"], 1, "other bytes, though the input is as it was");
    rows(&world, &[Some("photos/b.png"), None, Some("https://e.example/d.png")]);
    assert_eq!(run(&world, 0)["attempts"], 1, "another address");
    let log = world.read(".overnight/job/results.log");
    assert!(!log.contains("base64"), "the log holds no images");
}

#[test]
fn a_plan_tells_an_image_that_changed_as_a_change_of_the_row_and_not_of_the_job() {
    let sim = SimServer::start(json!({}));
    for id in [true, false] {
        let world = world(&sim);
        for photo in ["a.png", "b.png"] {
            world.write(photo, [PNG, photo.as_bytes()].concat());
        }
        let row = |photo: &str| if id { json!({"id": photo, "photo": photo}) } else { json!({"photo": photo}) };
        world.write("rows/in.jsonl", ["a.png", "b.png"].map(|photo| row(photo).to_string()).join("\n"));
        assert_eq!(run(&world, 0)["attempts"], 2);
        let resend = || {
            let resend = world.overnight(&["plan", "job.toml", "--json"]).summary()["resend"].clone();
            ["new", "row_changed", "job_changed"].map(|reason| resend[reason].as_u64().unwrap())
        };
        world.write("b.png", PNG);
        assert_eq!(resend(), [0, 1, 0], "{id}");
        let told = world.overnight(&["explain", "job.toml", "2"]).stdout;
        assert!(told.contains("a file that it names"), "{told}");
        fs::remove_file(world.path("b.png")).unwrap();
        assert_eq!(resend(), [0, 1, 0], "it is gone: {id}");
        world.write("b.png", PNG);
        let job = world.read("job.toml").replace("What is this?", "What is that?");
        world.write("job.toml", job);
        // Without an id nothing tells that the image is another one as well.
        assert_eq!(resend(), if id { [0, 1, 1] } else { [0, 0, 2] });
    }
}

#[test]
fn an_image_that_cannot_be_sent_fails_its_row_with_its_path_until_it_can() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.write("a.png", PNG);
    world.write("text.png", "no picture");
    fs::File::create(world.path("large.png")).unwrap().set_len(20_000_001).unwrap();
    rows(&world, &[Some("a.png"), Some("none.png"), Some("text.png"), Some("large.png")]);
    assert_eq!(run(&world, 4)["attempts"], 1);
    let errors = world.lines("out.errors.jsonl");
    let told: Vec<_> = errors.iter().map(|line| line["error"].clone()).collect();
    let kinds: Vec<_> = told.iter().map(|error| error["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["template", "template", "too_large"]);
    for (error, name) in told.iter().zip(["none.png", "text.png", "large.png"]) {
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("images[0]: ") && message.contains(name), "{message}");
    }
    world.write("none.png", PNG);
    let summary = run(&world, 0);
    assert_eq!((&summary["attempts"], &summary["rows"]["succeeded"]), (&json!(1), &json!(2)));
}

#[test]
fn a_budget_sets_aside_what_an_image_may_cost() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.write("a.png", PNG);
    rows(&world, &[Some("a.png")]);
    let model = "[models.m]\nprovider = \"p\"\nprice = { input = 1.0, output = 1.0 }\nmax_output = 1000\n";
    // 50,000 tokens of an image at a dollar a million.
    let job = world.read("job.toml").replace("\"p/m\"", "\"m\"") + model + "[run]\nmax_cost = 0.05\n";
    world.write("job.toml", &job);
    assert_eq!(run(&world, 5)["attempts"], 0);
    world.write("job.toml", job.replace("0.05", "0.06"));
    assert_eq!(run(&world, 0)["attempts"], 1);
}

/// Rows with these photos, of which one is sent at a time; the first of them takes a while.
fn slideshow(photos: &[&str], more: &str) -> Night {
    let job = format!(
        "{TOP}\n[tasks.tag]\nmodel = \"p/m\"\nprompt = \"What is this?\"\nimages = [\"{{{{ photo }}}}\"]\n\
         [providers.p]\nbase_url = \"https://p.example/v1\"\n[run]\nconcurrency = 1\n{more}\n"
    );
    let night = Night::new(&job, photos.iter().map(|photo| json!({"id": photo, "photo": photo})));
    for photo in photos {
        night.world.write(photo, [PNG, photo.as_bytes()].concat());
    }
    night
}

/// Runs it, and does this while the first call is out and all rows are read.
async fn run_and(night: &Night, meanwhile: impl FnOnce()) -> Summary {
    let change = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        meanwhile();
    };
    tokio::join!(night.run(), change).0
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_image_goes_away_while_it_waits_is_not_sent_and_comes_again_with_its_image() {
    for gone in [true, false] {
        let mut night = slideshow(&["a.png", "b.png", "c.png"], "");
        let p = night.provider("p", json!({ "latency": "10s" }));
        let b = night.world.path("b.png");
        let change = || if gone { fs::remove_file(&b).unwrap() } else { fs::write(&b, PNG).unwrap() };
        let summary = run_and(&night, change).await;
        assert_eq!((summary.exit_code, summary.attempts, p.sent()), (4, 2, 2), "{gone}");
        assert_eq!((summary.rows.succeeded, summary.rows.failed), (2, 1));
        let error = &night.errors()[0];
        assert_eq!(
            (&error["error"]["kind"], &error["attempts"], &error["trail"]),
            (&json!("template"), &json!(0), &json!([]))
        );
        assert!(error["error"]["message"].as_str().unwrap().contains("b.png"), "{error}");
        assert_eq!(summary.possibly_billed.attempts, 0);

        if gone {
            let still = night.run().await;
            assert_eq!((still.exit_code, still.attempts, still.rows.failed_before), (0, 0, 1));
        }
        night.world.write("b.png", [PNG, b"b.png"].concat());
        let again = night.run().await;
        assert_eq!((again.exit_code, again.attempts, again.rows.succeeded), (0, 1, 3), "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_loses_its_image_behind_a_failed_try_tells_that_try_once() {
    let mut night = slideshow(&["a.png"], "");
    let script = json!([{ "from": 1, "to": 1, "fault": "server_error" }]);
    let p = night.provider("p", json!({ "latency": "10s", "script": script }));
    let a = night.world.path("a.png");
    let summary = run_and(&night, || fs::remove_file(&a).unwrap()).await;
    assert_eq!((summary.exit_code, summary.attempts, &night.errors()[0]["attempts"]), (4, 1, &json!(1)));
    night.world.write("a.png", [PNG, b"a.png"].concat());
    let again = night.run().await;
    assert_eq!((again.exit_code, again.attempts, p.sent()), (0, 1, 2));
    assert_eq!(night.results()[0]["attempts"], 1, "the first try is told in the row that failed");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_others_too_and_loses_its_image_leaves_the_asking_to_them() {
    let mut night = slideshow(&["a.png", "b.png", "c.png"], "dedupe = true");
    night.world.write("c.png", night.world.read_bytes("b.png"));
    let p = night.provider("p", json!({ "latency": "10s" }));
    let b = night.world.path("b.png");
    let summary = run_and(&night, || fs::remove_file(b).unwrap()).await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.failed), (4, 2, 1), "{:?}", night.errors());
    assert_eq!((summary.attempts, p.sent(), &night.errors()[0]["id"]), (2, 2, &json!("b.png")));
}

#[tokio::test(start_paused = true)]
async fn a_second_call_that_finds_its_image_gone_leaves_the_row_to_the_first() {
    let job = two_providers("images = [\"{{ photo }}\"]", "", "hedge = true\nconcurrency = 2");
    let photo = |n: usize| format!("{n}.png");
    let mut night = Night::new(&job, (1..=150).map(|n| json!({"id": n, "text": "t", "photo": photo(n)})));
    for n in 1..=150 {
        night.world.write(&photo(n), [PNG, photo(n).as_bytes()].concat());
    }
    let last =
        json!({ "latency": "200ms", "script": [{ "from": 150, "to": 150, "fault": "slow_body" }], "slow_body": "60s" });
    let (a, b) = (night.provider("a", last), night.provider("b", json!({})));
    a.times_out_after(Duration::from_mins(10));
    // Before the call is overdue.
    let change = async {
        while a.sent() < 150 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // One of the two calls that are out is the slow one.
        for n in [149, 150] {
            fs::remove_file(night.world.path(&photo(n))).unwrap();
        }
    };
    let summary = tokio::join!(night.run(), change).0;
    let tried: Vec<Value> = night.results().into_iter().filter(|row| row["attempts"] != 1).collect();
    assert_eq!((summary.exit_code, summary.attempts, a.sent(), b.sent()), (0, 150, 150, 0), "{tried:?}");
    assert!(a.age() > Duration::from_mins(1), "{:?}", a.age());
}
