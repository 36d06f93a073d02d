//! What a command that sends nothing stands on: the job, its input, and what is done, none of it changed.

use std::collections::HashMap;
use std::sync::Arc;

use tempfile::TempDir;

use super::RunError;
use super::change::Difference;
use super::connect::check_simulated;
use super::estimate::Experience;
use super::key::row_hash;
use super::matching::Matching;
use super::plan::Plan;
use super::prepare::{Prepared, What};
use super::run::check_files;
use crate::job::Job;
use crate::source::{Input, InputPath};
use crate::store::{KeyIndex, LoggedOutcome, StateReader, StoreError};
use crate::types::{RowHash, Usage, UsedValues};

use serde::Serialize;

/// This much of the log's end tells how long calls take and how long answers are: some thousands of them, in well under a
/// second.
const RECENT: u64 = 4 << 20;

/// Why a row is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has never ended under this id or with this content.
    New,
    /// Its id has an outcome, its content had another form then; or a file that it names had.
    RowChanged,
    /// The same row has an outcome: the prompt, the params or the model changed.
    JobChanged,
    /// It failed in an earlier run, and is tried again.
    Failed,
}

pub(super) struct Ground {
    pub plan: Arc<Plan>,
    pub input: Arc<Input>,
    state: Option<StateReader>,
    /// Holds what standard input said.
    _spool: Option<TempDir>,
}

/// How rows find what is on record of them.
pub(super) struct Record {
    pub matching: Matching,
    /// Where the run that goes on began in the log.
    pub run_offset: Option<u64>,
    /// What rows without an outcome are recognised by; read when the first one comes.
    known: Option<Known>,
}

impl Ground {
    pub fn open(job: Job) -> Result<Self, RunError> {
        let plan = Plan::new(job)?;
        let state = StateReader::open(&plan.job.state, &plan.job.file)?;
        let reads_stdin = plan.job.input.paths.contains(&InputPath::Stdin);
        let spool = reads_stdin.then(TempDir::new).transpose();
        let spool =
            spool.map_err(|error| RunError::Thread(format!("cannot make a folder for temporary files: {error}")))?;
        let folder = spool.as_ref().map_or(plan.job.state.as_path(), TempDir::path);
        let input = Input::open(&plan.job.input, folder).map_err(RunError::Input)?;
        check_files(&plan, &input)?;
        // A run would say so as it starts them.
        check_simulated(&plan)?;
        Ok(Self { plan: Arc::new(plan), input: Arc::new(input), state, _spool: spool })
    }

    /// That of a run which has opened its state, and has not begun.
    pub fn of_run(plan: &Arc<Plan>, input: &Arc<Input>, state: StateReader) -> Self {
        Self { plan: Arc::clone(plan), input: Arc::clone(input), state: Some(state), _spool: None }
    }

    /// What the job asks otherwise than when a run of it last began.
    pub fn difference(&self) -> Result<Option<Difference>, RunError> {
        let Some(state) = &self.state else { return Ok(None) };
        let now = self.plan.job.identity();
        Ok(state.asked()?.filter(|before| *before != now).map(|before| Difference::new(&before, &now)))
    }

    /// The variables of keys that a run would need and that are not set.
    pub fn missing_keys(&self) -> Vec<String> {
        let job = &self.plan.job;
        let routed = |provider: usize| {
            let mut models = job.tasks.iter().flat_map(|task| &task.route);
            models.any(|model| job.models[*model].provider == provider)
        };
        let used = job.providers.iter().enumerate().filter(|(index, _)| routed(*index));
        used.flat_map(|(_, provider)| provider.missing_keys.clone()).collect()
    }

    pub fn state(&self) -> Option<&StateReader> {
        self.state.as_ref()
    }

    /// What is on record, as a run would find it.
    pub fn record(&self) -> Result<Record, RunError> {
        let Some(state) = &self.state else {
            let matching = Matching::nothing();
            return Ok(Record { matching, run_offset: None, known: Some(Known::default()) });
        };
        if let Some((order, run_offset)) = state.order_for(self.plan.identity(&self.input))? {
            return Ok(Record { matching: Matching::ByNumber(order), run_offset, known: None });
        }
        let mut known = self.nothing_known()?;
        let mut outcomes = state.outcomes()?;
        let ended = (&mut outcomes).map(|outcome| {
            let outcome = outcome?;
            known.add(&outcome);
            Ok::<_, StoreError>(outcome.ended)
        });
        let index = KeyIndex::build(ended)?;
        known.sort();
        let matching = Matching::over(&self.plan, index, state)?;
        Ok(Record { matching, run_offset: outcomes.open_run(), known: Some(known) })
    }

    /// Why a row without an outcome is sent.
    pub fn reason(&self, record: &mut Record, prepared: &Prepared) -> Result<Reason, RunError> {
        if record.known.is_none() {
            let mut known = self.nothing_known()?;
            if let Some(state) = &self.state {
                for outcome in state.outcomes()? {
                    known.add(&outcome?);
                }
            }
            known.sort();
            record.known = Some(known);
        }
        let has_files = match &prepared.what {
            What::Ask(request) => !request.payload.images().is_empty(),
            What::Fail { task, .. } => task.is_some_and(|task| self.plan.tasks[task].prompt.reads_files()),
        };
        Ok(record.known.as_ref().map_or(Reason::New, |known| known.reason(prepared, has_files)))
    }

