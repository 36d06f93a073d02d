//! Budgets from outside: what is let through, what waits, what is refused, and that no sum ever goes over.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Zoned;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::budget::{Budget, Refused, Reservation};
use crate::job::{Job, JobArgs, load};
use crate::types::{AttemptLine, Key, Ledger, LogLine, Money, Purpose, RunEndLine, RunKind, RunLine};

const TAG: usize = 0;
const SUM: usize = 1;

fn usd(usd: &str) -> Money {
    usd.parse().unwrap()
}

/// A job of two tasks with these budgets, each as written.
fn job(run: &str, tag: &str, sum: &str) -> Job {
    let max_cost = |cost: &str| if cost.is_empty() { String::new() } else { format!("max_cost = {cost}\n") };
    let text = format!(
        "input.path = \"r.jsonl\"\noutput.path = \"o.jsonl\"\n[run]\n{}[tasks.tag]\nmodel = \"vllm/m\"\n{}\
         [tasks.sum]\nmodel = \"vllm/m\"\n{}",
        max_cost(run),
        max_cost(tag),
        max_cost(sum)
    );
    let dir = tempfile::tempdir().unwrap();
    let job_file = dir.path().join("job.toml");
    std::fs::write(&job_file, text).unwrap();
    load(&JobArgs { job_file, ..JobArgs::default() }, &|_| None).unwrap()
}

fn zoned(text: &str) -> Zoned {
    text.parse().unwrap()
}

fn budget(run: &str, tag: &str, sum: &str) -> Budget {
    Budget::new(&job(run, tag, sum), &Ledger::default(), &Purpose::JOB, Box::new(|| zoned("2026-03-01T12:00[UTC]")))
}

/// What happens to a reservation at once; `None`: it waits.
fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn taken(budget: &Budget, task: usize, worst: &str) -> Reservation {
    budget.try_reserve(task, Some(usd(worst))).expect("it should fit")
}

#[test]
fn without_a_budget_everything_passes_at_any_price() {
    let budget = budget("", "", "");
    assert!(budget.try_reserve(TAG, None).is_some());
    assert!(budget.try_reserve(SUM, Some(usd("1000000"))).is_some());
    assert!(!budget.is_used_up(TAG) && budget.used_up().is_empty());
}

#[tokio::test]
async fn what_does_not_fit_waits_for_what_is_given_back() {
    let budget = budget("1", "", "");
    let one = taken(&budget, TAG, "0.6");
    let mut next = Box::pin(budget.reserve(SUM, Some(usd("0.6"))));
    assert!(now(next.as_mut()).is_none());
    one.settle(Some(usd("0.1")));
    assert!(next.await.is_ok());
}

#[tokio::test]
async fn what_can_never_fit_is_refused_when_nothing_is_in_flight() {
    let budget = budget("1", "", "");
    let one = taken(&budget, TAG, "0.6");
    let mut next = Box::pin(budget.reserve(TAG, Some(usd("0.6"))));
    assert!(now(next.as_mut()).is_none());
    one.settle(None);
    assert_eq!(next.await.err(), Some(Refused::Run));
    assert!(budget.is_used_up(TAG) && budget.is_used_up(SUM));
    let [used_up] = &budget.used_up()[..] else { panic!("one budget") };
    assert_eq!((used_up.key.as_str(), used_up.spent, used_up.next), ("run.max_cost", usd("0.6"), usd("0.6")));
    // Smaller ones that would fit do not trickle on.
    assert_eq!(budget.reserve(SUM, Some(usd("0.1"))).await.err(), Some(Refused::Run));
}

#[tokio::test]
async fn a_call_that_was_not_sent_gives_all_of_it_back() {
    let budget = budget("1", "", "");
    let one = taken(&budget, TAG, "1");
    let mut next = Box::pin(budget.reserve(TAG, Some(usd("1"))));
    assert!(now(next.as_mut()).is_none());
    drop(one);
    assert!(next.await.is_ok());
}

#[tokio::test]
async fn a_task_s_budget_holds_up_its_own_rows_alone() {
    let budget = budget("10", "1", "");
    let one = taken(&budget, TAG, "0.8");
    let mut next = Box::pin(budget.reserve(TAG, Some(usd("0.8"))));
    assert!(now(next.as_mut()).is_none());
    let other = taken(&budget, SUM, "5");
    one.settle(Some(usd("0.8")));
    assert_eq!(next.await.err(), Some(Refused::Task));
    assert!(budget.is_used_up(TAG) && !budget.is_used_up(SUM));
    other.settle(None);
    assert!(budget.reserve(SUM, Some(usd("4"))).await.is_ok(), "0.8 and 5 of 10 are spent");
}

