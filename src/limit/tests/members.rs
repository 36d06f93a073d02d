//! Replicas and keys, outages, and how long a caller is willing to wait.

use super::super::{GateState, Refusal, Sickness};
use super::*;

const HINTLESS: CallEnd = CallEnd::Throttled { hint: None };
const REFUSED: CallEnd = CallEnd::Sick { hint: None, weight: Sickness::Certain };

/// One model at so many places, with these limits at each.
fn places(count: usize, limits: Limits) -> Arc<ModelGate> {
    let member = || Member { limits, provider: provider(NO_LIMITS), used_today: 0 };
    ModelGate::new((0..count).map(|_| member()).collect(), Slots::new(1_000))
}

fn concurrency(concurrency: u64) -> Limits {
    Limits { concurrency: Some(concurrency), ..NO_LIMITS }
}

async fn refusal(gate: &Arc<ModelGate>, patience: Duration) -> Option<Refusal> {
    match sleepless(gate.admit(need(1), Some(patience))).await {
        Some(Err(refusal)) => Some(refusal),
        Some(Ok(_)) | None => None,
    }
}

/// What is ready without time passing.
async fn sleepless<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

/// Lets this member fail until its breaker is open.
async fn break_down(gate: &Arc<ModelGate>) {
    for _ in 0..100 {
        if gate.down_since().is_some() {
            return;
        }
        admit(gate, 1).await.ended(REFUSED);
        sleep(SECOND / 10).await;
    }
    panic!("it never opens");
}

#[tokio::test(start_paused = true)]
async fn calls_go_where_there_is_room() {
    let gate = places(3, concurrency(4));
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(admit(&gate, 1).await);
    }
    for member in 0..3 {
        assert_eq!(held.iter().filter(|call| call.member() == member).count(), 4);
    }
    assert!(sleepless(admit(&gate, 1)).await.is_none());
    let freed = held.remove(4);
    let member = freed.member();
    drop(freed);
    assert_eq!(admit(&gate, 1).await.member(), member);
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_may_be_out_as_all_members_and_their_providers_allow() {
    assert_eq!(places(3, concurrency(4)).most_in_flight(), 12);
    assert_eq!(places(3, NO_LIMITS).most_in_flight(), usize::MAX);
    let (provider, slots) = (provider(concurrency(5)), Slots::new(100));
    assert_eq!(at(&provider, concurrency(8), &slots).most_in_flight(), 5);
    assert_eq!(at(&provider, concurrency(3), &slots).most_in_flight(), 3);
}

