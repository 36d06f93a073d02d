//! The job that a batch makes: whom it asks, by which key, and that it loads.

use super::*;
use crate::job::{Batch, NamedModel};
use crate::sink::OutputFormat;
use crate::source::Format;
use crate::types::Place;

fn batch(folder: &Folder) -> Batch {
    let named = |(name, line): (&str, u64)| NamedModel {
        name: name.to_owned(),
        at: Place { file: "in [1].jsonl".into(), line },
    };
    Batch {
        input: folder.path("in [1].jsonl"),
        output: folder.path("out"),
        base_url: Some("http://localhost:8000/v1".to_owned()),
        named: [("m1", 1), ("org/m \"2\"", 3)].map(named).to_vec(),
        ..Batch::default()
    }
}

fn load_batch(batch: &Batch, variables: &[(&str, &str)]) -> Result<Job, JobError> {
    let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    load(&batch.job(&env).unwrap(), &env)
}

/// Its provider, the variables of its keys, and its models on the wire.
fn asked(batch: &Batch, variables: &[(&str, &str)]) -> (String, Vec<String>, Vec<String>) {
    let job = load_batch(batch, variables).unwrap();
    let [provider] = job.providers.as_slice() else { panic!("{:?}", job.providers) };
    let models = job.models.iter().map(|model| model.wire.clone()).collect();
    (provider.settings.name.clone(), provider.key_envs.clone(), models)
}

#[test]
fn a_batch_is_a_job_beside_its_output() {
    let folder = Folder::new();
    let job = load_batch(&batch(&folder), &[]).unwrap();
    assert_eq!((job.name.as_str(), job.file), ("out", folder.path("out.overnight/batch.toml")));
    assert_eq!(job.state, folder.path("out.overnight"));
    assert_eq!((job.input.format, job.output.format), (Format::OpenaiBatch, OutputFormat::OpenaiBatch));
    assert_eq!((job.output.path, job.output.errors), (folder.path("out"), None));
    let tasks: Vec<&str> = job.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(tasks, ["m1", "org/m \"2\""]);
    let wires: Vec<&str> = job.models.iter().map(|model| model.wire.as_str()).collect();
    assert_eq!(wires, tasks);
    assert!(job.providers[0].free && job.made.unwrap().text.contains("[tasks.m1]"));
}

#[test]
fn the_key_is_the_servers_own_else_the_usual_one_where_it_is_set() {
    let folder = Folder::new();
    let usual = ("OPENAI_API_KEY", "k");
    let here = batch(&folder);
    let keys = |batch: &Batch, variables: &[(&str, &str)]| asked(batch, variables).1;
    assert_eq!(keys(&here, &[]), [""; 0]);
    assert_eq!(keys(&here, &[("OPENAI_API_KEY", "")]), [""; 0]);
    assert_eq!(keys(&here, &[usual]), ["OPENAI_API_KEY"]);
    let named = Batch { api_key_env: Some("MINE".to_owned()), ..here.clone() };
    assert_eq!(keys(&named, &[usual, ("MINE", "m")]), ["MINE"]);
    let refused = load_batch(&named, &[usual]).unwrap_err().to_string();
    assert!(refused.contains("environment variable MINE is not set"), "{refused}");
    let groq = Batch { base_url: Some("https://api.groq.com/openai/v1/".to_owned()), ..here.clone() };
    assert_eq!(keys(&groq, &[usual, ("GROQ_API_KEY", "g")]), ["GROQ_API_KEY"]);
    assert_eq!(keys(&groq, &[usual]), ["OPENAI_API_KEY"]);
    let openai = Batch { base_url: None, ..here };
    assert_eq!(keys(&openai, &[usual]), ["OPENAI_API_KEY"]);
    assert!(load_batch(&openai, &[]).unwrap_err().to_string().contains("OPENAI_API_KEY is not set"));
}

#[test]
fn a_provider_is_known_by_its_address_or_by_the_models_name() {
    let folder = Folder::new();
    let key = [("OPENAI_API_KEY", "k"), ("GROQ_API_KEY", "g")];
    let with = |base_url: Option<&str>, model: Option<&str>| {
        let (base_url, model) = (base_url.map(str::to_owned), model.map(str::to_owned));
        let (provider, _, models) = asked(&Batch { base_url, model, ..batch(&folder) }, &key);
        (provider, models.join(" "))
    };
    let pair = |provider: &str, models: &str| (provider.to_owned(), models.to_owned());
    let here = Some("http://127.0.0.1:8000/v1");
    assert_eq!(with(here, None), pair("server", "m1 org/m \"2\""));
    assert_eq!(with(here, Some("groq/x")), pair("server", "groq/x"));
    assert_eq!(with(Some("https://api.groq.com/openai/v1"), Some("x")), pair("groq", "x"));
    assert_eq!(with(None, Some("groq/llama/x")), pair("groq", "llama/x"));
    assert_eq!(with(None, Some("org/x")), pair("openai", "org/x"));
    assert_eq!(with(None, None), pair("openai", "m1 org/m \"2\""));
}

#[test]
fn limits_hold_for_the_server() {
    let folder = Folder::new();
    let limited = Batch { rpm: Some(30), tpm: Some(9_000), ..batch(&folder) };
    let limits = load_batch(&limited, &[]).unwrap().providers[0].limits;
    assert_eq!((limits.rpm, limits.tpm), (Some(30), Some(9_000)));
}
