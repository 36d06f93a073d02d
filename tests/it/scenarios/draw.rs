//! A scenario by chance: the same from the same seed.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::night::TOP;

/// What every model costs, in USD per million tokens: enough for a call to be worth a cent or two.
pub const PRICE: (f64, f64) = (100.0, 1000.0);

/// What a call costs at most, with these texts and `max_tokens = 32`: some 45 bytes and the output.
const WORST_CALL: f64 = 0.037;

/// A job, the weather of its providers and the interruptions of its nights.
#[derive(Debug)]
pub struct Scenario {
    pub rows: Vec<Value>,
    pub providers: Vec<Provider>,
    pub tasks: Vec<Task>,
    pub run: Run,
    /// One for each night: after so long somebody stops it; and again so long after that.
    pub stops: Vec<Option<(Duration, Option<Duration>)>>,
    /// From the end of a night to the begin of the next one.
    pub pause: Duration,
}

#[derive(Debug)]
pub struct Provider {
    pub name: String,
    pub members: Vec<Member>,
    /// Members are keys, not replicas.
    keys: bool,
    pub limits: Limits,
    /// Of a call.
    pub timeout: Duration,
    /// It counts the most that an answer may have, and the profile says so.
    counts_max_tokens: bool,
}

/// One replica or key, with a simulator of its own.
#[derive(Debug)]
pub struct Member {
    /// As in a `simulate` table.
    pub simulate: Value,
    pub outages: Vec<Outage>,
    pub wrong_key: bool,
    /// After so many calls its key is the wrong one.
    pub revoked_after: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub fault: &'static str,
    pub from: Duration,
    pub to: Duration,
}

/// What a server enforces, and whether the job knows.
#[derive(Debug, Default)]
pub struct Limits {
    pub enforced: Map<String, Value>,
    pub configured: bool,
}

