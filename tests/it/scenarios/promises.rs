//! What every scenario has to keep, after each of its nights and at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use overnight::event::{StopReason, Summary};
use overnight::sim::{SimLedger, answer_mark};
use overnight::types::{FailureKind, LogLine, Money, Price, RunNumber, Usage};

use super::Wire;
use super::draw::{Outage, PRICE, Provider, Scenario};
use crate::night::Night;
use crate::truth;

/// A night that has ended.
pub struct Ran<'a> {
    /// After the servers did.
    pub began: Duration,
    /// Calls that were put on all wires.
    pub sent: usize,
    pub stopped: Option<(Duration, Option<Duration>)>,
    /// Nothing was in its way.
    pub calm: bool,
    pub summary: &'a Summary,
    pub wires: &'a [Wire],
}

/// What the nights add up to.
#[derive(Default)]
pub struct Account {
    succeeded: u64,
    attempts: u64,
    cost: Money,
    possibly: Money,
    /// The cost of each run at its worst, of all tasks and of each.
    charged: HashMap<RunNumber, Money>,
    charged_by_task: HashMap<(RunNumber, String), Money>,
    /// Lines of the log that were looked at.
    lines: usize,
    /// The bills of servers that are not asked any more, by provider.
    bills: Vec<(usize, SimLedger, usize)>,
}

/// What the log says of one model of one provider.
#[derive(Default)]
struct Told {
    usage: Usage,
    lost: Money,
}

impl Account {
    pub fn check_night(&mut self, scenario: &Scenario, night: &Night, ran: &Ran<'_>) {
        let summary = ran.summary;
        let rows = &summary.rows;
        assert_eq!(rows.total, rows.succeeded + rows.failed + rows.failed_before + rows.remaining, "{rows:?}");
        assert_eq!(rows.total, scenario.rows.len() as u64, "{rows:?}");
        assert!(rows.succeeded >= self.succeeded, "answers are never lost: {rows:?}");
        assert_eq!(summary.attempts, ran.sent as u64, "every call is told: {summary:?}");
        self.succeeded = rows.succeeded;
        self.attempts += summary.attempts;
        self.cost += summary.cost_usd;
        self.possibly += summary.possibly_billed.max_cost_usd;
        let log = truth::log(&night.world);
        let lines = &log[self.lines..];
        self.lines = log.len();
        if !ran.calm {
            self.check_budgets(scenario, lines);
        }
        check_exit(scenario, ran, lines);
        check_outages(scenario, ran, lines);
        check_limits(scenario, ran.wires);
        check_time(scenario, ran);
    }

    /// Whatever the servers bill, a budget holds.
    fn check_budgets(&mut self, scenario: &Scenario, lines: &[LogLine]) {
        for line in lines {
            let Some((task, _, charge)) = line.charge() else { continue };
            let run = match line {
                LogLine::Attempt(line) => line.run,
                LogLine::Outcome(line) => line.run,
                LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => continue,
            };
            *self.charged.entry(run).or_default() += charge;
            *self.charged_by_task.entry((run, task.to_owned())).or_default() += charge;
        }
        let most = |usd: Option<f64>| usd.map_or(Money::from_usd(1e6).unwrap(), |usd| Money::from_usd(usd).unwrap());
        for charged in self.charged.values() {
            assert!(*charged <= most(scenario.run.max_cost), "{charged} of {:?}", scenario.run.max_cost);
        }
        for ((_, name), charged) in &self.charged_by_task {
            let task = scenario.tasks.iter().find(|task| task.name == *name);
            let max_cost = task.and_then(|task| task.max_cost);
            assert!(*charged <= most(max_cost), "{charged} of {max_cost:?} for {name}");
        }
    }

    /// These servers are asked no more.
    pub fn retire(&mut self, wires: &[Wire]) {
        self.bills.extend(wires.iter().map(|wire| (wire.provider, wire.at.sim.ledger(), wire.at.sent())));
    }

