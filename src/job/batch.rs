//! The job that an OpenAI Batch file makes, together with the flags of `overnight batch`: a job file like any other, written
//! by us into the state directory beside the output, so that every command that takes a job takes a batch.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::args::JobArgs;
use super::known::{KNOWN, Known, known};
use super::made::{By, KeptInput, MadeJob};
use super::merge::{branch, lay};
use super::tree::{self, Entry, Node, Spot};
use crate::types::Place;

/// The job file of a batch, in its state directory.
const JOB_FILE: &str = "batch.toml";
/// What a state directory's name adds to the output's.
const STATE: &str = ".overnight";
/// Where standard input is kept in a state directory, as by a job that reads it by itself.
const SPOOL: &str = "spool/stdin";
/// A server of which nothing is known but its address.
const SERVER: &str = "server";
/// The variable that names the server, as for all tools that speak to such servers.
const BASE_URL: &str = "OPENAI_BASE_URL";
/// Whose key it is where nothing else is said, likewise.
const USUAL_KEY: &str = "OPENAI_API_KEY";
/// The task that all lines go to where the command line names the model.
const ONLY_TASK: &str = "default";
/// A file without a line asks no model, but a job has one.
const NO_MODEL: &str = "none";

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
    /// The server; `None`: `OPENAI_BASE_URL`, else `OpenAI` itself, or the provider that `model` begins with.
    pub base_url: Option<String>,
    /// The variable of the server's key; `None`: the usual one where it is set.
    pub api_key_env: Option<String>,
    /// What all lines are sent to; `None`: what each line names.
    pub model: Option<String>,
    /// The models that the lines name, each once.
    pub named: Vec<NamedModel>,
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
}

