//! What the steps on a row's way take, each by itself: without a network, on one thread.
//!
//! `cargo bench --bench hot_paths [-- NAME...]` prints times and allocations, in about a minute for all of them; a NAME takes
//! those whose names contain it. Where a step takes many rows at once, it is counted in items, which are rows. A step that the
//! library does not show by itself stands within the smallest one that it shows: keys in `plan`, all of a row in `run`.

#![allow(clippy::unwrap_used, missing_docs, clippy::disallowed_methods)]

mod rows;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use http::HeaderMap;
use overnight::engine::{RunOptions, Subset, run, survey};
use overnight::job::{Job, JobArgs, load};
use overnight::limit::{CallEnd, Limits, Member, ModelGate, Need, ProviderGate, ProviderSetup, Slots, Used};
use overnight::prompt::{PromptSettings, Templates};
use overnight::provider::{ModelRequest, OpenAiProvider, Profile, Provider, TokenParam};
use overnight::sink::{FinishedRow, InputView, OutputFormat, OutputSettings, Writer, result_line};
use overnight::source::{Format, Input, InputPath, InputSettings};
use overnight::store::{FlightEntry, LogReader, StateDir, Store};
use overnight::types::{
    AnswerColumns, Endpoint, Form, InputColumns, Key, LogLine, Money, OutcomeLine, Payload, Place, Row, RowHash,
    Transport, TransportError, Usage, WireReply, WireRequest, read_reply,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// The bytes of a row's text.
const TEXT: usize = 1_000;
/// Rows of a step that takes many.
const ROWS: usize = 1_000;
/// Rows of a run: enough to make little of what its start takes.
const RUN_ROWS: usize = 10_000;
/// What the recorder writes at once at most.
const BATCH: usize = 512;
/// What the checkpoint takes at once.
const RECORD: usize = 2_048;

/// A reply as servers send it.
const REPLY: &str = r#"{"id":"chatcmpl-BZ3wqVqTnCzVnMkrJH0aZ8xgWfXKp","object":"chat.completion","created":1747900000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"The review praises the battery and the screen, and complains about the keyboard and the weight.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":231,"completion_tokens":21,"total_tokens":252,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_54eb4bd693"}"#;

fn main() {
    divan::main();
}

/// A folder with an input, and what is made of it.
struct Folder(TempDir);

impl Folder {
    fn new(rows: usize) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        rows::write(&folder.path().join("in.jsonl"), rows::numbered(rows, TEXT));
        folder
    }

    /// The same rows as a table.
    fn with_csv(self) -> Self {
        let mut table = csv::Writer::from_path(self.path().join("in.csv")).unwrap();
        table.write_record(["id", "text"]).unwrap();
        for record in self.input("in.jsonl").records().unwrap() {
            let row = record.unwrap().row().unwrap();
            table.write_record([row.get("id").unwrap().to_string().as_str(), text_of(&row)]).unwrap();
        }
        table.flush().unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn input(&self, name: &str) -> Input {
        let path = InputPath::Path { path: self.path().join(name), shown: name.to_owned() };
        let settings = InputSettings { paths: vec![path], format: Format::Auto, delimiter: None, max_row: 16 << 20 };
        Input::open(&settings, &self.path().join("spool")).unwrap()
    }

    fn job(&self) -> Job {
        let job = r#"
            [input]
            path = "in.jsonl"
            [output]
            path = "out.jsonl"
            include = []
            [tasks.tag]
            model = "m"
            prompt = "{{ text }}"
            [models.m]
            provider = "p"
            price = { input = 1, output = 2 }
            limits = { rpm = 100_000_000, tpm = 100_000_000_000 }
            [providers.p]
            base_url = "http://127.0.0.1:9/v1"
        "#;
        let file = self.path().join("job.toml");
        fs::write(&file, job).unwrap();
        load(&JobArgs { job_file: file, ..JobArgs::default() }, &|_| None).unwrap()
    }

    fn state(&self) -> StateDir {
        StateDir::create(&self.path().join("state"), &self.path().join("job.toml")).unwrap()
    }
}

fn text_of(row: &Row) -> &str {
    row.get("text").and_then(Value::as_str).unwrap()
}

fn row() -> Row {
    let folder = Folder::new(1);
    folder.input("in.jsonl").records().unwrap().next().unwrap().unwrap().row().unwrap()
}

/// A server that always says the same, at once.
struct Canned;

impl Transport for Canned {
    fn send(&self, _request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>> {
        let body = Bytes::from_static(REPLY.as_bytes());
        ready(Ok(WireReply { status: 200, headers: HeaderMap::new(), body })).boxed()
    }
}

fn payload() -> Payload {
    let messages = json!([{ "role": "user", "content": text_of(&row()) }]);
    Payload::messages(serde_json::value::to_raw_value(&messages).unwrap())
}

fn outcome(row: u64) -> LogLine {
    LogLine::Outcome(Box::new(OutcomeLine {
        call: row,
        key: Key([7; 16]),
        asked_as: None,
        row,
        id_hash: Some(RowHash(row)),
        row_hash: Some(RowHash(row)),
        used: None,
        request: None,
        deduped: false,
        run: 1,
        at: 1_700_000_000_000 + row,
        task: "tag".to_owned(),
        failure: None,
        provider: "gateway".to_owned(),
        model: "gpt-4o-mini".to_owned(),
        attempts: 1,
        usage: Some(Usage { input_tokens: 231, output_tokens: 21, ..Usage::default() }),
        cost: Some(Money::from_pico(47_250_000)),
        row_cost: Some(Money::from_pico(47_250_000)),
        latency_ms: 812,
        request_id: Some("req_0a1b2c3d4e5f".to_owned()),
        replaces: None,
        retry: false,
        reask: false,
        came_from: None,
        truncated: false,
        compared: false,
        possibly_billed: false,
        worst_cost: None,
        trail: Vec::new(),
        endpoint: Endpoint::Chat,
        reply: Some(RawValue::from_string(REPLY.to_owned()).unwrap().into()),
    }))
}

fn append(store: &mut Store, lines: &[LogLine]) {
    for line in lines {
        store.append(line).unwrap();
    }
}

fn results(folder: &Folder) -> OutputSettings {
    OutputSettings {
        path: folder.path().join("out.jsonl"),
        format: OutputFormat::Jsonl,
        errors: None,
        include: None,
        prefix: String::new(),
        response: false,
        answers: AnswerColumns::default(),
    }
}

/// Records out of a file, not parsed: a pass over rows that are done.
#[divan::bench(args = ["in.jsonl", "in.csv"])]
fn read(bencher: Bencher<'_, '_>, file: &str) {
    let folder = Folder::new(ROWS).with_csv();
    let input = folder.input(file);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| input.records().unwrap().map(Result::unwrap).count());
}

/// A record into its columns.
#[divan::bench(args = ["in.jsonl", "in.csv"])]
fn parse(bencher: Bencher<'_, '_>, file: &str) {
    let folder = Folder::new(ROWS).with_csv();
    let record = folder.input(file).records().unwrap().next().unwrap().unwrap();
    bencher.counter(BytesCount::new(record.size())).bench_local(|| black_box(&record).row().unwrap());
}

/// A row into messages.
#[divan::bench]
fn render(bencher: Bencher<'_, '_>) {
    let settings = PromptSettings {
        system: Some("You tag reviews.".to_owned()),
        prompt: Some("Tag this review: {{ text }}".to_owned()),
        ..PromptSettings::default()
    };
    let prompt = Templates::new(&Map::new()).prompt(&settings).unwrap();
    let row = row();
    bencher.bench_local(|| prompt.render(black_box(&row), Form::Messages).unwrap());
}

/// Rows read, parsed, routed, rendered, keyed and counted: what `plan` does, and a resume of a job whose input changed.
#[divan::bench]
fn plan(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(ROWS);
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(|| folder.job())
        .bench_local_values(|job| survey(job, &Subset::default()).unwrap());
}

/// A request into its body, and a reply read: a call without its transport.
#[divan::bench]
fn call(bencher: Bencher<'_, '_>) {
    let provider = OpenAiProvider::new(Arc::new(Canned), Profile::OpenAi, TokenParam::MaxTokens);
    let params = json!({ "temperature": 0, "max_tokens": 64 });
    let request = ModelRequest {
        model: "gpt-4o-mini".into(),
        endpoint: Endpoint::Chat,
        payload: payload(),
        params: Arc::new(params.as_object().unwrap().clone()),
        as_written: false,
    };
    bencher.bench_local(|| provider.call(black_box(&request)).now_or_never().unwrap().unwrap());
}

/// A reply alone.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| read_reply(Endpoint::Chat, black_box(REPLY.as_bytes())).unwrap());
}