    pub fn check_end(&self, scenario: &Scenario, night: &Night) {
        check_rows(scenario, night);
        let log = truth::log(&night.world);
        self.check_bill(scenario, &log);
        self.check_answers_are_bought_once(scenario, &log);
    }

    /// Log, summaries and the servers' bills agree, model by model.
    fn check_bill(&self, scenario: &Scenario, log: &[LogLine]) {
        let mut told: BTreeMap<(String, String), Told> = BTreeMap::new();
        let (mut attempts, mut cost, mut possibly) = (0, Money::ZERO, Money::ZERO);
        for line in log {
            let (id, usage, paid, lost, worst) = match line {
                LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => continue,
                LogLine::Outcome(line) if line.call == 0 => continue,
                LogLine::Attempt(line) => {
                    ((&line.provider, &line.model), line.usage, line.cost, line.possibly_billed, line.worst_cost)
                }
                LogLine::Outcome(line) => {
                    ((&line.provider, &line.model), line.usage, line.cost, line.possibly_billed, line.worst_cost)
                }
            };
            attempts += 1;
            cost += paid.unwrap_or_default();
            let told = told.entry((id.0.clone(), id.1.clone())).or_default();
            told.usage += usage.unwrap_or_default();
            if lost {
                told.lost += worst.unwrap();
                possibly += worst.unwrap();
            }
        }
        assert_eq!((attempts, cost, possibly), (self.attempts, self.cost, self.possibly), "log and summaries");
        let sent: usize = self.bills.iter().map(|(.., sent)| sent).sum();
        assert_eq!(attempts, sent as u64, "log and wires");
        for ((provider, model), told) in told {
            let ours = |bill: &&(usize, SimLedger, usize)| scenario.providers[bill.0].name == provider;
            let of = self.bills.iter().filter(ours).filter_map(|(_, ledger, _)| ledger.by_model.get(&model));
            let mut billed = Usage::default();
            of.for_each(|model| {
                billed.input_tokens += model.input_tokens;
                billed.output_tokens += model.output_tokens;
            });
            let (least, billed) = (price().cost(&told.usage).unwrap(), price().cost(&billed).unwrap());
            let most = least + told.lost;
            assert!(least <= billed && billed <= most, "{provider}/{model}: {billed} billed, {least} to {most} told");
        }
    }

    /// No more whole answers to a prompt than one, where no answer was one to reject.
    fn check_answers_are_bought_once(&self, scenario: &Scenario, log: &[LogLine]) {
        let rejects =
            |provider: &Provider| provider.faults().iter().any(|fault| matches!(*fault, "empty" | "content_filter"));
        if scenario.providers.iter().any(rejects) {
            return;
        }
        let lost = |line: &LogLine| matches!(line, LogLine::Attempt(line) if line.possibly_billed).then_some(());
        let lost = log.iter().filter_map(lost).count() as u64;
        let mut answers: HashMap<&String, u64> = HashMap::new();
        for (_, ledger, _) in &self.bills {
            for (mark, count) in &ledger.answered_by_mark {
                *answers.entry(mark).or_default() += count;
            }
        }
        let twice: u64 = answers.values().map(|count| count - 1).sum();
        assert!(twice <= lost, "{twice} answers bought again, {lost} calls with an unknown end");
    }
}

fn price() -> Price {
    let usd = |usd| Money::from_usd(usd).unwrap();
    Price::flat(usd(PRICE.0), usd(PRICE.0), usd(PRICE.1))
}

/// Each row has one line, with the answer to its own prompt or an error.
fn check_rows(scenario: &Scenario, night: &Night) {
    let (results, errors) = (night.results(), night.errors());
    let mut rows: Vec<_> = results.iter().chain(&errors).map(|line| line["row"].as_u64().unwrap()).collect();
    rows.sort_unstable();
    assert_eq!(rows, (1..=scenario.rows.len() as u64).collect::<Vec<_>>());
    for line in &results {
        let row = &scenario.rows[usize::try_from(line["row"].as_u64().unwrap()).unwrap() - 1];
        let mark = answer_mark(&format!("Tag {}", row["text"].as_str().unwrap()));
        assert_eq!((&line["id"], &line["task"]), (&row["id"], &row["task_type"]), "{line}");
        assert!(line["content"].as_str().unwrap().starts_with(&mark), "{line}");
    }
}

