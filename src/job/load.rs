//! From the files to the checked job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::args::JobArgs;
use super::checked::{Job, Task};
use super::environment::Environment;
use super::files::{Gathered, gather};
use super::problem::{JobError, Problem, Problems};
use super::reader::{Reader, Scope};
use super::spec::{
    Input, Linked, Run, link, read_input, read_models, read_output, read_providers, read_retry, read_run, read_tasks,
};
use super::tree::{Node, Spot, Table, Value, dotted};
use crate::price::Prices;
use crate::retry::RetrySettings;
use crate::sink::OutputSettings;
use crate::types::{AnswerColumn, AnswerColumns};

/// Reads a job file with its config and the flags of the command line, and checks all of it. `env` is the process's
/// environment.
///
/// # Errors
/// All that is wrong with the job, at once.
pub fn load(args: &JobArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Job, JobError> {
    let problems = Problems::default();
    let job = gather(args, &problems).and_then(|gathered| check(&gathered, args, env, &problems));
    let job = job.map(|job| Job { made: args.made.clone(), ..job });
    let problems = problems.into_sorted();
    match job {
        Some(job) if problems.is_empty() => Ok(job),
        _ => Err(JobError { problems }),
    }
}

/// Where the job keeps its state, whatever else is wrong with it: for commands that look at a run or steer one.
///
/// # Errors
/// Where the job file or its config cannot be read, or `[run]` is not valid.
pub fn state_path(args: &JobArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, JobError> {
    let problems = Problems::default();
    let path = gather(args, &problems).and_then(|gathered| {
        let environment = environment(&gathered, env, &problems);
        let scope = Scope { problems: &problems, environment: &environment };
        let run = Reader::of(&gathered.tree, &gathered.spot, scope).section("run", |reader| read_run(reader, true))?;
        Some(run.state.unwrap_or_else(|| default_state(&gathered)))
    });
    let problems = problems.into_sorted();
    match path {
        Some(path) if problems.is_empty() => Ok(path),
        _ => Err(JobError { problems }),
    }
}

fn default_state(gathered: &Gathered) -> PathBuf {
    let stem = gathered.file.file_stem().unwrap_or_default();
    gathered.file.with_file_name(PathBuf::from(".overnight").join(stem))
}

/// What stands at the top of the file.
struct Top {
    name: Option<String>,
    input: Option<Input>,
    output: Option<OutputSettings>,
    linked: Linked,
    retry: RetrySettings,
    run: Run,
    vars: serde_json::Map<String, serde_json::Value>,
}

fn check(
    gathered: &Gathered,
    args: &JobArgs,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &Problems,
) -> Option<Job> {
    let mut environment = environment(gathered, env, problems);
    environment.keys_optional = args.keys_optional;
    let scope = Scope { problems, environment: &environment };
    let prices = prices(args, gathered, problems);
    let top = Reader::root(&gathered.tree, &gathered.spot, scope, |reader| read_top(reader, &prices))?;
    let (input, output) = (top.input?, top.output?);
    let answers = AnswerColumns::of(top.linked.tasks.iter().map(answer_columns));
    let stem = gathered.file.file_stem().unwrap_or_default();
    Some(Job {
        name: top.name.unwrap_or_else(|| stem.to_string_lossy().into_owned()),
        state: top.run.state.unwrap_or_else(|| default_state(gathered)),
        file: gathered.file.clone(),
        made: None,
        input: input.settings,
        id: input.id,
        task: input.task,
        filter: input.filter,
        allow_overrides: input.allow_overrides,
        output: OutputSettings { answers, ..output },
        default_task: top.linked.tasks.iter().position(|task| task.name == "default"),
        tasks: top.linked.tasks,
        providers: top.linked.providers,
        models: top.linked.models,
        retry: top.retry,
        concurrency: top.run.concurrency,
        drain: top.run.drain,
        hedge: top.run.hedge,
        deadline: top.run.deadline,
        max_failures: top.run.max_failures,
        max_cost: top.run.max_cost,
        on_outage: top.run.on_outage,
        retry_failed: top.run.retry_failed,
        on_change: top.run.on_change,
        dedupe: top.run.dedupe,
        vars: top.vars,
        places: places(&gathered.tree),
        whole: gathered.spot.clone(),
    })
}

/// What is listed, with the file of `--prices`.
fn prices(args: &JobArgs, gathered: &Gathered, problems: &Problems) -> Prices {
    let Some(path) = &args.prices else { return Prices::default() };
    Prices::with_file(path).unwrap_or_else(|error| {
        let folder = gathered.file.parent().unwrap_or(&gathered.file);
        let text = error.to_string();
        let (message, hint) = text.split_once("\n  hint: ").unwrap_or((&text, ""));
        let problem = Problem::new(&Spot::flag("--prices", folder), "", message);
        problems.add(Problem { hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()), ..problem });
        Prices::default()
    })
}

/// The columns of a task's answers, where it has a schema that says them.
fn answer_columns(task: &Task) -> Option<Vec<AnswerColumn>> {
    task.answer.as_ref()?.rules.schema.as_ref()?.columns()
}

/// The environment with `env_file`, whose own path can use the process's variables only.
fn environment<'a>(
    gathered: &Gathered,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &Problems,
) -> Environment<'a> {
    let process = Environment::of_process(env);
    let scope = Scope { problems, environment: &process };
    let file = Reader::of(&gathered.tree, &gathered.spot, scope).take("env_file");
    let path = file.and_then(|field| Some((field.path()?, &field.node.spot)));
    let mut environment = Environment::of_process(env);
    if let Some((path, spot)) = path {
        environment.read_file(&path, spot, problems);
    }
    environment
}

fn read_top(reader: &Reader<'_>, prices: &Prices) -> Option<Top> {
    // Read before: the other sections may use what it says.
    let _ = reader.take("env_file");
    let name = reader.section("job", |reader| Some(reader.take("name")?.text()?.to_owned())).flatten();
    let input = reader.section("input", read_input).flatten();
    let output = reader.section("output", read_output).flatten();
    let retry = reader.section("retry", read_retry);
    // Of an input that cannot be read nothing is known.
    let has_id = input.as_ref().is_none_or(|input| input.id.is_some());
    let run = reader.section("run", |reader| read_run(reader, has_id));
    let vars = reader.take("vars").map(|field| field.json_table());
    let models = reader.section("models", |reader| read_models(reader, prices)).unwrap_or_default();
    let providers = reader.section("providers", read_providers).unwrap_or_default();
    let tasks = reader.section("tasks", read_tasks).unwrap_or_default();
    let all_models = input.as_ref().is_some_and(|input| input.allow_overrides);
    let linked = link(tasks, models, providers, all_models, prices);
    Some(Top {
        name,
        input,
        output,
        linked,
        retry: retry?,
        run: run?,
        vars: vars.unwrap_or_else(|| Some(serde_json::Map::new()))?,
    })
}

/// The place of each key, for problems that are found later.
fn places(tree: &Table) -> BTreeMap<String, Spot> {
    let mut places = BTreeMap::new();
    table_places("", tree, &mut places);
    places
}

fn table_places(key: &str, table: &Table, places: &mut BTreeMap<String, Spot>) {
    for entry in &table.entries {
        node_places(dotted(key, &entry.name), &entry.node, places);
    }
}

fn node_places(key: String, node: &Node, places: &mut BTreeMap<String, Spot>) {
    match &node.value {
        Value::Table(table) => table_places(&key, table, places),
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                node_places(format!("{key}[{number}]"), item, places);
            }
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) => {}
    }
    places.insert(key, node.spot.clone());
}