/// The way of a call through its model's limits, which are far away: in, settled, ended, out.
#[divan::bench]
fn limit(bencher: Bencher<'_, '_>) {
    let limits = Limits { rpm: Some(100_000_000), tpm: Some(100_000_000_000), ..Limits::default() };
    let provider = ProviderGate::new(ProviderSetup { adaptive: true, ..ProviderSetup::default() });
    let gate = ModelGate::new(vec![Member { limits, provider, used_today: 0 }], Slots::new(256));
    bencher.bench_local(|| {
        let need = Need { input: 1_200, output: 64 };
        let mut admission = gate.admit(black_box(need), None).now_or_never().unwrap().unwrap();
        admission.settle(Used { input: 231, output: 21 });
        admission.ended(CallEnd::Good);
    });
}

/// A call noted in the flight file before it is sent, and freed.
#[divan::bench]
fn flight(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(1);
    let (store, _) = Store::open(&folder.state(), 256, 0).unwrap();
    let flight = store.flight();
    let entry = FlightEntry {
        call: 1,
        key: Key([7; 16]),
        row: 1,
        at: 1_700_000_000_000,
        worst_cost: Some(Money::from_pico(1)),
        task: "tag".into(),
        provider: "gateway".into(),
        model: "gpt-4o-mini".into(),
    };
    bencher.bench_local(|| {
        flight.take(0, black_box(&entry)).unwrap();
        flight.free(0).unwrap();
    });
}