/// The code fits the reason, and the reason what happened.
fn check_exit(scenario: &Scenario, ran: &Ran<'_>, lines: &[LogLine]) {
    let summary = ran.summary;
    let failed = lines.iter().filter(|line| matches!(line, LogLine::Outcome(line) if line.failure.is_some())).count();
    let fits = match summary.stop_reason {
        None => summary.rows.remaining == 0 && summary.exit_code == if summary.rows.failed > 0 { 4 } else { 0 },
        Some(StopReason::Interrupted) => ran.stopped.is_some() && summary.exit_code == 130,
        Some(StopReason::Deadline) => scenario.run.deadline.is_some() && summary.exit_code == 5,
        Some(StopReason::MaxFailures) => scenario.run.max_failures.is_some() && failed >= 3 && summary.exit_code == 5,
        Some(StopReason::FirstRowsFailed) => {
            scenario.run.max_failures.is_none() && failed >= 50 && summary.exit_code == 5
        }
        Some(StopReason::Budget) => {
            let own = scenario.tasks.iter().any(|task| task.max_cost.is_some());
            (own || scenario.run.max_cost.is_some()) && summary.exit_code == 5
        }
        Some(StopReason::NoModelLeft) => {
            let dead = |provider: usize| {
                scenario.providers[provider].may_leave() || outages(scenario, provider, ran).any(|(_, long)| long)
            };
            // A row that one model failed is left for another that is out of the run.
            let mut routes = scenario.tasks.iter().flat_map(|task| &task.route);
            routes.any(|(provider, _)| dead(*provider)) && summary.exit_code == 6
        }
        Some(StopReason::Terminated | StopReason::OutputClosed | StopReason::Failed) => false,
    };
    assert!(fits, "{failed} failures and {summary:?}");
    assert!(!ran.calm || summary.stop_reason.is_none(), "nothing stops a calm night: {summary:?}");
}

/// The outages of a provider in this night, and whether they lasted long enough to give it up.
fn outages<'a>(scenario: &'a Scenario, provider: usize, ran: &'a Ran<'_>) -> impl Iterator<Item = (&'a Outage, bool)> {
    let until = ran.began + Duration::from_millis(ran.summary.elapsed_ms);
    let members = scenario.providers[provider].members.iter();
    let tonight = move |outage: &&Outage| !ran.calm && outage.from < until && outage.to > ran.began;
    members.flat_map(|member| &member.outages).filter(tonight).map(move |outage| {
        let stranger = !answered_before(ran, provider, outage.from);
        let patience = if stranger { Duration::from_mins(1) } else { scenario.run.on_outage };
        // Where its last rows are those that it cannot take, nothing shows that it is back.
        let unseen = scenario.providers[provider].faults().contains(&"server_error");
        let lasted = outage.to.min(until).saturating_sub(outage.from.max(ran.began));
        (outage, lasted >= patience || unseen)
    })
}

/// Whether a provider gave an answer tonight before this moment.
fn answered_before(ran: &Ran<'_>, provider: usize, at: Duration) -> bool {
    let mut wires = ran.wires.iter().filter(|wire| wire.provider == provider);
    wires.any(|wire| {
        let calls = wire.at.calls();
        calls.iter().any(|call| call.status == Some(200) && call.ended > ran.began && call.ended < at)
    })
}

