//! Who waits for whom.

use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::super::{Admission, Closed, GateState};
use super::*;

fn concurrency(concurrency: u64) -> Limits {
    Limits { concurrency: Some(concurrency), ..NO_LIMITS }
}

/// What is there at once, without time passing.
async fn at_once(gate: &Arc<ModelGate>) -> Option<Admission> {
    timeout(Duration::ZERO, gate.admit(1)).await.ok().map(Result::unwrap)
}

async fn waited(gate: &Arc<ModelGate>) -> Duration {
    let start = Instant::now();
    gate.admit(1).await.unwrap();
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_model_that_waits_holds_up_no_other_even_with_one_call_at_a_time() {
    let (provider, slots) = (ProviderGate::new(rpm(6_000)), Slots::new(1));
    let slow = ModelGate::new(rpm(1), Arc::clone(&provider), Arc::clone(&slots));
    let cold = ModelGate::new(NO_LIMITS, Arc::clone(&provider), Arc::clone(&slots));
    let quick = ModelGate::new(NO_LIMITS, provider, slots);
    drop(slow.admit(1).await.unwrap());
    cold.cool_down(Some(MINUTE));
    let start = Instant::now();
    let others = async {
        for _ in 0..100 {
            drop(quick.admit(1).await.unwrap());
        }
        start.elapsed()
    };
    let (_, _, others) = tokio::join!(waited(&slow), waited(&cold), others);
    assert!(others < 2 * SECOND, "a hundred calls at a hundred a second took {others:?}");
    assert!(start.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let gate = ModelGate::new(rpm(600), ProviderGate::new(NO_LIMITS), Slots::new(5));
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = JoinSet::new();
    for number in 0..50_u64 {
        let (gate, sender) = (Arc::clone(&gate), sender.clone());
        calls.spawn(async move {
            let admission = gate.admit(50 - number).await.unwrap();
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
    for (model, provider, run, most) in [(2, 9, 9, 2), (9, 3, 9, 3), (9, 9, 4, 4)] {
        let slots = Slots::new(run);
        let gate = ModelGate::new(concurrency(model), ProviderGate::new(concurrency(provider)), slots);
        let mut held = Vec::new();
        while let Some(admission) = at_once(&gate).await {
            held.push(admission);
        }
        assert_eq!((held.len(), gate.view().in_flight), (most, most as u64));
        let waiting = timeout(SECOND, gate.admit(1));
        let freed = async { drop(held.pop()) };
        assert!(tokio::join!(waiting, freed).0.is_ok(), "who waits is woken when a call ends");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_lasts_as_long_as_the_longest_hint() {
    let gate = model(NO_LIMITS);
    gate.cool_down(Some(30 * SECOND));
    gate.cool_down(Some(SECOND));
    let until = Instant::now() + 30 * SECOND;
    assert_eq!(gate.view().state, GateState::CoolingDown { until });
    assert_eq!(waited(&gate).await, 30 * SECOND);
    assert_eq!((waited(&gate).await, gate.view().state), (Duration::ZERO, GateState::Open));
    gate.cool_down(Some(Duration::MAX));
    assert!(at_once(&gate).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_reaches_a_head_that_waits_already() {
    let gate = model(rpm(60));
    drop(gate.admit(1).await.unwrap());
    let told = async {
        sleep(SECOND / 2).await;
        gate.cool_down(Some(5 * SECOND));
    };
    assert_eq!(tokio::join!(waited(&gate), told).0, 5 * SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_that_comes_while_the_head_waits_for_a_call_permit_is_kept() {
    let slots = Slots::new(1);
    let gate = ModelGate::new(NO_LIMITS, ProviderGate::new(NO_LIMITS), Arc::clone(&slots));
    let held = slots.acquire().await;
    let told = async {
        sleep(SECOND).await;
        gate.cool_down(Some(5 * SECOND));
        drop(held);
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
            gate.cool_down(hint);
            gate.cool_down(hint);
            assert_eq!(waited(&gate).await, seconds * SECOND, "the refusals of one moment count once");
        }
        gate.answered();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_sends_all_away_at_once() {
    let (provider, slots) = (ProviderGate::new(rpm(1)), Slots::new(1));
    let other = ModelGate::new(NO_LIMITS, Arc::clone(&provider), Arc::clone(&slots));
    let gate = ModelGate::new(NO_LIMITS, provider, slots);
    let mut in_flight = gate.admit(1).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let gate = Arc::clone(&gate);
        waiting.spawn(async move { gate.admit(1).await.map(drop) });
    }
    sleep(SECOND).await;
    assert_eq!(gate.view().waiting, 100);
    let start = Instant::now();
    gate.close();
    for ended in waiting.join_all().await {
        assert_eq!(ended, Err(Closed));
    }
    assert_eq!((start.elapsed(), gate.view().waiting, gate.view().state), (Duration::ZERO, 0, GateState::Closed));
    assert_eq!(gate.admit(1).await.map(drop), Err(Closed));
    in_flight.settle(1);
    drop(in_flight);
    assert!(waited(&other).await <= MINUTE + SECOND, "the provider's other models go on");
}

#[tokio::test(start_paused = true)]
async fn the_view_tells_what_the_head_waits_for() {
    let gate = ModelGate::new(NO_LIMITS, ProviderGate::new(rpm(60)), Slots::new(9));
    assert_eq!(gate.view().state, GateState::Open);
    let _held = gate.admit(1).await.unwrap();
    let waiting = gate.admit(1);
    tokio::pin!(waiting);
    assert!(timeout(SECOND / 10, &mut waiting).await.is_err());
    let view = gate.view();
    assert!(matches!(view.state, GateState::Pacing { until } if until > Instant::now()), "{view:?}");
    assert_eq!((view.in_flight, view.waiting), (1, 1));
    let _second = waiting.await.unwrap();
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
    let admission = timeout(Duration::from_millis(visitor.patience), gate.admit(visitor.estimate));
    let mut admission = admission.await.ok()?.unwrap();
    let at = Instant::now();
    // The call, too, may be cut off.
    let _ = timeout(SECOND, sleep(Duration::from_millis(visitor.call))).await;
    if let Some(used) = visitor.used {
        admission.settle(used);
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
        let admission = timeout(2 * MINUTE, gates[0].admit(1)).await.unwrap().unwrap();
        numbers.push(admission.slot());
        held.push(admission);
    }
    assert_eq!(numbers, [0, 1, 2]);
    assert!(timeout(MINUTE, gates[1].admit(1)).await.is_err(), "the provider takes three at a time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn giving_up_at_any_point_leaks_nothing_and_gains_nothing(
        visitors in prop::collection::vec(visitor(), 1..60), cooldowns in prop::collection::vec((0..3_000_u64, 0..1_500_u64), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let provider = ProviderGate::new(Limits {
                rpm: Some(600),
                tpm: Some(100_000),
                concurrency: Some(3),
                ..NO_LIMITS
            });
            let slots = Slots::new(4);
            let gates = [tpm(50_000), rpm(300)].map(|limits| ModelGate::new(limits, Arc::clone(&provider), Arc::clone(&slots)));
            let mut visits = JoinSet::new();
            for visitor in visitors {
                visits.spawn(visit(Arc::clone(&gates[usize::from(visitor.second_model)]), visitor));
            }
            for (comes, lasts) in cooldowns {
                let gate = Arc::clone(&gates[0]);
                visits.spawn(async move {
                    sleep(Duration::from_millis(comes)).await;
                    gate.cool_down(Some(Duration::from_millis(lasts)));
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
