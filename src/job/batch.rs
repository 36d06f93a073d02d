//! The job that an OpenAI Batch file makes, together with the flags of `overnight batch`: a job file like any other, written
//! by us into the state directory beside the output, so that every command that takes a job takes a batch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::args::JobArgs;
use super::known::{KNOWN, Known, known};

/// The job file of a batch, in its state directory.
const JOB_FILE: &str = "batch.toml";
/// What a state directory's name adds to the output's.
const STATE: &str = ".overnight";
/// Where standard input is kept in a state directory, as by a job that reads it by itself.
const SPOOL: &str = "spool/stdin";
/// A server of which nothing is known but its address.
const SERVER: &str = "server";
/// Whose key it is where nothing else is said, as for all tools that speak to such servers.
const USUAL_KEY: &str = "OPENAI_API_KEY";
/// The task that all lines go to where the command line names the model.
const ONLY_TASK: &str = "default";
/// A file without a line asks no model, but a job has one.
const NO_MODEL: &str = "none";

/// A job that stands in no file: a run writes it, so that other commands find it.
#[derive(Clone, Debug, Default)]
pub struct MadeJob {
    /// Its job file.
    pub text: String,
    /// What it reads and is not there yet.
    pub input: Option<KeptInput>,
}

/// An input that a run puts where the job reads it, once nobody else works on the job.
#[derive(Clone, Debug)]
pub struct KeptInput {
    /// Where it is now.
    pub from: PathBuf,
    /// Where it is to stay.
    pub to: PathBuf,
}

/// What is to be done with an OpenAI Batch file.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The file, from the working directory.
    pub input: PathBuf,
    /// It is what standard input said: it is kept, as nothing says it again.
    pub spooled: bool,
    /// Where its output goes.
    pub output: PathBuf,
    /// Where the lines of failed rows go; `None`: into the output.
    pub errors: Option<PathBuf>,
    /// The server; `None`: `OpenAI` itself, or the provider that `model` begins with.
    pub base_url: Option<String>,
    /// The variable of the server's key; `None`: the usual one where it is set.
    pub api_key_env: Option<String>,
    /// What all lines are sent to; `None`: what each line names.
    pub model: Option<String>,
    /// The models that the lines name.
    pub named: Vec<String>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
}

