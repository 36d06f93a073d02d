//! The results and errors files: one more pass over the input, once nothing remains.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::{panic, thread};

use super::RunError;
use super::plan::Plan;
use super::prepare::shown_id;
use super::selection::Selection;
use crate::job::JobError;
#[cfg(feature = "parquet")]
use crate::sink::ColumnTypes;
use crate::sink::{self, FinishedRow, InputView, OutputFormat, SinkError, Writer, Written};
use crate::source::{Input, Record, SourceError};
use crate::store::{LogReader, OrderReader};
use crate::types::{InputColumns, OutcomeLine, read_reply};
use crate::validate::Rules;

/// JSON has no header: a CSV made from it has the columns of this many first records.
const COLUMNS_FROM: usize = 1000;

/// What is read and not yet written goes from thread to thread in batches: a word to the other thread costs as much as a
/// row. A batch ends with so many rows, or bytes.
const BATCH_ROWS: usize = 64;
const BATCH_BYTES: usize = 128 * 1024;
/// So many batches wait at most, beside those that are made and written: a row may be as large as `max_row`.
const BATCHES_AHEAD: usize = 1;

/// Checks, before anything is sent, that both files can be written where they are to be; makes none.
pub(super) fn check(plan: &Plan, input: &Input) -> Result<(), RunError> {
    let inputs: HashSet<PathBuf> = input.files().into_iter().filter_map(|file| file.canonicalize().ok()).collect();
    for (key, path) in files(plan) {
        if path.canonicalize().is_ok_and(|path| inputs.contains(&path)) {
            let message = format!("the output would overwrite the input, {}", path.display());
            return Err(refused(plan, key, message, "give it another name"));
        }
    }
    sink::check(&plan.job.output, &columns(input)?).map_err(|error| placed(plan, error))
}

fn files(plan: &Plan) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let output = &plan.job.output;
    [("output.path", &output.path)].into_iter().chain(output.errors.iter().map(|errors| ("output.errors", errors)))
}

/// What is wrong with a file is told by the key or the flag that names it.
fn placed(plan: &Plan, error: SinkError) -> RunError {
    match error {
        SinkError::NotAFile(found) => {
            let is_it = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == found);
            let key = files(plan).find(|(_, path)| is_it(path)).map_or("output.path", |(key, _)| key);
            // Nothing else of a batch goes to standard output.
            let streams = key == "output.path" && plan.job.made.is_none();
            let hint = if streams { "name a file, or write to stdout with `--output -`" } else { "name a file" };
            refused(plan, key, format!("{} is there and is no regular file", found.display()), hint)
        }
        SinkError::SameFile(path) => {
            let message = format!("is the file of the results as well, {}", path.display());
            refused(plan, "output.errors", message, "give it another name")
        }
        other => RunError::Output(other),
    }
}

fn refused(plan: &Plan, key: &str, message: String, hint: &str) -> RunError {
    RunError::Job(JobError { problems: vec![plan.job.problem(key, message).with_hint(hint)] })
}

/// Writes both files from the log, in the order of the input. Reading takes about as long as writing: each has a thread.
pub(super) fn write(
    plan: &Plan,
    input: &Input,
    selection: &Selection,
    order: OrderReader,
    log: LogReader,
) -> Result<Written, RunError> {
    let columns = match plan.job.output.format {
        OutputFormat::Parquet => typed_columns(input)?,
        OutputFormat::Jsonl | OutputFormat::Csv | OutputFormat::Tsv | OutputFormat::OpenaiBatch => columns(input)?,
    };
    let mut writer = Writer::create(&plan.job.output, &columns, selection.is_part())?;
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let read = move || {
            let mut batches = Batches { sender, batch: Batch::default() };
            read_ended(plan, input, selection, (order, log), &mut batches).map(|()| batches.send())
        };
        let reader = thread::Builder::new().name("results".to_owned()).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| RunError::Thread(error.to_string()))?;
        for (record, outcome) in batches.into_iter().flat_map(|batch: Batch| batch.rows) {
            // An error here drops the receiver, and the reader ends.
            with_row(plan, &record, &outcome, |row| writer.write(row))?;
        }
        reader.join().unwrap_or_else(|caught| panic::resume_unwind(caught))?;
        // Rows were matched by their number: those of an input that changed meanwhile have the answers of others.
        if !input.is_as_opened()? {
            return Err(RunError::InputChanged);
        }
        Ok(writer.finish()?)
    })
}

/// Rows that have ended, as they stand in the input.
#[derive(Default)]
struct Batch {
    rows: Vec<(Record, OutcomeLine)>,
    bytes: usize,
}

/// Where the reader puts them.
struct Batches {
    sender: SyncSender<Batch>,
    batch: Batch,
}

