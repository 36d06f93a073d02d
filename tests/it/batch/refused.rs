//! Batches that cannot be sent: what is said, and of which flag or line.

use super::*;

#[test]
fn what_cannot_be_sent_is_told_before_anything_is() {
    let world = world(DOCUMENTED);
    let code = |args: &[&str]| {
        let args: Vec<&str> = ["batch"].into_iter().chain(args.iter().copied()).collect();
        let ran = world.overnight(&args);
        assert!(!ran.stderr.is_empty());
        (ran.code, ran.stderr)
    };
    let (missing, why) = code(&["-i", "in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(missing, Some(3));
    assert!(why.contains("OPENAI_API_KEY is not set"), "{why}");
    assert_eq!(code(&["-i", "in.jsonl", "-o", "-"]).0, Some(2));
    assert_eq!(code(&["-i", "https://x.example/in.jsonl", "-o", "out.jsonl"]).0, Some(2));
    assert_eq!(code(&["-i", "in.jsonl"]).0, Some(2));
    assert_eq!(code(&["-i", "gone.jsonl", "-o", "out.jsonl"]).0, Some(3));
    let (same, why) = code(&["-i", "in.jsonl", "-o", "in.jsonl", "--base-url", "http://127.0.0.1:9/v1"]);
    assert_eq!(same, Some(3));
    assert!(why.contains("would overwrite the input"), "{why}");
    assert_eq!(world.read("in.jsonl"), DOCUMENTED);
}

/// What is told of a batch that cannot be sent.
fn refused(world: &World, args: &[&str]) -> String {
    let all: Vec<&str> = ["batch", "-i", "in.jsonl", "-o", "out.jsonl"].iter().chain(args).copied().collect();
    let ran = world.overnight(&all);
    assert_eq!((ran.code, world.path("out.jsonl.overnight/results.log").exists()), (Some(3), false), "{ran:?}");
    ran.stderr
}

#[test]
fn what_is_wrong_is_told_by_flag_or_line_and_never_by_a_key() {
    let nameless = line("none", "", "a line without a model fails alone");
    let world = world(&[nameless, line("a", "made-up", "x"), line("b", "made-up", "y")].concat());
    let server = "http://gateway.example/v1";
    let told = |args: &[&str]| refused(&world, args);
    let key = told(&[]);
    assert!(key.starts_with("error: environment variable OPENAI_API_KEY is not set\n  hint: set it, "), "{key}");
    insta::assert_snapshot!(told(&["--base-url", "gateway", "--api-key-env", "not a name"]), @r#"
    error: --base-url: is not an http or https URL
      hint: write for example "https://gateway.example/v1"
    --api-key-env: is not the name of an environment variable
      hint: this takes the name of a variable, such as GATEWAY_API_KEY, not the key itself
    "#);
    insta::assert_snapshot!(told(&["--base-url", server, "--max-cost", "1"]), @r#"
    error: in.jsonl:2:1: body.model: --max-cost needs a price for made-up
      hint: USD per million tokens by --set 'models."made-up".price={ input = 0.40, output = 1.20 }', or a price file by --prices
    "#);
    insta::assert_snapshot!(told(&["--base-url", server, "--max-cost", "-1", "--max-inflight", "0"]), @r#"
    error: --max-inflight: must be at least 1 and at most 65535
    --max-cost: is no amount of USD, and none a day or month
      hint: write for example 25.0, "25/day" or "500/month"
    "#);
    insta::assert_snapshot!(told(&["--base-url", server, "--rpm", "0"]), @"error: --rpm: must be at least 1");
    let by_variables = |variables: &[(&str, &str)]| {
        let mut command =
            world.command(&["batch", "-i", "in.jsonl", "-o", "out.jsonl", "--base-url", server, "--rpm", "0"]);
        Ran::from(command.envs(variables.iter().copied()).output().unwrap()).stderr
    };
    let other = by_variables(&[("OVERNIGHT_CONCURRENCY", "0")]);
    assert!(other.starts_with("error: --max-inflight: must be at least 1"), "{other}");
    let both = by_variables(&[("OVERNIGHT_CONCURRENCY", "0"), ("OVERNIGHT_MAX_INFLIGHT", "4")]);
    assert_eq!(both, "error: --rpm: must be at least 1\n", "its own name comes first");
    insta::assert_snapshot!(told(&["--base-url", ""]), @"error: --base-url: must not be empty");
    insta::assert_snapshot!(told(&["--base-url", server, "--error-file", "out.jsonl"]), @"
    error: --error-file: is the file of the results as well
      hint: give it another name
    ");
    std::fs::create_dir(world.path("folder")).unwrap();
    for (flag, file, why) in [
        ("--error-file", "in.jsonl", "the output would overwrite the input"),
        ("--error-file", "folder", "is there and is no regular file\n  hint: name a file\n"),
        ("-o", "folder", "is there and is no regular file\n  hint: name a file\n"),
        ("-o", "..", "names no file"),
        ("-o", ".", "names no file"),
    ] {
        let output: &[&str] = if flag == "-o" { &[] } else { &["-o", "out.jsonl"] };
        let args = [&["batch", "-i", "in.jsonl", "--base-url", server, flag, file][..], output].concat();
        let ran = world.overnight(&args);
        let names_no_key = !ran.stderr.contains("output.") && !ran.stderr.contains("--output");
        assert!(ran.stderr.starts_with(&format!("error: {flag}")) && names_no_key, "{ran:?}");
        assert!(matches!(ran.code, Some(2 | 3)) && ran.stderr.contains(why), "{ran:?}");
    }
    world.write("in.csv", "a\n");
    for (file, why) in [
        ("gone.jsonl", "error: -i gone.jsonl: no such file or folder\n"),
        ("in.csv", "error: -i in.csv: CSV by its name\n"),
    ] {
        let ran = world.overnight(&["batch", "-i", file, "-o", "out.jsonl"]);
        assert!(ran.code == Some(3) && ran.stderr.starts_with(why), "{ran:?}");
    }
    let models: String = (0..1_001).map(|n| line("x", &format!("m{n}"), "x")).collect();
    world.write("in.jsonl", models);
    insta::assert_snapshot!(told(&["--base-url", server]), @r"
    error: in.jsonl: its lines name more than 1000 models (body.model)
      hint: name one for all of them with --model
    ");
}