/// A model that lines name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedModel {
    /// Its name on the wire.
    pub name: String,
    /// The first of them.
    pub at: Place,
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
        let models = self.models(&server);
        let (tasks, tables): (Table, Table) = models.iter().map(|model| model.tables(server.name)).unzip();
        job.insert("tasks".to_owned(), Value::Table(tasks));
        job.insert("models".to_owned(), Value::Table(tables));
        let about =
            "# Written by `overnight batch`, anew with each call: what it was asked, for the other commands to read.\n";
        let asked = self.asked(&server, &models);
        let made = MadeJob { text: format!("{about}{job}"), input, asked };
        Ok(JobArgs { job_file, made: Some(made), ..JobArgs::default() })
    }

    /// Who asked for which key.
    fn asked(&self, server: &Server, models: &[Asked<'_>]) -> Vec<(Vec<String>, By)> {
        let flags = [
            (vec!["input"], "-i"),
            (vec!["output"], "-o"),
            (vec!["run"], "-o"),
            (vec!["output", "errors"], "--error-file"),
            (vec!["providers", server.name, "limits", "rpm"], "--rpm"),
            (vec!["providers", server.name, "limits", "tpm"], "--tpm"),
            (vec!["providers", server.name, "api_key_env"], "--api-key-env"),
        ];
        let owned = |key: &[&str]| key.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key_is_asked = |key: &[&str]| key.last() != Some(&"api_key_env") || self.api_key_env.is_some();
        let of_flags =
            flags.iter().filter(|(key, _)| key_is_asked(key)).map(|(key, flag)| (owned(key), By::Flag(flag)));
        let of_server = (owned(&["providers", server.name, "base_url"]), server.by.clone());
        let of_models = models.iter().flat_map(|model| {
            let keys = [owned(&["tasks", model.task]), owned(&["models", model.wire])];
            let provider = (owned(&["models", model.wire, "provider"]), server.by.clone());
            keys.map(|key| (key, model.by.clone())).into_iter().chain([provider])
        });
        of_flags.chain([of_server]).chain(of_models).collect()
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

    fn models<'a>(&'a self, server: &'a Server) -> Vec<Asked<'a>> {
        let only = |wire, by| vec![Asked { task: ONLY_TASK, wire, by }];
        match server.wire.as_deref() {
            Some(wire) => only(wire, By::Flag("--model")),
            None if self.named.is_empty() => only(NO_MODEL, By::Nobody),
            None => {
                let named = self.named.iter();
                named
                    .map(|model| Asked { task: &model.name, wire: &model.name, by: By::Line(model.at.clone()) })
                    .collect()
            }
        }
    }

    fn server(&self, env: &dyn Fn(&str) -> Option<String>) -> Server {
        let model = self.model.clone();
        let of_env = || env(BASE_URL).filter(|url| !url.is_empty()).map(|url| (url, BASE_URL));
        let base_url = self.base_url.clone().map(|url| (url, "--base-url")).or_else(of_env);
        let (provider, wire, by) = match (&base_url, model.as_deref().and_then(|model| model.split_once('/'))) {
            (Some((url, flag)), _) => (at(url), model, By::Flag(flag)),
            (None, Some((provider, wire))) if known(provider).is_some() => {
                (known(provider), Some(wire.to_owned()), By::Flag("--model"))
            }
            (None, _) => (known("openai"), model, By::Nobody),
        };
        let is_set = |name: &&str| env(name).is_some_and(|value| !value.is_empty());
        let own_key = provider.and_then(|provider| provider.key_env).filter(is_set);
        let usual = Some(USUAL_KEY).filter(|name| base_url.is_some() && is_set(name));
        let key = self.api_key_env.as_deref().or(own_key).or(usual);
        let limits = [("rpm", self.rpm), ("tpm", self.tpm)];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some((name, whole(limit?))));
        let limits = table(limits);
        let fields = [
            ("base_url", base_url.as_ref().map(|(url, _)| text(url))),
            ("api_key_env", key.map(text)),
            ("limits", Some(limits).filter(|limits| limits.as_table().is_some_and(|limits| !limits.is_empty()))),
        ];
        let settings: Table = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Server {
            name: provider.map_or(SERVER, |provider| provider.name),
            wire,
            by,
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
    /// Who said so.
    by: By,
    /// What is not built in.
    settings: Option<Table>,
}

/// A model that is asked.
struct Asked<'a> {
    /// The task of its lines.
    task: &'a str,
    wire: &'a str,
    by: By,
}

impl Asked<'_> {
    /// Its entries among the tasks and the models.
    fn tables(&self, provider: &str) -> ((String, Value), (String, Value)) {
        let model = table([("provider", text(provider)), ("model", text(self.wire))]);
        ((self.task.to_owned(), table([("model", text(self.wire))])), (self.wire.to_owned(), model))
    }
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

/// Whether it is the job file of a batch.
pub(super) fn is_job_file(file: &Path) -> bool {
    let state = file.parent().map(|state| state.to_string_lossy().ends_with(STATE));
    file.file_name().is_some_and(|name| name == JOB_FILE) && state == Some(true)
}

/// Makes a model known that no line of the batch names: `--model` means what it means to `overnight batch`.
pub(super) fn offer(model: &str, job: &mut tree::Table, spot: &Spot) {
    let first = tables_in(job, "tasks").next().and_then(|(_, task)| text_in(task, "model"));
    let Some((_, first)) = tables_in(job, "models").find(|(name, _)| Some(*name) == first) else { return };
    let Some(provider) = text_in(first, "provider") else { return };
    let has_url = tables_in(job, "providers").any(|(name, table)| name == provider && table.get("base_url").is_some());
    let names_provider = model.split_once('/').is_some_and(|(provider, _)| known(provider).is_some());
    let models = job.get("models").and_then(|models| as_table(&models.node));
    let is_there = models.is_some_and(|models| models.get(model).is_some());
    if is_there || model.is_empty() || (names_provider && !has_url) {
        return;
    }
    let entry = |name: &str, text: &str| Entry {
        name: name.to_owned(),
        spot: spot.clone(),
        node: Node { value: tree::Value::Text(text.to_owned()), spot: spot.clone() },
    };
    let entries = vec![entry("provider", provider), entry("model", model)];
    let node = Node { value: tree::Value::Table(tree::Table { entries }), spot: spot.clone() };
    lay(job, branch(&["models".to_owned(), model.to_owned()], node));
}

/// The tables of a section that are tables in full.
fn tables_in<'a>(job: &'a tree::Table, section: &str) -> impl Iterator<Item = (&'a str, &'a tree::Table)> {
    let section = job.get(section).and_then(|entry| as_table(&entry.node));
    let entries = section.into_iter().flat_map(|section| &section.entries);
    entries.filter_map(|entry| Some((entry.name.as_str(), as_table(&entry.node)?)))
}

fn as_table(node: &Node) -> Option<&tree::Table> {
    if let tree::Value::Table(table) = &node.value { Some(table) } else { None }
}

fn text_in<'a>(table: &'a tree::Table, key: &str) -> Option<&'a str> {
    if let tree::Value::Text(text) = &table.get(key)?.node.value { Some(text) } else { None }
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