/// No row fails by an outage, nor by a limit.
fn check_outages(scenario: &Scenario, ran: &Ran<'_>, lines: &[LogLine]) {
    for line in lines {
        let LogLine::Outcome(line) = line else { continue };
        let Some(failure) = &line.failure else { continue };
        let provider = scenario.providers.iter().position(|provider| provider.name == line.provider).unwrap();
        let by_itself = scenario.providers[provider].faults().iter().any(|fault| may_cause(fault, failure.kind));
        let stranger = outages(scenario, provider, ran)
            .any(|(outage, _)| shows_as(outage.fault) == failure.kind && !answered_before(ran, provider, outage.from));
        let members = scenario.providers[provider].members.len() as u64;
        let few = rows_that_met(failure.kind, (&line.provider, &line.model), lines)
            < SHOWS * members + scenario.run.concurrency;
        assert!(by_itself || stranger || few, "row {} failed by an outage or a limit: {failure:?}", line.row);
    }
}

/// Only so many rows, beside those in flight, show an outage to each member so soon after its last good answer: fewer may
/// be at fault themselves. So the last rows of a job may fail by one.
const SHOWS: u64 = 25;

/// How many rows a model failed in this way, for a time or for good.
fn rows_that_met(kind: FailureKind, model: (&str, &str), lines: &[LogLine]) -> u64 {
    let met = |line: &LogLine| match line {
        LogLine::Attempt(line) => {
            let failed = line.failure.as_ref().is_some_and(|failure| failure.kind == kind);
            (failed && (&*line.provider, &*line.model) == model).then_some(line.row)
        }
        LogLine::Outcome(line) => {
            let failed = line.failure.as_ref().is_some_and(|failure| failure.kind == kind);
            (failed && (&*line.provider, &*line.model) == model).then_some(line.row)
        }
        LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Carried(_) => None,
    };
    lines.iter().filter_map(met).collect::<BTreeSet<_>>().len() as u64
}

fn shows_as(outage: &str) -> FailureKind {
    match outage {
        "refuse" => FailureKind::Connection,
        "hang" => FailureKind::Timeout,
        "429" => FailureKind::RateLimited,
        "500" => FailureKind::ServerError,
        _ => FailureKind::Overloaded,
    }
}

/// Whether a fault of single calls or prompts may fail a row in this way.
fn may_cause(fault: &str, kind: FailureKind) -> bool {
    match kind {
        FailureKind::ContentFilter => fault == "content_filter",
        FailureKind::ContextLength => fault == "context_length",
        // Several of them may befall one row; the last one tells.
        FailureKind::ServerError
        | FailureKind::Overloaded
        | FailureKind::Connection
        | FailureKind::MalformedReply
        | FailureKind::Empty
        | FailureKind::Timeout => !matches!(fault, "rate_limit" | "content_filter" | "context_length"),
        // Rows of keys, quotas and names are left for a run in which these are right.
        _ => false,
    }
}

/// A limit that the job knows is never overrun.
fn check_limits(scenario: &Scenario, wires: &[Wire]) {
    for wire in wires {
        let provider = &scenario.providers[wire.provider];
        if !provider.limits.configured {
            continue;
        }
        let (limits, ledger) = (&provider.limits, wire.at.sim.ledger());
        let held = limits.allow("rpm", ledger.max_requests_per_minute)
            && limits.allow("concurrency", ledger.peak_in_flight)
            && limits.allow("tpm", ledger.max_tokens_per_minute);
        assert!(held, "over {limits:?}: {ledger:?}");
        let refused = ledger.by_status.get(&429).copied().unwrap_or_default();
        assert!(provider.refuses() || refused == 0, "{refused} refused by a limit that is configured: {limits:?}");
    }
}

/// A stop and a deadline hold.
fn check_time(scenario: &Scenario, ran: &Ran<'_>) {
    let (took, slack) = (Duration::from_millis(ran.summary.elapsed_ms), Duration::from_secs(2));
    let drain = scenario.run.drain;
    if let Some((after, again)) = ran.stopped {
        let most = after + again.map_or(drain, |again| again.min(drain));
        assert!(took <= most + slack, "{took:?} for {most:?}");
    }
    if let Some(deadline) = scenario.run.deadline.filter(|_| !ran.calm) {
        let most = deadline.max(drain);
        assert!(took <= most + slack, "{took:?} for {most:?}");
    }
}