#[tokio::test]
async fn a_call_must_fit_all_budgets_that_hold_for_it() {
    let budget = budget("1", "5", "0.5");
    let one = taken(&budget, TAG, "0.9");
    assert!(budget.try_reserve(SUM, Some(usd("0.2"))).is_none());
    one.settle(Some(usd("0.7")));
    assert!(budget.try_reserve(SUM, Some(usd("0.2"))).is_some());
    assert_eq!(budget.reserve(SUM, Some(usd("0.6"))).await.err(), Some(Refused::Run), "neither has room for it");
}

#[tokio::test]
async fn first_come_first_served_also_where_a_later_one_would_fit() {
    let budget = budget("1", "", "");
    let one = taken(&budget, TAG, "0.5");
    let mut large = Box::pin(budget.reserve(TAG, Some(usd("0.9"))));
    assert!(now(large.as_mut()).is_none());
    let mut small = Box::pin(budget.reserve(SUM, Some(usd("0.1"))));
    assert!(now(small.as_mut()).is_none());
    assert!(budget.try_reserve(SUM, Some(usd("0.1"))).is_none());
    one.settle(Some(Money::ZERO));
    let Some(Ok(large)) = now(large.as_mut()) else { panic!("it was first") };
    assert!(now(small.as_mut()).unwrap().is_ok());
    drop(large);
}

#[tokio::test]
async fn one_that_leaves_the_line_holds_up_nobody() {
    let budget = budget("1", "", "");
    let one = taken(&budget, TAG, "0.5");
    let mut large = Box::pin(budget.reserve(TAG, Some(usd("0.9"))));
    assert!(now(large.as_mut()).is_none());
    let mut small = Box::pin(budget.reserve(TAG, Some(usd("0.1"))));
    assert!(now(small.as_mut()).is_none());
    drop(large);
    let Some(Ok(small)) = now(small.as_mut()) else { panic!("it is first now") };
    // One that was served and leaves before it sees it gives its share back.
    let mut served = Box::pin(budget.reserve(TAG, Some(usd("0.9"))));
    assert!(now(served.as_mut()).is_none());
    drop((one, small));
    drop(served);
    assert!(budget.try_reserve(TAG, Some(usd("1"))).is_some());
}

#[tokio::test]
async fn a_call_without_a_bound_is_refused_and_no_budget_is_used_up_by_it() {
    let budget = budget("1", "", "");
    assert_eq!(budget.reserve(TAG, None).await.err(), Some(Refused::Unbounded));
    assert!(!budget.is_used_up(TAG));
}

fn line(at: &str, task: &str, cost: &str) -> LogLine {
    let at = zoned(at).timestamp().as_millisecond();
    LogLine::Attempt(Box::new(AttemptLine {
        call: 1,
        key: Key([0; 16]),
        row: 1,
        run: 1,
        at: u64::try_from(at).unwrap(),
        task: task.to_owned(),
        provider: "p".to_owned(),
        model: "m".to_owned(),
        failure: None,
        latency_ms: 1,
        usage: None,
        cost: Some(usd(cost)),
        possibly_billed: false,
        worst_cost: None,
        retry: false,
        reask: false,
        came_from: None,
    }))
}

/// Two runs, the second of which goes on; the time is given here.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    let run = |run| LogLine::Run(RunLine { run, at: 0, offset: 0, kind: RunKind::Job, about: None });
    for line in [
        run(1),
        line("2026-02-28T23:59[Asia/Kolkata]", "tag", "100"),
        line("2026-03-01T00:00[Asia/Kolkata]", "tag", "1"),
        LogLine::RunEnd(RunEndLine { run: 1, at: 0 }),
        run(2),
        line("2026-03-29T23:59[Asia/Kolkata]", "tag", "2"),
        line("2026-03-30T00:00[Asia/Kolkata]", "tag", "4"),
        line("2026-03-30T01:00[Asia/Kolkata]", "sum", "8"),
    ] {
        ledger.count(&line);
    }
    ledger
}

