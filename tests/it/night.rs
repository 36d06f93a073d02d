//! A run of the library on paused time: a job in a folder, and simulators without sockets behind its providers.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use overnight::engine::{RunError, RunOptions, Stop, Threads, run};
use overnight::event::{Event, Summary};
use overnight::job::{self, JobArgs};
use overnight::sim::{Sim, SimTransport};
use overnight::types::{Transport, TransportError, WireReply, WireRequest};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::World;

/// How long a call may take before the wire gives up, where a test does not say otherwise.
const ATTEMPT: Duration = Duration::from_mins(1);

/// A job, its rows, and its providers.
pub struct Night {
    pub world: World,
    providers: HashMap<String, Arc<Provider>>,
}

/// A simulator behind a wire that takes notes.
pub struct Provider {
    pub sim: Arc<Sim>,
    face: SimTransport,
    /// After so many calls every key is the wrong one.
    revoked_after: AtomicUsize,
    /// This one call comes with a wrong key.
    refused: AtomicUsize,
    /// After so many calls the server knows no `response_format`.
    text_only_after: AtomicUsize,
    /// This model alone is out for a time.
    model_out: Mutex<Option<(String, Range<Duration>)>>,
    born: Instant,
    attempt: Mutex<Duration>,
    sent: AtomicUsize,
    calls: Mutex<Vec<WireCall>>,
    bodies: Mutex<Vec<Bytes>>,
}

/// A call as seen on the wire.
#[derive(Clone, Debug)]
pub struct WireCall {
    /// Since the provider was made.
    pub sent: Duration,
    pub ended: Duration,
    pub model: String,
    /// `None`: no reply.
    pub status: Option<u16>,
}

impl Night {
    /// A folder with this job and these rows as `in.jsonl`.
    pub fn new(job: &str, rows: impl IntoIterator<Item = Value>) -> Self {
        let world = World::new();
        world.write("job.toml", job);
        let rows: Vec<String> = rows.into_iter().map(|row| row.to_string()).collect();
        world.write("in.jsonl", rows.join("\n"));
        Self { world, providers: HashMap::new() }
    }

    /// Puts a simulator behind a provider, with settings as in a `simulate` table.
    pub fn provider(&mut self, name: &str, settings: Value) -> Arc<Provider> {
        self.provider_with(name, settings, SimTransport::new)
    }

    /// As [`Night::provider`], with this API key.
    pub fn provider_with_key(&mut self, name: &str, settings: Value, key: &str) -> Arc<Provider> {
        self.provider_with(name, settings, |sim| SimTransport::with_key(sim, key))
    }

    fn provider_with(
        &mut self,
        name: &str,
        settings: Value,
        face: impl FnOnce(Arc<Sim>) -> SimTransport,
    ) -> Arc<Provider> {
        let sim = Sim::new(serde_json::from_value(settings).unwrap());
        let provider = Arc::new(Provider {
            face: face(Arc::clone(&sim)),
            revoked_after: AtomicUsize::new(usize::MAX),
            refused: AtomicUsize::new(usize::MAX),
            text_only_after: AtomicUsize::new(usize::MAX),
            model_out: Mutex::default(),
            sim,
            born: Instant::now(),
            attempt: Mutex::new(ATTEMPT),
            sent: AtomicUsize::new(0),
            calls: Mutex::default(),
            bodies: Mutex::default(),
        });
        self.providers.insert(name.to_owned(), Arc::clone(&provider));
        provider
    }

    pub async fn run(&self) -> Summary {
        self.try_run().await.0.unwrap()
    }

    /// Runs the job; the events on the way, too.
    pub async fn try_run(&self) -> (Result<Summary, RunError>, Vec<Event>) {
        self.try_run_with(Stop::default()).await
    }

    pub async fn try_run_with(&self, stop: Stop) -> (Result<Summary, RunError>, Vec<Event>) {
        let args = JobArgs { job_file: self.world.path("job.toml"), ..JobArgs::default() };
        // Jobs with several keys name variables that end so: the wires of a night do not look at keys.
        let variable = |name: &str| name.ends_with("_NIGHT_KEY").then(|| name.to_owned());
        let job = job::load(&args, &variable).unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let watching = Arc::clone(&events);
        let wires = self.providers.iter();
        let options = RunOptions {
            transports: wires.map(|(name, wire)| (name.clone(), Arc::clone(wire) as Arc<dyn Transport>)).collect(),
            threads: Threads::Runtime,
            stop,
            watcher: Box::new(move |event| watching.lock().unwrap().push(event.clone())),
            ..RunOptions::default()
        };
        self.wait_for_copies_of_the_lock();
        let result = run(job, options).await;
        let events = std::mem::take(&mut *events.lock().unwrap());
        (result, events)
    }

