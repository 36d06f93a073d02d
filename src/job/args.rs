//! What the command line changes: flags lie over the job file as if they stood in it.

use std::path::{Path, PathBuf};

use super::made::{By, MadeJob};
use super::merge::{branch, lay, split_key, text};
use super::problem::{Problem, Problems, nearest};
use super::tree::{Entry, Node, Spot, Table, Value, parse_value};

/// A job file, and what the command line changes of it.
#[derive(Clone, Debug, Default)]
pub struct JobArgs {
    /// The job file as the user named it.
    pub job_file: PathBuf,
    /// What it is, where it was made and is not there to be read.
    pub made: Option<MadeJob>,
    /// `--config`; `None`: `overnight.toml` found upward from the job file, if there is one.
    pub config: Option<PathBuf>,
    /// `--set KEY=VALUE`, in order.
    pub set: Vec<String>,
    /// `--input`, from the working directory; `-` is standard input.
    pub input: Option<PathBuf>,
    /// `--output`, from the working directory.
    pub output: Option<PathBuf>,
    /// `--model`: the first choice of all tasks; fallbacks stay.
    pub model: Option<String>,
    /// `--route TASK=MODEL[,FALLBACK...]`: a task's whole route.
    pub routes: Vec<String>,
    /// `--models` of a comparison: each task's whole route, whatever it is otherwise.
    pub models: Vec<String>,
    /// `--concurrency`.
    pub concurrency: Option<usize>,
    /// `--deadline`: a local time of day, or a duration.
    pub deadline: Option<String>,
    /// `--max-failures`: rows, or a percentage.
    pub max_failures: Option<String>,
    /// `--max-cost`: USD, or USD a day or month.
    pub max_cost: Option<String>,
    /// `--prices`: a price file, from the working directory.
    pub prices: Option<PathBuf>,
    /// A key's variable that is not set is no problem: nothing is to be sent. [`super::JobProvider::missing_keys`]
    /// tells it.
    pub keys_optional: bool,
}

/// Lays the flags over the tree: `--set` first, as the flags of their own say the same more clearly.
pub(super) fn apply(args: &JobArgs, tree: &mut Table, working_dir: &Path, problems: &Problems) {
    for pair in &args.set {
        set(pair, tree, &Spot::flag("--set", working_dir), problems);
    }
    let paths = [("--input", "input", &args.input), ("--output", "output", &args.output)];
    for (flag, section, path) in paths {
        if let Some(path) = path {
            set_path(path, section, tree, &Spot::flag(flag, working_dir), problems);
        }
    }
    if let Some(model) = &args.model {
        set_first_choices(model, tree, &Spot::flag("--model", working_dir));
    }
    if !args.models.is_empty() {
        // It names no task, and none of its keys.
        set_all_routes(&args.models, tree, &By::Flag("--models").spot(working_dir));
    }
    for route in &args.routes {
        set_route(route, tree, &Spot::flag("--route", working_dir), problems);
    }
    // Who made the job knows its flags, and none of its keys.
    let flag = |name| match &args.made {
        Some(_) => By::Flag(name).spot(working_dir),
        None => Spot::flag(name, working_dir),
    };
    if let Some(concurrency) = args.concurrency {
        // As the command that makes a job calls it.
        let spot = flag(if args.made.is_some() { "--max-inflight" } else { "--concurrency" });
        let value = Value::Integer(i64::try_from(concurrency).unwrap_or(i64::MAX));
        put(tree, &["run", "concurrency"], Node { value, spot });
    }
    let limits = [
        ("--deadline", "deadline", &args.deadline),
        ("--max-failures", "max_failures", &args.max_failures),
        ("--max-cost", "max_cost", &args.max_cost),
    ];
    for (name, key, value) in limits {
        if let Some(value) = value {
            put(tree, &["run", key], text(value, &flag(name)));
        }
    }
}

fn put(tree: &mut Table, path: &[&str], node: Node) {
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    lay(tree, branch(&path, node));
}

fn set(pair: &str, tree: &mut Table, spot: &Spot, problems: &Problems) {
    let Some((key, value)) = split_pair(pair) else {
        let problem = Problem::new(spot, "", format!("not KEY=VALUE: {pair:?}"));
        problems.add(problem.with_hint("write for example --set input.format=csv"));
        return;
    };
    match split_key(key.trim()) {
        Some(path) => lay(tree, branch(&path, parse_value(value, spot))),
        None => problems.add(
            Problem::new(spot, "", format!("not a key: {key:?}"))
                .with_hint("join names by dots, and quote one that has a space or a dot in it"),
        ),
    }
}

/// Splits at the first `=` that is not inside quotes.
fn split_pair(pair: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (offset, c) in pair.char_indices() {
        match (quote, c) {
            (None, '=') => return Some((&pair[..offset], &pair[offset + 1..])),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn set_path(path: &Path, section: &str, tree: &mut Table, spot: &Spot, problems: &Problems) {
    match path.to_str() {
        Some(path) => put(tree, &[section, "path"], text(path, spot)),
        None => problems.add(Problem::new(spot, "", "the path is not UTF-8")),
    }
}

fn set_first_choices(model: &str, tree: &mut Table, spot: &Spot) {
    let Some(Entry { node: Node { value: Value::Table(tasks), .. }, .. }) = tree.get_mut("tasks") else { return };
    for entry in &mut tasks.entries {
        if let Value::Table(task) = &mut entry.node.value {
            task.put(Entry { name: "model".to_owned(), spot: spot.clone(), node: text(model, spot) });
        }
    }
}

fn set_all_routes(models: &[String], tree: &mut Table, spot: &Spot) {
    let Some(Entry { node: Node { value: Value::Table(tasks), .. }, .. }) = tree.get_mut("tasks") else { return };
    for entry in &mut tasks.entries {
        if let Value::Table(task) = &mut entry.node.value {
            put_route(task, models.iter().map(String::as_str), spot);
        }
    }
}

/// The first model is the task's, the others its fallbacks.
fn put_route<'a>(task: &mut Table, models: impl Iterator<Item = &'a str>, spot: &Spot) {
    let mut models = models.map(|model| text(model.trim(), spot));
    let entry = |name: &str, node| Entry { name: name.to_owned(), spot: spot.clone(), node };
    if let Some(first) = models.next() {
        task.put(entry("model", first));
    }
    task.put(entry("fallback", Node { value: Value::List(models.collect()), spot: spot.clone() }));
}

fn set_route(route: &str, tree: &mut Table, spot: &Spot, problems: &Problems) {
    let Some((task, models)) = route.split_once('=') else {
        let problem = Problem::new(spot, "", format!("not TASK=MODEL[,FALLBACK...]: {route:?}"));
        problems.add(problem.with_hint("write for example --route tag=cheap,strong"));
        return;
    };
    let Some(Entry { node: Node { value: Value::Table(tasks), .. }, .. }) = tree.get_mut("tasks") else { return };
    let names: Vec<String> = tasks.entries.iter().map(|entry| entry.name.clone()).collect();
    let Some(Entry { node: Node { value: Value::Table(table), .. }, .. }) = tasks.get_mut(task.trim()) else {
        let mut problem = Problem::new(spot, "", format!("no task is called {:?}", task.trim()));
        problem.hint = nearest("the job's tasks", task.trim(), names.iter().map(String::as_str));
        problems.add(problem);
        return;
    };
    put_route(table, models.split(','), spot);
}