impl Batch {
    /// The job: flags of the command line are still to be laid over it. `env` is the process's environment.
    ///
    /// # Errors
    /// A path that cannot be made absolute or is not UTF-8, in words.
    pub fn job(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<JobArgs, String> {
        let output = absolute(&self.output)?;
        let job_file = in_state(&output);
        let state = job_file.parent().unwrap_or(&output);
        let input = self.spooled.then(|| KeptInput { from: self.input.clone(), to: state.join(SPOOL) });
        let server = self.server(env);
        let mut job = Table::new();
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        job.insert("job".to_owned(), table([("name", text(&name))]));
        job.insert("input".to_owned(), self.read(input.as_ref())?);
        job.insert("output".to_owned(), self.written(&output)?);
        job.insert("run".to_owned(), table([("state", text(&utf8(state)?))]));
        if let Some(settings) = &server.settings {
            job.insert("providers".to_owned(), table([(server.name, Value::Table(settings.clone()))]));
        }
        let (tasks, models) = self.tasks_and_models(&server);
        job.insert("tasks".to_owned(), Value::Table(tasks));
        job.insert("models".to_owned(), Value::Table(models));
        let about =
            "# Written by `overnight batch`, anew with each call: what it was asked, for the other commands to read.\n";
        let made = MadeJob { text: format!("{about}{job}"), input };
        Ok(JobArgs { job_file, made: Some(made), ..JobArgs::default() })
    }

    fn read(&self, kept: Option<&KeptInput>) -> Result<Value, String> {
        let path = utf8(&absolute(kept.map_or(&self.input, |kept| &kept.to))?)?;
        let fields = [("path", text(&path)), ("format", text("openai-batch")), ("id", text("custom_id"))];
        let task = ("task", text("body.model"));
        Ok(table(fields.into_iter().chain([task])))
    }

    fn written(&self, output: &Path) -> Result<Value, String> {
        let errors = self.errors.as_deref().map(|errors| utf8(&absolute(errors)?)).transpose()?;
        let fields = [("path", text(&utf8(output)?)), ("format", text("openai-batch"))];
        Ok(table(fields.into_iter().chain(errors.map(|errors| ("errors", text(&errors))))))
    }

    fn tasks_and_models(&self, server: &Server) -> (Table, Table) {
        let (mut tasks, mut models) = (Table::new(), Table::new());
        let mut add = |task: &str, wire: &str| {
            tasks.insert(task.to_owned(), table([("model", text(wire))]));
            models.insert(wire.to_owned(), table([("provider", text(server.name)), ("model", text(wire))]));
        };
        let named: BTreeSet<&str> = self.named.iter().map(String::as_str).collect();
        match server.wire.as_deref() {
            Some(wire) => add(ONLY_TASK, wire),
            None if named.is_empty() => add(ONLY_TASK, NO_MODEL),
            None => named.into_iter().for_each(|name| add(name, name)),
        }
        (tasks, models)
    }

    fn server(&self, env: &dyn Fn(&str) -> Option<String>) -> Server {
        let model = self.model.clone();
        let (provider, wire) = match (&self.base_url, model.as_deref().and_then(|model| model.split_once('/'))) {
            (Some(url), _) => (at(url), model),
            (None, Some((provider, wire))) if known(provider).is_some() => (known(provider), Some(wire.to_owned())),
            (None, _) => (known("openai"), model),
        };
        let is_set = |name: &&str| env(name).is_some_and(|value| !value.is_empty());
        let own_key = provider.and_then(|provider| provider.key_env).filter(is_set);
        let usual = Some(USUAL_KEY).filter(|name| self.base_url.is_some() && is_set(name));
        let key = self.api_key_env.as_deref().or(own_key).or(usual);
        let limits = [("rpm", self.rpm), ("tpm", self.tpm)];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some((name, whole(limit?))));
        let limits = table(limits);
        let fields = [
            ("base_url", self.base_url.as_deref().map(text)),
            ("api_key_env", key.map(text)),
            ("limits", Some(limits).filter(|limits| limits.as_table().is_some_and(|limits| !limits.is_empty()))),
        ];
        let settings: Table = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Server {
            name: provider.map_or(SERVER, |provider| provider.name),
            wire,
            settings: Some(settings).filter(|settings| !settings.is_empty()),
        }
    }
}

/// Who is asked.
struct Server {
    /// Its name among the providers.
    name: &'static str,
    /// The one model that is asked.
    wire: Option<String>,
    /// What is not built in.
    settings: Option<Table>,
}

/// The provider known by name that has this address.
fn at(url: &str) -> Option<&'static Known> {
    let url = url.trim().trim_end_matches('/');
    // Those on this machine are told apart by their port alone, which anything else may use as well.
    KNOWN.iter().find(|known| !known.self_hosted && known.base_url == url)
}

/// The job file of the batch that `path` belongs to: its output, or its state directory.
pub(super) fn job_file_of(path: &Path) -> Option<PathBuf> {
    [path.join(JOB_FILE), in_state(path)].into_iter().find(|file| file.is_file())
}

fn in_state(output: &Path) -> PathBuf {
    let mut state = output.as_os_str().to_owned();
    state.push(STATE);
    Path::new(&state).join(JOB_FILE)
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn utf8(path: &Path) -> Result<String, String> {
    // `${` would be taken for a variable.
    let path = path.to_str().ok_or_else(|| format!("{}: the path is not UTF-8", path.display()))?;
    if path.contains("${") { Err(format!("{path}: a path may not hold `${{`")) } else { Ok(path.to_owned()) }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn whole(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn table<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Table(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