#[derive(Debug)]
pub struct Task {
    pub name: String,
    /// Providers and models.
    pub route: Vec<(usize, &'static str)>,
    fallback_after: &'static str,
    pub max_cost: Option<f64>,
}

#[derive(Debug)]
pub struct Run {
    pub concurrency: u64,
    pub on_outage: Duration,
    pub max_cost: Option<f64>,
    pub max_failures: Option<&'static str>,
    pub deadline: Option<Duration>,
    pub drain: Duration,
    max_attempts: u64,
    backoff_max: u64,
}

const STOPS: usize = 5;

impl Scenario {
    pub fn of(seed: u64) -> Self {
        // Neighbouring seeds would make neighbouring first states.
        let mut rng = Rng::with_seed(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rng = &mut rng;
        let providers: Vec<_> = (0..rng.usize(1..=3)).map(|number| Provider::draw(rng, number)).collect();
        let rows = rng.usize(30..=400);
        let tasks: Vec<_> =
            (0..rng.usize(1..=3)).map(|number| Task::draw(rng, number, providers.len(), rows)).collect();
        let row = |n: usize| {
            let task = &tasks[rng.usize(..tasks.len())].name;
            let text = format!("row {n}{}", " and more".repeat(rng.usize(0..3)));
            json!({ "id": n, "task_type": task, "text": text })
        };
        let rows: Vec<_> = (1..=rows).map(row).collect();
        let run = Run::draw(rng, rows.len());
        let stop = |_| {
            let after = Duration::from_secs_f64(rng.f64() * if rng.bool() { 10.0 } else { 300.0 });
            let again = chance(rng, 0.3).then(|| Duration::from_secs_f64(rng.f64() * 3.0));
            chance(rng, 0.25).then_some((after, again))
        };
        let stops = (0..STOPS).map(stop).collect();
        // Windows of a minute are empty by then: a run knows nothing of the one before.
        let pause = Duration::from_secs(rng.u64(61..=300));
        Self { rows, providers, tasks, run, stops, pause }
    }

    /// The job; without what stops it, where the night is calm.
    pub fn job(&self, calm: bool) -> String {
        let mut job = format!("{TOP}\n");
        for task in &self.tasks {
            task.write(&mut job, &self.providers, calm);
        }
        for (provider, model) in self.models() {
            let (input, output) = PRICE;
            let name = &self.providers[provider].name;
            let table = format!("[models.\"{name}/{model}\"]\nprovider = \"{name}\"\nmodel = \"{model}\"\n");
            writeln!(job, "{table}price = {{ input = {input}, output = {output} }}").unwrap();
        }
        self.providers.iter().for_each(|provider| provider.write(&mut job));
        self.run.write(&mut job, calm);
        job
    }

    fn models(&self) -> Vec<(usize, &'static str)> {
        let mut models: Vec<_> = self.tasks.iter().flat_map(|task| task.route.iter().copied()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// How long a night may take at most: what its limits, its outages and its slowest model justify, and as much again.
    pub fn patience(&self) -> Duration {
        // With all that is sent again.
        let calls = 2.5 * f64::from(u32::try_from(self.rows.len()).unwrap());
        let slowest = |cost: &dyn Fn(&Provider) -> f64| self.providers.iter().map(cost).fold(0.0, f64::max);
        let at_limits = slowest(&|provider| provider.limits.minutes(calls)) * 60.0;
        let concurrency = f64::from(u32::try_from(self.run.concurrency).unwrap());
        let working = slowest(&|provider| {
            let own = provider.limits.of("concurrency").unwrap_or(concurrency);
            calls * provider.slowest_answer() / own.min(concurrency)
        });
        // Calls of each row that hang, at most three on each model, and its backoffs.
        let hanging = slowest(&|provider| 12.0 * provider.timeout.as_secs_f64());
        let backoffs = f64::from(u32::try_from(3 * self.run.max_attempts * self.run.backoff_max).unwrap());
        let outages = self.providers.iter().flat_map(|provider| &provider.members).flat_map(|member| &member.outages);
        let out: f64 = outages.map(|outage| (outage.to - outage.from).as_secs_f64() + 60.0).sum();
        let justified = at_limits + working + hanging + backoffs + out + self.run.on_outage.as_secs_f64();
        Duration::from_mins(5) + Duration::from_secs_f64(2.0 * justified)
    }
}

fn chance(rng: &mut Rng, share: f64) -> bool {
    rng.f64() < share
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

impl Provider {
    fn draw(rng: &mut Rng, number: usize) -> Self {
        let members = if chance(rng, 0.25) { rng.usize(2..=3) } else { 1 };
        let (limits, told) = Limits::draw(rng);
        let timeout = Duration::from_secs(rng.u64(3..=20));
        // Those that do have no limit of output alone.
        let counts_max_tokens = limits.of("output_tpm").is_none() && chance(rng, 0.15);
        let (slow, noise) = (one_of(rng, &[50, 300, 1_000, 2_000]), one_of(rng, &[0.0, 0.2, 0.4]));
        let (kind, window) = (one_of(rng, &["sliding", "fixed"]), limits.window(rng));
        let poison = shares(rng, 0.3, 0.03, &["server_error", "content_filter", "context_length", "empty"]);
        let faults = shares(rng, 0.4, 0.1, &FAULTS);
        let member = |_| {
            let mut simulate = json!({
                "latency": [format!("{}ms", slow / 2), format!("{slow}ms")],
                "noise": noise,
                "limits": limits.enforced,
                "limit_window": window,
                "window_kind": kind,
                "headers": if !told { "none" } else if counts_max_tokens { "cerebras" } else { "openai" },
                "hints": chance(rng, 0.7),
                "counts": if counts_max_tokens { "max_tokens" } else { "used" },
                "slow_body": "10s",
                "seed": rng.u64(..),
                "poison": poison,
                "faults": faults,
                "count_marks": true,
            });
            let outages = outages(rng);
            let table = |outage: &Outage| json!({ "from": outage.from.as_secs(), "to": outage.to.as_secs(), "fault": outage.fault });
            simulate["outages"] = outages.iter().map(table).collect();
            if chance(rng, 0.06) {
                simulate["quota"] = rng.u64(1..200).into();
            }
            if chance(rng, 0.04) {
                simulate["faults"] = json!({ "model_not_found": 1.0 });
            }
            let revoked_after = chance(rng, 0.06).then(|| rng.usize(1..100));
            Member { simulate, outages, wrong_key: chance(rng, 0.06), revoked_after }
        };
        let members = (0..members).map(member).collect();
        let name = format!("p{number}");
        // The profile of its counting wants a key.
        let keys = rng.bool() || counts_max_tokens;
        Self { name, members, keys, limits, timeout, counts_max_tokens }
    }

    /// The name of a member's wire.
    pub fn wire(&self, member: usize) -> String {
        if member == 0 { self.name.clone() } else { format!("{}/{}", self.name, member + 1) }
    }

    fn write(&self, job: &mut String) {
        let (name, members) = (&self.name, 1..=self.members.len());
        let replica = |n: usize| format!("https://{name}-{n}.example/v1");
        let list = |names: Vec<String>| if names.len() == 1 { format!("{:?}", names[0]) } else { format!("{names:?}") };
        let keys: Vec<_> = members.clone().map(|n| format!("{}_{n}_NIGHT_KEY", name.to_uppercase())).collect();
        let replicas: Vec<_> = members.map(replica).collect();
        let address = if self.keys {
            format!("base_url = {:?}\napi_key_env = {}", replicas[0], list(keys))
        } else {
            format!("base_url = {}", list(replicas))
        };
        writeln!(job, "[providers.{name}]\n{address}").unwrap();
        if self.counts_max_tokens {
            job.push_str("kind = \"cerebras\"\n");
        }
        if self.limits.configured {
            let limits: Vec<_> = self.limits.enforced.iter().map(|(unit, limit)| format!("{unit} = {limit}")).collect();
            writeln!(job, "limits = {{ {} }}", limits.join(", ")).unwrap();
        }
    }

    /// In seconds, on average; where calls hang or trickle, they take their time.
    fn slowest_answer(&self) -> f64 {
        let simulate = &self.members[0].simulate;
        let latency = simulate["latency"][1].as_str().unwrap().trim_end_matches("ms").parse::<f64>().unwrap() / 1000.0;
        let slow = ["faults", "poison"].iter().any(|key| {
            let faults = simulate[key].as_object().unwrap();
            faults.contains_key("hang") || faults.contains_key("slow_body")
        });
        latency + if slow { 0.1 * self.timeout.as_secs_f64().max(10.0) } else { 0.0 }
    }

    /// The faults that befall its calls one by one, whichever member they go to.
    pub fn faults(&self) -> Vec<&str> {
        let tables = self.members.iter().flat_map(|member| [&member.simulate["faults"], &member.simulate["poison"]]);
        tables.flat_map(|table| table.as_object().unwrap().keys()).map(String::as_str).collect()
    }

    /// Whether it answers 429 without a limit in the way.
    pub fn refuses(&self) -> bool {
        let refuses = |member: &Member| {
            !member.simulate["quota"].is_null() || member.outages.iter().any(|outage| outage.fault == "429")
        };
        self.members.iter().any(refuses) || self.faults().contains(&"rate_limit")
    }

    /// Whether one of its members may leave a run for good.
    pub fn may_leave(&self) -> bool {
        let mortal =
            |member: &Member| member.wrong_key || member.revoked_after.is_some() || !member.simulate["quota"].is_null();
        self.members.iter().any(mortal) || self.faults().contains(&"model_not_found")
    }
}

impl Member {
    /// What it does once all is well again: its answers, its limits and the prompts that it cannot take are its own.
    pub fn calm(&self) -> Value {
        let mut simulate = self.simulate.clone();
        simulate["faults"] = json!({});
        simulate["outages"] = json!([]);
        simulate["quota"] = Value::Null;
        simulate
    }
}

const FAULTS: [&str; 12] = [
    "rate_limit",
    "server_error",
    "overloaded",
    "reset",
    "truncated",
    "hang",
    "slow_body",
    "empty",
    "content_filter",
    "html",
    "error_in_200",
    "null_choices",
];

/// One or two kinds of fault, sometimes, with a share of calls or prompts each.
fn shares(rng: &mut Rng, often: f64, most: f64, kinds: &[&str]) -> Value {
    let mut shares = Map::new();
    if chance(rng, often) {
        for _ in 0..rng.usize(1..=2) {
            let share = (rng.f64() * most * 1000.0).ceil() / 1000.0;
            shares.insert(one_of(rng, kinds).to_owned(), share.into());
        }
    }
    Value::Object(shares)
}

fn outages(rng: &mut Rng) -> Vec<Outage> {
    let mut outages = Vec::new();
    let mut from = rng.u64(..=60);
    while chance(rng, 0.3) && outages.len() < 3 {
        let longest = one_of(rng, &[20, 120, 1_500]);
        let to = from + rng.u64(2..=longest);
        let fault = one_of(rng, &["refuse", "hang", "429", "500", "503"]);
        outages.push(Outage { fault, from: Duration::from_secs(from), to: Duration::from_secs(to) });
        from = to + rng.u64(5..=120);
    }
    outages
}

impl Limits {
    /// And whether replies tell of them.
    fn draw(rng: &mut Rng) -> (Self, bool) {
        let mut enforced = Map::new();
        if chance(rng, 0.4) {
            return (Self::default(), false);
        }
        for _ in 0..rng.usize(1..=2) {
            let (unit, limit) = match rng.u64(..5) {
                0 | 1 => ("rpm", one_of(rng, &[30, 60, 180, 600, 1_200])),
                2 => ("tpm", one_of(rng, &[3_000, 6_000, 20_000])),
                3 => ("concurrency", one_of(rng, &[1, 4, 16])),
                _ => ("output_tpm", one_of(rng, &[2_000, 10_000])),
            };
            enforced.insert(unit.to_owned(), limit.into());
        }
        (Self { enforced, configured: rng.bool() }, rng.bool())
    }

    /// The server's window; of a second only where a runner guards seconds, too.
    fn window(&self, rng: &mut Rng) -> &'static str {
        let roomy = self.of("rpm").is_none_or(|rpm| rpm >= 600.0);
        let tokens = ["tpm", "output_tpm"].iter().any(|unit| self.of(unit).is_some());
        if roomy && !tokens && chance(rng, 0.3) { "1s" } else { "1m" }
    }

    pub fn of(&self, unit: &str) -> Option<f64> {
        self.enforced.get(unit).and_then(Value::as_f64)
    }

    /// Whether so many are within a limit.
    pub fn allow(&self, unit: &str, used: u64) -> bool {
        self.enforced.get(unit).and_then(Value::as_u64).is_none_or(|limit| used <= limit)
    }

    /// What so many calls of some fifty tokens need.
    fn minutes(&self, calls: f64) -> f64 {
        let need = [("rpm", 1.0), ("tpm", 64.0), ("output_tpm", 32.0)];
        let minutes = need.iter().filter_map(|(unit, each)| Some(calls * each / self.of(unit)?));
        // Where nothing tells of a limit, it is found by running into it.
        minutes.fold(0.0, f64::max) * if self.configured { 1.0 } else { 2.0 }
    }
}

impl Task {
    fn draw(rng: &mut Rng, number: usize, providers: usize, rows: usize) -> Self {
        let mut all: Vec<_> = (0..providers).flat_map(|provider| [(provider, "m"), (provider, "n")]).collect();
        rng.shuffle(&mut all);
        all.truncate(rng.usize(1..=3));
        let fallback_after = one_of(rng, &["2s", "60s", "never"]);
        let max_cost = chance(rng, 0.1).then(|| budget(rng, rows));
        Self { name: format!("t{number}"), route: all, fallback_after, max_cost }
    }

    fn write(&self, job: &mut String, providers: &[Provider], calm: bool) {
        let names: Vec<_> =
            self.route.iter().map(|(provider, model)| format!("{}/{model}", providers[*provider].name)).collect();
        let Self { name, fallback_after, .. } = self;
        let (first, fallback) = (&names[0], &names[1..]);
        writeln!(job, "[tasks.{name}]\nmodel = {first:?}\nfallback = {fallback:?}").unwrap();
        writeln!(job, "fallback_after = \"{fallback_after}\"\nprompt = \"Tag {{{{ text }}}}\"").unwrap();
        writeln!(job, "params = {{ max_tokens = 32 }}").unwrap();
        if let Some(max_cost) = self.max_cost.filter(|_| !calm) {
            writeln!(job, "max_cost = {max_cost}").unwrap();
        }
    }
}

/// For some of the rows, or all of them.
fn budget(rng: &mut Rng, rows: usize) -> f64 {
    let all = f64::from(u32::try_from(rows).unwrap()) * WORST_CALL;
    (rng.f64() * all * 100.0).ceil() / 100.0
}

impl Run {
    fn draw(rng: &mut Rng, rows: usize) -> Self {
        let drain = one_of(rng, &[1, 10, 60]);
        Self {
            concurrency: one_of(rng, &[1, 2, 8, 32, 64]),
            on_outage: Duration::from_mins(one_of(rng, &[2, 10, 60])),
            max_cost: chance(rng, 0.15).then(|| budget(rng, rows)),
            max_failures: if chance(rng, 0.3) { Some(one_of(rng, &["\"5%\"", "\"50%\"", "3"])) } else { None },
            deadline: chance(rng, 0.15).then(|| Duration::from_secs(drain + rng.u64(1..=600))),
            drain: Duration::from_secs(drain),
            max_attempts: rng.u64(3..=6),
            backoff_max: one_of(rng, &[1, 10, 60]),
        }
    }

    fn write(&self, job: &mut String, calm: bool) {
        let Self { concurrency, drain, max_attempts, backoff_max, .. } = self;
        writeln!(
            job,
            "[retry]\nmax_attempts = {max_attempts}\nbackoff = {{ base = \"200ms\", max = \"{backoff_max}s\" }}"
        )
        .unwrap();
        writeln!(job, "[run]\nconcurrency = {concurrency}\non_outage = \"{}s\"", self.on_outage.as_secs()).unwrap();
        writeln!(job, "drain = \"{}s\"", drain.as_secs()).unwrap();
        if calm {
            job.push_str("max_failures = 1000000\n");
            return;
        }
        if let Some(max_cost) = self.max_cost {
            writeln!(job, "max_cost = {max_cost}").unwrap();
        }
        if let Some(max_failures) = self.max_failures {
            writeln!(job, "max_failures = {max_failures}").unwrap();
        }
        if let Some(deadline) = self.deadline {
            writeln!(job, "deadline = \"{}s\"", deadline.as_secs()).unwrap();
        }
    }
}