#[test]
fn what_earlier_runs_spent_counts_by_run_day_and_month_of_the_calendar_here() {
    let left = |run: &str, tag: &str, rest: &str| {
        let job = job(run, tag, "");
        let of = |worst: &str| {
            let budget =
                Budget::new(&job, &ledger(), &Purpose::JOB, Box::new(|| zoned("2026-03-30T02:00[Asia/Kolkata]")));
            budget.try_reserve(TAG, Some(usd(worst))).is_some()
        };
        assert!(of(rest) && !of(&format!("{rest}1")), "{run} {tag}: {rest}");
    };
    left("20", "", "6.0");
    left("\"20/day\"", "", "8.0");
    left("\"20/month\"", "", "5.0");
    left("", "20", "14.0");
    left("", "\"20/day\"", "16.0");
    left("", "\"20/month\"", "13.0");
}

#[test]
fn a_new_day_brings_new_money_and_what_is_out_counts_when_it_ends() {
    let clock = Arc::new(Mutex::new(zoned("2026-03-01T23:59[UTC]")));
    let read = Arc::clone(&clock);
    let budget = Budget::new(
        &job("\"1/day\"", "", ""),
        &Ledger::default(),
        &Purpose::JOB,
        Box::new(move || read.lock().unwrap().clone()),
    );
    taken(&budget, TAG, "0.4").settle(None);
    let out = taken(&budget, TAG, "0.6");
    assert!(budget.try_reserve(TAG, Some(usd("0.1"))).is_none());
    *clock.lock().unwrap() = zoned("2026-03-02T00:00[UTC]");
    assert!(budget.try_reserve(TAG, Some(usd("0.5"))).is_none(), "0.6 is still out");
    let next = taken(&budget, TAG, "0.4");
    out.settle(None);
    next.settle(None);
    assert!(budget.try_reserve(TAG, Some(usd("0.1"))).is_none());
}

/// A row: what it reserves, what it costs of that in percent (over a hundred: it is not sent), and how long it takes.
#[derive(Clone, Debug)]
struct Call {
    task: usize,
    worst: u64,
    percent: u64,
    millis: u64,
    /// Whoever asks may lose patience.
    patience: u64,
}

fn call() -> impl Strategy<Value = Call> {
    (0..2_usize, 0..400_u64, 0..130_u64, 1..50_u64, 1..400_u64)
        .prop_map(|(task, worst, percent, millis, patience)| Call { task, worst, percent, millis, patience })
}

#[derive(Default)]
struct Books {
    out: [u64; 2],
    spent: [u64; 2],
    refused: bool,
}

impl Books {
    fn check(&self, caps: [u64; 2]) {
        let of = |task: usize| self.out[task] + self.spent[task];
        assert!(of(TAG) + of(SUM) <= caps[0], "the run's");
        assert!(of(TAG) <= caps[1], "the task's");
    }
}

async fn live(budget: Budget, call: Call, books: Arc<Mutex<Books>>, caps: [u64; 2]) {
    let asked = budget.reserve(call.task, Some(Money::from_pico(call.worst)));
    let Ok(reserved) = timeout(Duration::from_millis(call.patience), asked).await else { return };
    let Ok(reservation) = reserved else {
        books.lock().unwrap().refused = true;
        return;
    };
    {
        let mut books = books.lock().unwrap();
        books.out[call.task] += call.worst;
        books.check(caps);
    }
    sleep(Duration::from_millis(call.millis)).await;
    let actual = match call.percent {
        0..=90 => Some(call.worst * call.percent / 100),
        91..=110 => None,
        _ => Some(0),
    };
    {
        let mut books = books.lock().unwrap();
        books.out[call.task] -= call.worst;
        books.spent[call.task] += actual.unwrap_or(call.worst);
        books.check(caps);
    }
    if call.percent > 110 { drop(reservation) } else { reservation.settle(actual.map(Money::from_pico)) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever calls cost and whoever leaves, no sum of spent and reserved goes over, and nobody waits for ever.
    #[test]
    fn no_budget_is_ever_exceeded_and_all_are_answered(calls in proptest::collection::vec(call(), 1..80), run in 0..3_000_u64, tag in 0..2_000_u64) {
        let text = |pico: u64| format!("\"{}\"", Money::from_pico(pico));
        let budget = Budget::new(&job(&text(run), &text(tag), ""), &Ledger::default(), &Purpose::JOB, Box::new(Zoned::now));
        let books = Arc::new(Mutex::new(Books::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lives = calls.iter().map(|call| live(budget.clone(), call.clone(), Arc::clone(&books), [run, tag]));
            futures::future::join_all(lives).await;
        });
        let books = books.lock().unwrap();
        prop_assert_eq!(books.out, [0, 0]);
        prop_assert_eq!(books.refused, !budget.used_up().is_empty());
    }
}
