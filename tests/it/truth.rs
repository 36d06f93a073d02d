//! What must hold of results, log and bill, however often a job was interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use overnight::sim::{SimLedger, answer_mark};
use overnight::store::{StateDir, read_totals};
use overnight::types::{Key, Ledger, LogLine, Money, PossiblyBilled, Price, Tally, Totals, Usage};
use serde_json::Value;

use crate::world::World;

/// What every model of these jobs costs.
const PRICE: &str = "price = { input = 1, output = 2 }";

/// The length of an answer's mark in bytes.
const MARK: usize = 20;

/// A row of the input.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: Option<Value>,
    pub text: String,
}

impl Row {
    fn line(&self) -> String {
        let mut line = serde_json::json!({ "text": self.text });
        if let Some(id) = &self.id {
            line["id"] = id.clone();
        }
        line.to_string()
    }

    fn mark(&self) -> String {
        answer_mark(&format!("Tag {}", self.text))
    }
}

/// Rows with ids from 1.
pub fn rows(count: u64) -> Vec<Row> {
    (1..=count).map(|n| Row { id: Some(n.into()), text: format!("row {n}") }).collect()
}

/// Writes them to `in.jsonl`.
pub fn write_rows(world: &World, rows: &[Row]) {
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    world.write("in.jsonl", lines.join("\n"));
}

/// A job file `job.toml` over `in.jsonl`: `models` are wire names, the first choice and its fallbacks, and `more` is TOML.
pub fn write_job(world: &World, url: &str, models: &[&str], more: &str) {
    let aliases: Vec<String> = (1..models.len()).map(|index| format!("m{index}")).collect();
    let models: Vec<String> = (0..)
        .zip(models)
        .map(|(index, wire)| format!("[models.m{index}]\nprovider = \"p\"\nmodel = \"{wire}\"\n{PRICE}\n"))
        .collect();
    let job = format!(
        "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"m0\"\nfallback = {aliases:?}\n\
         prompt = \"Tag {{{{ text }}}}\"\nparams = {{ max_tokens = 64 }}\n{}\n[providers.p]\nbase_url = \"{url}\"\n{more}\n",
        models.concat()
    );
    world.write("job.toml", job);
}