#[tokio::test(start_paused = true)]
async fn rates_of_all_members_are_used() {
    let gate = places(3, rpm(100));
    let seen = Seen::sent(&gate, HOUR / 6, || Call { estimate: 1, real: 1, latency: SECOND }).await;
    assert!((2_940..=3_000).contains(&seen.requests()), "{}", seen.requests());
    assert!(seen.most(MINUTE).0 <= 300);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cools_down_holds_up_no_other() {
    let gate = places(2, NO_LIMITS);
    let mut first = admit(&gate, 1).await;
    let cold = first.member();
    first.ended(CallEnd::Throttled { hint: Some(MINUTE) });
    drop(first);
    for _ in 0..100 {
        let call = sleepless(admit(&gate, 1)).await.unwrap();
        assert_ne!(call.member(), cold);
    }
    assert_eq!((refusal(&gate, SECOND).await, gate.view().state), (None, GateState::Open));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_taken_out_gets_nothing_and_the_last_one_closes_the_gate() {
    let gate = places(2, NO_LIMITS);
    gate.close_member(0);
    for _ in 0..10 {
        assert_eq!(admit(&gate, 1).await.member(), 1);
    }
    gate.close_member(1);
    assert_eq!(gate.admit(need(1), None).await.map(drop), Err(Refusal::Closed));
    assert_eq!(gate.view().state, GateState::Closed);
    gate.usable(SECOND).await;
    gate.down().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_configured_limit_never_refuses() {
    let gate = model(rpm(1));
    drop(admit(&gate, 1).await);
    let start = Instant::now();
    assert!(gate.admit(need(1), Some(SECOND)).await.is_ok());
    assert!(start.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_refuses_those_with_less_patience_until_it_is_short_enough() {
    let gate = model(NO_LIMITS);
    let until = Instant::now() + 100 * SECOND;
    throttle(&gate, Some(100 * SECOND)).await;
    assert_eq!(refusal(&gate, 99 * SECOND).await, Some(Refusal::Away { until }));
    assert_eq!(refusal(&gate, 100 * SECOND).await, None);
    let start = Instant::now();
    gate.usable(40 * SECOND).await;
    assert_eq!(start.elapsed(), 60 * SECOND);
    assert!(gate.admit(need(1), Some(40 * SECOND)).await.is_ok());
    assert_eq!(start.elapsed(), 100 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_told_wait_sends_away_all_who_stand_in_line() {
    let gate = ModelGate::new(
        vec![Member { limits: concurrency(1), provider: provider(NO_LIMITS), used_today: 0 }],
        Slots::new(9),
    );
    let mut call = admit(&gate, 1).await;
    let mut line = JoinSet::new();
    for seconds in [10, 20, 60, 90] {
        let gate = Arc::clone(&gate);
        line.spawn(async move { gate.admit(need(1), Some(seconds * SECOND)).await.map(drop) });
    }
    sleep(SECOND).await;
    let until = Instant::now() + 50 * SECOND;
    call.ended(CallEnd::Throttled { hint: Some(50 * SECOND) });
    drop(call);
    let gone = [line.join_next().await, line.join_next().await];
    assert!(gone.iter().all(|end| end.as_ref().unwrap().as_ref().unwrap() == &Err(Refusal::Away { until })));
    assert_eq!(Instant::now() + 50 * SECOND, until, "at once");
    assert!(line.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_refuses_the_patient_and_lets_probes_find_it_well_again() {
    let gate = model(NO_LIMITS);
    let began = Instant::now();
    break_down(&gate).await;
    gate.down().await;
    assert_eq!(gate.down_since(), Some(began));
    assert_eq!(refusal(&gate, HOUR).await, Some(Refusal::Down));
    assert!(matches!(gate.view().state, GateState::Down { since, .. } if since == began));
    gate.usable(SECOND).await;
    let mut probes = [admit(&gate, 1).await, admit(&gate, 1).await];
    assert!(probes.iter().all(Admission::is_probe));
    assert_eq!(refusal(&gate, HOUR).await, Some(Refusal::Down), "a few probes, and no more");
    probes[0].ended(CallEnd::Good);
    assert_eq!((gate.down_since(), gate.view().state), (None, GateState::Open));
    drop(probes);
    assert!(!admit(&gate, 1).await.is_probe());
}

#[tokio::test(start_paused = true)]
async fn an_outage_sees_few_calls() {
    let gate = model(NO_LIMITS);
    break_down(&gate).await;
    let (mut calls, end) = (0, Instant::now() + 10 * MINUTE);
    while Instant::now() < end {
        gate.usable(SECOND).await;
        if let Ok(mut call) = gate.admit(need(1), Some(SECOND)).await {
            calls += 1;
            call.ended(REFUSED);
        }
    }
    assert!(calls < 150, "{calls} calls into ten minutes of outage");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_frees_its_place() {
    let gate = model(NO_LIMITS);
    break_down(&gate).await;
    for _ in 0..10 {
        gate.usable(SECOND).await;
        drop(admit(&gate, 1).await);
    }
    admit(&gate, 1).await.ended(CallEnd::Good);
    assert_eq!(gate.down_since(), None);
}

#[tokio::test(start_paused = true)]
async fn one_dead_member_of_two_leaves_the_model_usable() {
    let gate = places(2, NO_LIMITS);
    for _ in 0..200 {
        let mut call = admit(&gate, 1).await;
        let end = if call.member() == 0 { REFUSED } else { CallEnd::Good };
        call.ended(end);
        sleep(SECOND / 10).await;
    }
    assert_eq!((gate.down_since(), refusal(&gate, SECOND).await), (None, None));
    let mut to_dead = 0;
    for _ in 0..100 {
        let mut call = admit(&gate, 1).await;
        to_dead += u32::from(call.member() == 0);
        let end = if call.member() == 0 { REFUSED } else { CallEnd::Good };
        call.ended(end);
    }
    assert!(to_dead <= 2, "{to_dead} of 100 at once to a dead member");
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_more_than_two_minutes_opens_the_breaker_until_then() {
    let gate = model(NO_LIMITS);
    let until = Instant::now() + HOUR;
    throttle(&gate, Some(HOUR)).await;
    gate.down().await;
    assert!(matches!(gate.view().state, GateState::Down { until: then, .. } if then == until));
    assert_eq!(refusal(&gate, MINUTE).await, Some(Refusal::Away { until }));
    let call = gate.admit(need(1), None).await.unwrap();
    assert_eq!((Instant::now(), call.is_probe()), (until, true));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_told_anew_is_the_same_outage() {
    let gate = model(NO_LIMITS);
    let began = Instant::now();
    for _ in 0..5 {
        throttle(&gate, Some(HOUR)).await;
    }
    assert_eq!(gate.down_since(), Some(began));
    assert_eq!(began.elapsed(), 4 * HOUR);
    admit(&gate, 1).await.ended(CallEnd::Good);
    assert_eq!(gate.down_since(), None);
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_single_row_trip_no_breaker() {
    let gate = model(NO_LIMITS);
    for _ in 0..100 {
        admit(&gate, 1).await.ended(CallEnd::Sick { hint: None, weight: Sickness::Again });
        sleep(SECOND).await;
    }
    assert_eq!(gate.down_since(), None);
}

#[tokio::test(start_paused = true)]
async fn throttling_between_answers_is_no_outage() {
    let gate = model(NO_LIMITS);
    for call in 0..200 {
        admit(&gate, 1).await.ended(if call % 6 == 0 { CallEnd::Good } else { HINTLESS });
    }
    assert_eq!(gate.down_since(), None);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_taken_out_leaves_its_providers_line() {
    let (busy, other) = (provider(concurrency(1)), provider(NO_LIMITS));
    let slots = Slots::new(100);
    let member =
        |provider: &Arc<ProviderGate>, limits| Member { limits, provider: Arc::clone(provider), used_today: 0 };
    let gate = ModelGate::new(vec![member(&busy, NO_LIMITS), member(&other, concurrency(1))], Arc::clone(&slots));
    let neighbour = at(&busy, NO_LIMITS, &slots);
    let held = (admit(&gate, 1).await, admit(&gate, 1).await);
    // The head waits for both; for the busy one it stands in line.
    let mut waiting = Box::pin(admit(&gate, 1));
    assert!(sleepless(&mut waiting).await.is_none());
    gate.close_member(0);
    let (of_busy, _of_other) = if held.0.member() == 0 { held } else { (held.1, held.0) };
    assert!(sleepless(&mut waiting).await.is_none());
    drop(of_busy);
    assert!(sleepless(admit(&neighbour, 1)).await.is_some(), "nobody stands before it");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_fails_fast_does_not_draw_all_calls() {
    let gate = places(2, NO_LIMITS);
    let (mut held, mut failed) = (Vec::new(), 0);
    for _ in 0..100 {
        let mut call = admit(&gate, 1).await;
        if call.member() == 0 {
            call.ended(CallEnd::Sick { hint: None, weight: Sickness::Again });
            failed += 1;
        } else {
            held.push(call);
        }
        sleep(SECOND / 10).await;
    }
    assert!(failed <= 5, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_sent_takes_nothing() {
    let limits = Limits { rpm: Some(6), tpm: Some(600), rpd: Some(10), ..NO_LIMITS };
    let gate = at(&provider(limits), limits, &Slots::new(10));
    for _ in 0..50 {
        let call = sleepless(admit(&gate, 1)).await.expect("nothing was taken");
        call.give_back();
    }
    let seen = Seen::sent(&gate, 5 * MINUTE, || Call { estimate: 100, real: 100, latency: SECOND }).await;
    assert_eq!(seen.requests(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_only_refuses_is_down_after_two_minutes_until_it_answers() {
    let gate = places(1, NO_LIMITS);
    let start = Instant::now();
    while gate.down_since().is_none() {
        throttle(&gate, None).await;
    }
    let after = start.elapsed();
    assert!((120 * SECOND..300 * SECOND).contains(&after), "{after:?}");
    assert_eq!(refusal(&gate, HOUR).await, Some(Refusal::Down));
    let since = gate.down_since();
    for _ in 0..10 {
        throttle(&gate, None).await;
        assert_eq!(gate.down_since(), since, "it is one outage");
    }
    admit(&gate, 1).await.ended(CallEnd::Good);
    assert_eq!(gate.down_since(), None);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_no_outage_while_slow_calls_are_out() {
    let gate = places(1, NO_LIMITS);
    let mut slow = admit(&gate, 1).await;
    for _ in 0..20 {
        throttle(&gate, None).await;
    }
    assert_eq!(gate.down_since(), None);
    slow.ended(CallEnd::Good);
    throttle(&gate, None).await;
    assert_eq!(gate.down_since(), None);
}