impl Batches {
    /// Whether anyone still takes them.
    fn add(&mut self, record: Record, outcome: OutcomeLine) -> bool {
        let reply = outcome.reply.as_ref().map_or(0, |reply| reply.get().len());
        self.batch.bytes += record.size() + reply;
        self.batch.rows.push((record, outcome));
        let is_full = self.batch.rows.len() >= BATCH_ROWS || self.batch.bytes >= BATCH_BYTES;
        !is_full || self.send()
    }

    fn send(&mut self) -> bool {
        self.sender.send(std::mem::take(&mut self.batch)).is_ok()
    }
}

fn read_ended(
    plan: &Plan,
    input: &Input,
    selection: &Selection,
    (mut order, mut log): (OrderReader, LogReader),
    batches: &mut Batches,
) -> Result<(), RunError> {
    for record in selected(plan, input, selection)? {
        let record = record?;
        let end = order.get(record.number)?.ok_or(RunError::NoOutcome(record.number))?;
        if !batches.add(record, log.outcome_at(end.offset)?) {
            break;
        }
    }
    Ok(())
}

/// Goes through the selected records, in the order of the input.
pub(super) fn each(
    plan: &Plan,
    input: &Input,
    selection: &Selection,
    mut take: impl FnMut(&Record) -> Result<(), RunError>,
) -> Result<(), RunError> {
    for record in selected(plan, input, selection)? {
        take(&record?)?;
    }
    Ok(())
}

fn selected<'a>(
    plan: &'a Plan,
    input: &Input,
    selection: &'a Selection,
) -> Result<impl Iterator<Item = Result<Record, SourceError>> + 'a, RunError> {
    let within = |record: &Result<Record, SourceError>| {
        record.as_ref().map_or(true, |record| record.number <= selection.limit())
    };
    let takes =
        |record: &Result<Record, SourceError>| record.as_ref().map_or(true, |record| selection.takes(plan, record));
    Ok(input.records()?.take_while(within).filter(takes))
}

/// Puts a record and its outcome together as the sink takes them.
pub(super) fn with_row<T>(
    plan: &Plan,
    record: &Record,
    outcome: &OutcomeLine,
    take: impl FnOnce(&FinishedRow<'_>) -> T,
) -> T {
    let row = record.row().ok();
    let raw = record.raw();
    let id = shown_id(plan, record, row.as_ref());
    let input = row.as_ref().map_or(InputView::Raw(&raw), InputView::Row);
    let said = said(plan, outcome);
    let (data, content) = said.as_ref().map_or((None, None), |(rules, text)| (rules.data(text), rules.content(text)));
    let (place, data) = (&record.place, data.as_ref());
    take(&FinishedRow { id: &id, row: record.number, place, input, outcome, data, content })
}

/// The rules of a task that has some, and the text of the answer that they were held against. A reply that cannot be read
/// is told by the sink.
fn said<'a>(plan: &'a Plan, outcome: &OutcomeLine) -> Option<(&'a Rules, String)> {
    let task = plan.job.tasks.iter().find(|task| task.name == outcome.task)?;
    let rules = &task.answer.as_ref()?.rules;
    let reply = outcome.reply.as_ref().filter(|_| outcome.failure.is_none())?;
    Some((rules, read_reply(outcome.endpoint, reply.get().as_bytes()).ok()?.content?))
}

/// The input's columns, for a table.
pub(super) fn columns(input: &Input) -> Result<InputColumns, RunError> {
    let names = match input.columns() {
        Some(names) => names,
        None => names_of_first(input)?,
    };
    Ok(InputColumns::of_text(names, input.dialect()))
}

/// As [`columns`], for a Parquet file: with their types. JSON does not say them, so all of it is read, and no column of it is
/// missed.
#[cfg(feature = "parquet")]
pub(super) fn typed_columns(input: &Input) -> Result<InputColumns, RunError> {
    if let Some(names) = input.columns() {
        return Ok(InputColumns { names, types: input.types(), ..InputColumns::default() });
    }
    let mut seen = ColumnTypes::default();
    for record in input.records()? {
        if let Ok(row) = record?.row() {
            seen.see(&row);
        }
    }
    let types = seen.schema();
    let names = types.fields().iter().map(|field| field.name().clone()).collect();
    Ok(InputColumns { names, types: Some(types), ..InputColumns::default() })
}

#[cfg(not(feature = "parquet"))]
pub(super) fn typed_columns(input: &Input) -> Result<InputColumns, RunError> {
    columns(input)
}

fn names_of_first(input: &Input) -> Result<Vec<String>, RunError> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for record in input.records()?.take(COLUMNS_FROM) {
        let Ok(row) = record?.row() else { continue };
        for name in row.fields().keys() {
            if seen.insert(name.clone()) {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}