    fn nothing_known(&self) -> Result<Known, RunError> {
        Ok(Known { asks_as_before: self.difference()?.is_none(), ..Known::default() })
    }

    /// What the log tells of answers.
    pub fn answers(&self) -> Result<Answers, RunError> {
        let (mut sums, mut inputs): (HashMap<Asked, Sums>, _) = (HashMap::new(), Vec::new());
        let Some(state) = &self.state else { return Ok(Answers::default()) };
        for outcome in state.last_outcomes(RECENT)? {
            let outcome = outcome?;
            if outcome.called && outcome.ended.end.failure.is_none() {
                let (usage, offset) = (outcome.usage, outcome.ended.end.offset);
                let asked = [outcome.task, outcome.provider, outcome.model];
                if let Some(usage) = usage {
                    inputs.push((offset, asked.clone(), usage.input_tokens));
                }
                sums.entry(asked).or_default().add(outcome.latency_ms, usage);
            }
        }
        let experiences = sums.into_iter().map(|(of, sums)| (of, sums.experience())).collect();
        Ok(Answers { experiences, inputs })
    }
}

/// A task, a provider, and a model by its name on the wire.
pub(super) type Asked = [String; 3];

/// What the end of the log tells of answers.
#[derive(Default)]
pub(super) struct Answers {
    pub experiences: HashMap<Asked, Experience>,
    /// Where an answer stands in the log, of what, and the input tokens that its provider counted.
    pub inputs: Vec<(u64, Asked, u64)>,
}

#[derive(Default)]
struct Sums {
    calls: u64,
    millis: u64,
    /// Calls whose tokens are known.
    told: u64,
    output: u64,
    least: Option<u64>,
    most: Option<u64>,
}

impl Sums {
    fn add(&mut self, latency_ms: u64, usage: Option<Usage>) {
        self.calls += 1;
        self.millis += latency_ms;
        if let Some(Usage { output_tokens, .. }) = usage {
            self.told += 1;
            self.output += output_tokens;
            self.least = Some(self.least.map_or(output_tokens, |least| least.min(output_tokens)));
            self.most = self.most.max(Some(output_tokens));
        }
    }

    fn experience(&self) -> Experience {
        // Both are far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        let mean_seconds = (self.calls > 0).then(|| self.millis as f64 / 1000.0 / self.calls as f64);
        let mean_output = (self.told > 0).then(|| self.output.div_ceil(self.told));
        Experience { least_output: self.least, mean_output, most_output: self.most, mean_seconds }
    }
}

/// Keys, ids and contents that have an outcome, 64 bits of each.
#[derive(Default)]
struct Known {
    keys: Vec<u64>,
    ids: Vec<u64>,
    rows: Vec<u64>,
    /// Of contents with files: with the columns that were used, and with the values and files.
    columns: Vec<u64>,
    values: Vec<u64>,
    /// The job asks as it did when a run of it last began.
    asks_as_before: bool,
}

impl Known {
    fn add(&mut self, outcome: &LoggedOutcome) {
        self.keys.push(short(outcome.ended.key));
        if outcome.ended.end.compared {
            // Another model's answer says nothing of the job's row.
            return;
        }
        self.ids.extend(outcome.id_hash.map(|hash| hash.0));
        self.rows.extend(outcome.row_hash.map(|hash| hash.0));
        if let (Some(row), Some(used)) = (outcome.row_hash, outcome.used.as_ref().filter(|used| used.files)) {
            let [columns, values] = with_files(row, used);
            self.columns.push(columns);
            self.values.push(values);
        }
    }

    fn sort(&mut self) {
        for hashes in [&mut self.keys, &mut self.ids, &mut self.rows, &mut self.columns, &mut self.values] {
            hashes.sort_unstable();
        }
    }

    /// Whether a row whose bytes are on record was asked with other files. Of one without an id nothing is kept that tells:
    /// then it must be the files where nothing else can be.
    fn has_other_files(&self, prepared: &Prepared) -> bool {
        let used = prepared.hashes.used.as_ref().map(|used| with_files(prepared.hashes.row, used));
        match used.filter(|[columns, _]| has(&self.columns, *columns)) {
            Some([_, values]) => !has(&self.values, values),
            None => self.asks_as_before,
        }
    }

    fn reason(&self, prepared: &Prepared, has_files: bool) -> Reason {
        // A further copy of a row that is done has its key.
        if has(&self.keys, short(prepared.key)) {
            return Reason::New;
        }
        if has(&self.rows, prepared.hashes.row.0) {
            let by_file = has_files && self.has_other_files(prepared);
            return if by_file { Reason::RowChanged } else { Reason::JobChanged };
        }
        match prepared.hashes.id {
            Some(id) if has(&self.ids, id.0) => Reason::RowChanged,
            Some(_) | None => Reason::New,
        }
    }
}

fn has(hashes: &[u64], hash: u64) -> bool {
    hashes.binary_search(&hash).is_ok()
}

/// What a row with files is recognised by beside its bytes: the columns that were used, and all that was.
fn with_files(row: RowHash, used: &UsedValues) -> [u64; 2] {
    let columns = row_hash(used.columns.iter().flatten().cloned().collect::<Vec<_>>().join("\0").as_bytes());
    [row.0 ^ columns.0.rotate_left(1), row.0 ^ used.hash.0.rotate_left(1)]
}

fn short(key: crate::types::Key) -> u64 {
    u64::from_be_bytes(*key.0.first_chunk().unwrap_or(&[0; 8]))
}
