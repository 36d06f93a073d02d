//! Who waits for whom.

use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::super::{GateState, Refusal};
use super::*;

fn concurrency(concurrency: u64) -> Limits {
    Limits { concurrency: Some(concurrency), ..NO_LIMITS }
}

/// What is there at once, without time passing.
async fn at_once(gate: &Arc<ModelGate>) -> Option<Admission> {
    timeout(Duration::ZERO, admit(gate, 1)).await.ok()
}

async fn waited(gate: &Arc<ModelGate>) -> Duration {
    let start = Instant::now();
    drop(admit(gate, 1).await);
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_model_that_waits_holds_up_no_other_even_with_one_call_at_a_time() {
    let (provider, slots) = (provider(rpm(6_000)), Slots::new(1));
    let slow = at(&provider, rpm(1), &slots);
    let cold = at(&provider, NO_LIMITS, &slots);
    let quick = at(&provider, NO_LIMITS, &slots);
    drop(admit(&slow, 1).await);
    throttle(&cold, Some(MINUTE)).await;
    let start = Instant::now();
    let others = async {
        for _ in 0..100 {
            drop(admit(&quick, 1).await);
        }
        start.elapsed()
    };
    let (_, _, others) = tokio::join!(waited(&slow), waited(&cold), others);
    assert!(others < 2 * SECOND, "a hundred calls at a hundred a second took {others:?}");
    assert!(start.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let gate = at(&provider(NO_LIMITS), rpm(600), &Slots::new(5));
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = JoinSet::new();
    for number in 0..50_u64 {
        let (gate, sender) = (Arc::clone(&gate), sender.clone());
        calls.spawn(async move {
            let admission = admit(&gate, 50 - number).await;
            sender.send(number).unwrap();
            sleep(Duration::from_millis(number * 37 % 900)).await;
            drop(admission);
        });
        tokio::task::yield_now().await;
    }
    drop(sender);
    for number in 0..50 {
        assert_eq!(order.recv().await, Some(number));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_limited_by_the_model_the_provider_and_the_run() {
    for (model, at_provider, run, most) in [(2, 9, 9, 2), (9, 3, 9, 3), (9, 9, 4, 4)] {
        let slots = Slots::new(run);
        let gate = at(&provider(concurrency(at_provider)), concurrency(model), &slots);
        let mut held = Vec::new();
        while let Some(admission) = at_once(&gate).await {
            held.push(admission);
        }
        assert_eq!((held.len(), gate.view().in_flight), (most, most as u64));
        let waiting = timeout(SECOND, admit(&gate, 1));
        let freed = async { drop(held.pop()) };
        assert!(tokio::join!(waiting, freed).0.is_ok(), "who waits is woken when a call ends");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_lasts_as_long_as_the_longest_hint() {
    let gate = model(NO_LIMITS);
    let mut calls = [admit(&gate, 1).await, admit(&gate, 1).await];
    for (call, hint) in calls.iter_mut().zip([30, 1]) {
        call.ended(CallEnd::Throttled { hint: Some(hint * SECOND) });
    }
    let until = Instant::now() + 30 * SECOND;
    assert_eq!(gate.view().state, GateState::CoolingDown { until });
    assert_eq!(waited(&gate).await, 30 * SECOND);
    assert_eq!((waited(&gate).await, gate.view().state), (Duration::ZERO, GateState::Open));
    throttle(&gate, Some(Duration::MAX)).await;
    assert!(at_once(&gate).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_reaches_a_head_that_waits_already() {
    let gate = model(rpm(60));
    let mut call = admit(&gate, 1).await;
    let told = async {
        sleep(SECOND / 2).await;
        call.ended(CallEnd::Throttled { hint: Some(5 * SECOND) });
    };
    assert_eq!(tokio::join!(waited(&gate), told).0, 5 * SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_that_comes_while_the_head_waits_for_a_call_permit_is_kept() {
    let slots = Slots::new(2);
    let gate = at(&provider(NO_LIMITS), NO_LIMITS, &slots);
    let mut call = admit(&gate, 1).await;
    let held = slots.acquire().await;
    let told = async {
        sleep(SECOND).await;
        call.ended(CallEnd::Throttled { hint: Some(5 * SECOND) });
        drop((call, held));
        sleep(SECOND).await;
        slots.in_use()
    };
    let (waited, in_use) = tokio::join!(waited(&gate), told);
    assert_eq!((waited, in_use), (6 * SECOND, 0), "and no call permit is held meanwhile");
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_cooldowns_double_until_an_answer_comes() {
    let gate = model(NO_LIMITS);
    for hint in [None, Some(Duration::ZERO)] {
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let mut calls = [admit(&gate, 1).await, admit(&gate, 1).await];
            for call in &mut calls {
                call.ended(CallEnd::Throttled { hint });
            }
            drop(calls);
            assert_eq!(waited(&gate).await, seconds * SECOND, "the refusals of one moment count once");
        }
        admit(&gate, 1).await.ended(CallEnd::Good);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_sends_all_away_at_once() {
    let (provider, slots) = (provider(rpm(1)), Slots::new(1));
    let other = at(&provider, NO_LIMITS, &slots);
    let gate = at(&provider, NO_LIMITS, &slots);
    let mut in_flight = admit(&gate, 1).await;
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let gate = Arc::clone(&gate);
        waiting.spawn(async move { gate.admit(need(1), None).await.map(drop) });
    }
    sleep(SECOND).await;
    assert_eq!(gate.view().waiting, 100);
    let start = Instant::now();
    gate.close();
    for ended in waiting.join_all().await {
        assert_eq!(ended, Err(Refusal::Closed));
    }
    assert_eq!((start.elapsed(), gate.view().waiting, gate.view().state), (Duration::ZERO, 0, GateState::Closed));
    assert_eq!(gate.admit(need(1), None).await.map(drop), Err(Refusal::Closed));
    in_flight.settle(used(1));
    drop(in_flight);
    assert!(waited(&other).await <= MINUTE + SECOND, "the provider's other models go on");
}

#[tokio::test(start_paused = true)]
async fn the_view_tells_what_the_head_waits_for() {
    let gate = at(&provider(rpm(60)), NO_LIMITS, &Slots::new(9));
    assert_eq!(gate.view().state, GateState::Open);
    let _held = admit(&gate, 1).await;
    let waiting = admit(&gate, 1);
    tokio::pin!(waiting);
    assert!(timeout(SECOND / 10, &mut waiting).await.is_err());
    let view = gate.view();
    assert!(matches!(view.state, GateState::Pacing { until } if until > Instant::now()), "{view:?}");
    assert_eq!((view.in_flight, view.waiting), (1, 1));
    let _second = waiting.await;
    assert_eq!((gate.view().in_flight, gate.view().waiting), (2, 0));
}

/// Somebody who wants to call, gives up after a while, or calls for a while and says or does not say what it used.
#[derive(Clone, Debug)]
struct Visitor {
    second_model: bool,
    comes: u64,
    patience: u64,
    call: u64,
    estimate: u64,
    used: Option<u64>,
}

fn visitor() -> impl Strategy<Value = Visitor> {
    (any::<bool>(), 0..3_000_u64, 0..3_000_u64, 0..2_000_u64, 1..300_u64, prop::option::of(0..900_u64)).prop_map(
        |(second_model, comes, patience, call, estimate, used)| Visitor {
            second_model,
            comes,
            patience,
            call,
            estimate,
            used,
        },
    )
}

async fn visit(gate: Arc<ModelGate>, visitor: Visitor) -> Option<Instant> {
    sleep(Duration::from_millis(visitor.comes)).await;
    let admission = timeout(Duration::from_millis(visitor.patience), gate.admit(need(visitor.estimate), None));
    let mut admission = admission.await.ok()?.unwrap();
    let at = Instant::now();
    // The call, too, may be cut off.
    let _ = timeout(SECOND, sleep(Duration::from_millis(visitor.call))).await;
    if let Some(tokens) = visitor.used {
        admission.settle(used(tokens));
    }
    Some(at)
}

/// Nobody is left in line or in flight, and as many calls as ever fit in.
async fn check_nothing_leaked(gates: &[Arc<ModelGate>; 2], slots: &Arc<Slots>) {
    for gate in gates {
        assert_eq!((gate.view().in_flight, gate.view().waiting), (0, 0));
    }
    assert_eq!(slots.in_use(), 0);
    advance(2 * MINUTE).await;
    let (mut held, mut numbers) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        // Visitors that use 900 times their estimate teach that a call may take the whole quota: it then goes alone, when
        // the window of a minute and a little more has emptied.
        let admission = timeout(2 * MINUTE, admit(&gates[0], 1)).await.unwrap();
        numbers.push(admission.slot());
        held.push(admission);
    }
    assert_eq!(numbers, [0, 1, 2]);
    assert!(timeout(MINUTE, admit(&gates[1], 1)).await.is_err(), "the provider takes three at a time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn giving_up_at_any_point_leaks_nothing_and_gains_nothing(
        visitors in prop::collection::vec(visitor(), 1..60), cooldowns in prop::collection::vec((0..3_000_u64, 0..1_500_u64), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let provider = provider(Limits { rpm: Some(600), tpm: Some(100_000), concurrency: Some(3), ..NO_LIMITS });
            let slots = Slots::new(4);
            let gates = [tpm(50_000), rpm(300)].map(|limits| at(&provider, limits, &slots));
            let mut visits = JoinSet::new();
            for visitor in visitors {
                visits.spawn(visit(Arc::clone(&gates[usize::from(visitor.second_model)]), visitor));
            }
            for (comes, lasts) in cooldowns {
                let gate = Arc::clone(&gates[0]);
                visits.spawn(async move {
                    sleep(Duration::from_millis(comes)).await;
                    let patience = timeout(SECOND, admit(&gate, 1)).await;
                    if let Ok(mut call) = patience {
                        call.ended(CallEnd::Throttled { hint: Some(Duration::from_millis(lasts)) });
                    }
                    None
                });
            }
            let mut seen = Seen(visits.join_all().await.into_iter().flatten().map(|at| (at, 0)).collect());
            seen.0.sort_unstable();
            assert!(seen.most(SECOND).0 <= 10, "{} in a second", seen.most(SECOND).0);
            check_nothing_leaked(&gates, &slots).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_go_now_goes_only_in_nobody_s_way() {
    let (provider, slots) = (provider(NO_LIMITS), Slots::new(2));
    let (one, other) = (at(&provider, concurrency(1), &slots), at(&provider, NO_LIMITS, &slots));
    let held = one.admit_now(need(1)).unwrap();
    assert!(one.admit_now(need(1)).is_none(), "it keeps to the model's limits");
    let second = other.admit_now(need(1)).unwrap();
    assert!(other.admit_now(need(1)).is_none(), "it keeps to the run's calls");
    let mut in_line = Box::pin(admit(&other, 1));
    assert!(timeout(SECOND, &mut in_line).await.is_err());
    drop(held);
    assert!(other.admit_now(need(1)).is_none(), "whoever is in line comes first");
    let third = in_line.await;
    drop((second, third));
    throttle(&other, Some(MINUTE)).await;
    assert!(other.admit_now(need(1)).is_none(), "it waits out no pause");
    assert!(one.admit_now(need(1)).is_some(), "and leaves no place in any line");
    other.close();
    advance(2 * MINUTE).await;
    assert!(other.admit_now(need(1)).is_none(), "nor does it come to a model that has left");
}