    /// A process that another test is starting has a copy of our last lock until it runs its program, and the engine's
    /// patience with that is paused time.
    fn wait_for_copies_of_the_lock(&self) {
        let Ok(file) = File::open(self.world.path(".overnight/job/lock")) else { return };
        for _ in 0..500 {
            if file.try_lock().is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub fn results(&self) -> Vec<Value> {
        self.world.lines("out.jsonl")
    }

    pub fn errors(&self) -> Vec<Value> {
        self.world.lines("out.errors.jsonl")
    }

    /// Kinds of the errors file, and how many rows have each.
    pub fn error_kinds(&self) -> HashMap<String, usize> {
        let mut kinds = HashMap::new();
        for error in self.errors() {
            *kinds.entry(error["error"]["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }
}

impl Provider {
    pub fn calls(&self) -> Vec<WireCall> {
        self.calls.lock().unwrap().clone()
    }

    /// What was asked, in the order of sending.
    pub fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    /// Calls that were put on the wire, those that were given up too.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Since the provider was made.
    pub fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// A call may take so long before the wire gives up.
    pub fn times_out_after(&self, attempt: Duration) {
        *self.attempt.lock().unwrap() = attempt;
    }

    pub fn revoke_key_after(&self, calls: usize) {
        self.revoked_after.store(calls, Ordering::Relaxed);
    }

    pub fn refuse_call(&self, number: usize) {
        self.refused.store(number, Ordering::Relaxed);
    }

    pub fn text_only_after(&self, calls: usize) {
        self.text_only_after.store(calls, Ordering::Relaxed);
    }

    /// Since the provider was made, with 500s.
    pub fn model_is_out(&self, model: &str, times: Range<Duration>) {
        *self.model_out.lock().unwrap() = Some((model.to_owned(), times));
    }

    /// Whether the model that is asked for is the one that is out now.
    fn is_out(&self, model: &Value) -> bool {
        let out = self.model_out.lock().unwrap();
        out.as_ref().is_some_and(|(name, times)| model == name && times.contains(&self.born.elapsed()))
    }

    async fn exchange(&self, request: WireRequest) -> Result<WireReply, TransportError> {
        let sent = self.born.elapsed();
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        self.bodies.lock().unwrap().push(request.body.clone());
        let before = self.sent.fetch_add(1, Ordering::Relaxed);
        let mut request = request;
        if before >= self.text_only_after.load(Ordering::Relaxed) && body.get("response_format").is_some() {
            // The simulator's model of that kind.
            body["model"] = json!("text-only");
            request.body = body.to_string().into();
        }
        if self.is_out(&body["model"]) {
            body["model"] = json!("fail-500");
            request.body = body.to_string().into();
        }
        let revoked =
            before >= self.revoked_after.load(Ordering::Relaxed) || before == self.refused.load(Ordering::Relaxed);
        let face = if revoked { &SimTransport::with_key(Arc::clone(&self.sim), "revoked") } else { &self.face };
        let attempt = *self.attempt.lock().unwrap();
        let result = tokio::time::timeout(attempt, face.send(request)).await;
        let result = result.unwrap_or(Err(TransportError::Timeout(attempt)));
        let status = result.as_ref().ok().map(|reply| reply.status);
        let model = body["model"].as_str().unwrap().to_owned();
        self.calls.lock().unwrap().push(WireCall { sent, ended: self.born.elapsed(), model, status });
        result
    }
}

impl Transport for Provider {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireReply, TransportError>> {
        self.exchange(request).boxed()
    }
}

/// `count` rows with a number and a text.
pub fn rows(count: usize) -> Vec<Value> {
    (1..=count).map(|n| json!({"id": n, "text": format!("row {n}")})).collect()
}

/// The top of a job over `in.jsonl`; its tasks, models and providers follow.
pub const TOP: &str = r#"
[input]
path = "in.jsonl"
[output]
path = "out.jsonl"
"#;

/// A job of one task over these models of `p`, in this order, with more tables behind it.
pub fn job(route: &[&str], more: &str) -> String {
    let fallback: Vec<String> = route[1..].iter().map(|model| format!("\"p/{model}\"")).collect();
    format!(
        "{TOP}
        [tasks.tag]
        model = \"p/{}\"
        fallback = [{}]
        prompt = \"Tag {{{{ text }}}}\"
        params = {{ max_tokens = 32 }}
        [providers.p]
        base_url = \"https://sim.example/v1\"
        {more}",
        route[0],
        fallback.join(", ")
    )
}

/// A job of one task over a model of `a`, then one of `b`, with more keys of the task, of `a` and of `[run]`.
pub fn two_providers(task: &str, a: &str, run: &str) -> String {
    format!(
        "{TOP}
        [tasks.tag]
        model = \"a/m\"
        fallback = [\"b/m\"]
        prompt = \"Tag {{{{ text }}}}\"
        params = {{ max_tokens = 32 }}
        {task}
        [providers.a]
        base_url = \"https://a.example/v1\"
        {a}
        [providers.b]
        base_url = \"https://b.example/v1\"
        [run]
        {run}"
    )
}