/// Lines into the log, in one write.
#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(1);
    let (mut store, _) = Store::open(&folder.state(), 256, 0).unwrap();
    let lines: Vec<_> = (0..BATCH as u64).map(outcome).collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        append(&mut store, &lines);
        store.write().unwrap();
    });
}

/// The same, and a record of the checkpoint, synced with all that comes before it: a matter of the disk.
#[divan::bench]
fn commit(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(1);
    let (mut store, _) = Store::open(&folder.state(), 256, 0).unwrap();
    let lines: Vec<_> = (0..RECORD as u64).map(outcome).collect();
    bencher.counter(ItemsCount::new(RECORD)).bench_local(|| {
        for batch in lines.chunks(BATCH) {
            append(&mut store, batch);
            store.write().unwrap();
        }
        store.checkpoint().unwrap();
    });
}

/// A result line out of an outcome and its row.
#[divan::bench]
fn result(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(1);
    let (settings, row) = (results(&folder), row());
    let LogLine::Outcome(outcome) = outcome(1) else { return };
    let (id, place) = (json!(1), Place { file: "in.jsonl".into(), line: 1 });
    let row = FinishedRow {
        id: &id,
        row: 1,
        place: &place,
        input: InputView::Row(&row),
        outcome: &outcome,
        data: None,
        content: None,
    };
    bencher.bench_local(|| result_line(black_box(&row), &settings).unwrap());
}

/// The results file: rows and outcomes in the order of the input, to disk.
#[divan::bench]
fn results_in_order(bencher: Bencher<'_, '_>) {
    let folder = Folder::new(ROWS);
    let state = folder.state();
    let (mut store, _) = Store::open(&state, 256, 0).unwrap();
    store.order_for([0; 16]).unwrap();
    append(&mut store, &(1..=ROWS as u64).rev().map(outcome).collect::<Vec<_>>());
    let (mut order, mut log) = (store.order().unwrap(), LogReader::open(&state).unwrap());
    let (input, settings) = (folder.input("in.jsonl"), results(&folder));
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        let mut writer = Writer::create(&settings, &InputColumns::default(), false).unwrap();
        for record in input.records().unwrap() {
            let record = record.unwrap();
            let row = record.row().unwrap();
            let outcome = log.outcome_at(order.get(record.number).unwrap().unwrap().offset).unwrap();
            let id = row.get("id").unwrap();
            let (number, place, input) = (record.number, &record.place, InputView::Row(&row));
            let row = FinishedRow { id, row: number, place, input, outcome: &outcome, data: None, content: None };
            writer.write(&row).unwrap();
        }
        writer.finish().unwrap()
    });
}

/// A whole run, its calls answered at once: all that overnight does but HTTP.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn run_without_http(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    bencher
        .counter(ItemsCount::new(RUN_ROWS))
        .with_inputs(|| {
            let folder = Folder::new(RUN_ROWS);
            (folder.job(), folder)
        })
        .bench_local_values(|(job, folder)| {
            let transport: Arc<dyn Transport> = Arc::new(Canned);
            let options = RunOptions { transports: [("p".to_owned(), transport)].into(), ..RunOptions::default() };
            let summary = runtime.block_on(run(job, options)).unwrap();
            assert_eq!(summary.rows.succeeded, RUN_ROWS as u64);
            folder
        });
}
