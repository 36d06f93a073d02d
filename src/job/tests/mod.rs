//! The room from outside: job files in a folder, and what becomes of them.

mod answer;
mod batch;
mod endpoints;
mod flags;
mod prices;
mod problems;
mod providers;
mod rules;

use std::path::PathBuf;

use super::{Job, JobArgs, JobError, load};

/// The least that a job needs.
const LEAST: &str = r#"
[input]
path = "rows.jsonl"
[output]
path = "out/rows.jsonl"
[tasks.tag]
model = "ollama/qwen3"
prompt = "Tag {{ text }}"
"#;

/// A folder with job files, and an environment.
struct Folder {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, &'static str)>,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// A folder with this job as `job.toml`.
    fn with(job: &str) -> Self {
        let folder = Self::new();
        folder.write("job.toml", job);
        folder
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn args(&self) -> JobArgs {
        JobArgs { job_file: self.path("job.toml"), ..JobArgs::default() }
    }

    fn load_with(&self, change: impl FnOnce(&mut JobArgs)) -> Result<Job, JobError> {
        let mut args = self.args();
        change(&mut args);
        let get = |name: &str| self.env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        load(&args, &get)
    }

    fn load(&self) -> Result<Job, JobError> {
        self.load_with(|_| {})
    }

    /// The problems as printed, without the folder's name.
    fn problems_with(&self, change: impl FnOnce(&mut JobArgs)) -> String {
        let error = self.load_with(change).expect_err("the job should be refused");
        error.to_string().replace(&format!("{}/", self.path("").display()).replace("//", "/"), "")
    }

    fn problems(&self) -> String {
        self.problems_with(|_| {})
    }
}

fn job(text: &str) -> Job {
    Folder::with(text).load().unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str) -> String {
    Folder::with(text).problems()
}