/// The results hold each row once, in the input's order, each with its own id and answer; nothing failed, nothing is left
/// lying about.
pub fn assert_results(world: &World, rows: &[Row]) {
    let results = world.lines("out.jsonl");
    assert_eq!(results.len(), rows.len());
    for ((number, row), result) in (1u64..).zip(rows).zip(&results) {
        assert_eq!((&result["row"], &result["status"]), (&number.into(), &"succeeded".into()), "{result}");
        assert!(row.id.as_ref().is_none_or(|id| *id == result["id"]), "{result}");
        assert!(result["content"].as_str().unwrap().starts_with(&row.mark()), "{row:?}: {result}");
    }
    assert_eq!(world.read("out.errors.jsonl"), "");
    let names = fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains(".overnight.tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The job's log, line by line.
pub fn log(world: &World) -> Vec<LogLine> {
    let text = world.read(".overnight/job/results.log");
    assert!(text.ends_with('\n'));
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The sums that other processes read.
pub fn totals(world: &World) -> Ledger {
    let state = StateDir::open_existing(&world.path(".overnight/job")).unwrap().unwrap();
    read_totals(&state).unwrap().unwrap().ledger
}

/// What the log says, counted by other means than the product's own.
#[derive(Debug, Default, PartialEq)]
struct Books {
    succeeded: u64,
    attempts: u64,
    usage: Usage,
    cost: Money,
    possibly_billed: PossiblyBilled,
}

impl Books {
    /// What was forgotten counts as it did.
    fn carry(&mut self, totals: &Totals) {
        let sum = totals.sum();
        self.succeeded += sum.succeeded;
        self.attempts += sum.attempts;
        self.usage += sum.usage;
        self.cost += sum.cost_usd;
        self.possibly_billed.merge(&totals.possibly_billed);
    }

    fn of_log(lines: &[LogLine]) -> Self {
        let mut books = Self::default();
        for line in lines {
            let (usage, cost, lost, worst) = match line {
                LogLine::Run(_) | LogLine::RunEnd(_) => continue,
                LogLine::Carried(carried) => {
                    books.carry(&carried.totals);
                    continue;
                }
                LogLine::Attempt(line) => (line.usage, line.cost, line.possibly_billed, line.worst_cost),
                LogLine::Outcome(line) => {
                    books.succeeded += u64::from(line.failure.is_none());
                    (line.usage, line.cost, line.possibly_billed, line.worst_cost)
                }
            };
            books.attempts += 1;
            books.usage += usage.unwrap_or_default();
            books.cost += cost.unwrap_or_default();
            if lost {
                books.possibly_billed.add(worst);
            }
        }
        books
    }

    fn of_totals(ledger: &Ledger) -> Self {
        let (mut sum, mut possibly_billed) = (Tally::default(), PossiblyBilled::default());
        for run in &ledger.runs {
            sum.merge(&run.totals.sum());
            let more = run.totals.possibly_billed;
            possibly_billed.attempts += more.attempts;
            possibly_billed.max_cost_usd += more.max_cost_usd;
            possibly_billed.cost_unknown += more.cost_unknown;
        }
        let Tally { succeeded, attempts, usage, cost_usd: cost, .. } = sum;
        Self { succeeded, attempts, usage, cost, possibly_billed }
    }
}

/// Log, totals and the provider's bill agree: each row was paid for once, but for calls that are told as possibly billed.
/// Returns how many those are. For jobs whose rows all succeed.
pub fn assert_books(world: &World, rows: &[Row], bill: &SimLedger) -> u64 {
    let lines = log(world);
    let books = Books::of_log(&lines);
    assert_eq!(books, Books::of_totals(&totals(world)), "log and totals.json");
    assert_eq!(books.succeeded, rows.len() as u64, "one outcome for each row");
    assert_each_call_is_told_once(&lines);

    let lost = books.possibly_billed;
    assert!(bill.requests <= books.attempts, "{} requests, {books:?}", bill.requests);
    assert!(books.attempts <= bill.requests + lost.attempts, "{} requests, {books:?}", bill.requests);
    assert!(bill.answered <= books.succeeded + lost.attempts, "{} answers, {books:?}", bill.answered);

    let billed = billed(bill);
    assert_eq!(lost.cost_unknown, 0);
    assert!(books.cost <= billed && billed <= books.cost + lost.max_cost_usd, "billed {billed}, {books:?}");
    assert_answers_are_bought_once(&lines, rows, bill);
    lost.attempts
}

/// What the provider would bill, at the models' price.
fn billed(bill: &SimLedger) -> Money {
    let usd = |usd: f64| Money::from_usd(usd).unwrap();
    let SimLedger { input_tokens, output_tokens, .. } = *bill;
    let price = Price::flat(usd(1.0), usd(1.0), usd(2.0));
    price.cost(&Usage { input_tokens, output_tokens, ..Usage::default() }).unwrap()
}

fn assert_each_call_is_told_once(lines: &[LogLine]) {
    let mut calls = BTreeSet::new();
    for line in lines {
        let call = match line {
            LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => continue,
            LogLine::Attempt(line) => line.call,
            LogLine::Outcome(line) => line.call,
        };
        assert!(call != 0 && calls.insert(call), "call {call} is told twice");
    }
}

/// By request: as many outcomes as there are such rows, and no more answers than outcomes and calls whose end is unknown.
fn assert_answers_are_bought_once(lines: &[LogLine], rows: &[Row], bill: &SimLedger) {
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        *wanted.entry(row.mark()).or_default() += 1;
    }
    let mut marks: BTreeMap<Key, String> = BTreeMap::new();
    let mut ended: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines {
        let LogLine::Outcome(line) = line else { continue };
        let reply: Value = serde_json::from_str(line.reply.as_ref().unwrap().get()).unwrap();
        let mark = reply["choices"][0]["message"]["content"].as_str().unwrap()[..MARK].to_owned();
        *ended.entry(mark.clone()).or_default() += 1;
        marks.insert(line.key, mark);
    }
    assert_eq!(ended, wanted);
    let mut paid = wanted;
    for line in lines {
        let LogLine::Attempt(line) = line else { continue };
        if line.possibly_billed {
            *paid.get_mut(&marks[&line.key]).unwrap() += 1;
        }
    }
    for (mark, answers) in &bill.answered_by_mark {
        assert!(*answers <= paid[mark], "{mark}: {answers} answers for {} told", paid[mark]);
    }
}
