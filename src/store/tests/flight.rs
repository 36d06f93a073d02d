//! The flight file: what was out when the process died.

use super::*;
use crate::types::TrailEntry;

fn entry(call: u64) -> FlightEntry {
    FlightEntry {
        call,
        key: Key([2; 16]),
        row: call,
        at: AT,
        worst_cost: Some(Money::from_pico(900)),
        task: "tag".into(),
        provider: "gateway".into(),
        model: "small".into(),
    }
}

#[test]
fn a_call_without_a_line_is_possibly_billed_once() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    write_rows(&mut store, 1..=1);
    let flight = store.flight();
    flight.take(2, &entry(7)).unwrap();
    flight.take(0, &FlightEntry { worst_cost: None, ..entry(9) }).unwrap();
    drop((store, flight));
    let (store, opened) = scene.open();
    let billed: Vec<_> = opened.possibly_billed.iter().map(|line| (line.call, line.row, line.worst_cost)).collect();
    assert_eq!(billed, [(7, 7, Some(Money::from_pico(900))), (9, 9, None)]);
    assert_eq!(opened.next_call, 10);
    let totals = &store.ledger().runs[0].totals;
    assert_eq!((totals.possibly_billed.attempts, totals.possibly_billed.cost_unknown), (2, 1));
    assert_eq!(opened.spent[&Key([2; 16])].len(), 2);
    let ledger = store.ledger().clone();
    drop(store);
    let (store, opened) = scene.open();
    assert!(opened.possibly_billed.is_empty());
    assert_eq!(store.ledger(), &ledger);
    assert_eq!(opened.spent[&Key([2; 16])].len(), 2, "the rows still have no outcome");
}

#[test]
fn a_call_with_a_line_is_not_billed_again_whether_the_line_is_checkpointed_or_not() {
    for checkpointed in [false, true] {
        let scene = Scene::new();
        let (mut store, _) = scene.open();
        store.flight().take(1, &entry(3)).unwrap();
        write_rows(&mut store, 3..=3);
        if checkpointed {
            store.checkpoint().unwrap();
        }
        drop(store);
        let (store, opened) = scene.open();
        assert!(opened.possibly_billed.is_empty(), "checkpointed: {checkpointed}");
        assert_eq!(store.ledger().runs[0].totals.sum().attempts, 1);
        drop(store);
    }
}

#[test]
fn a_rebuild_of_many_rows_still_knows_the_calls_that_have_a_line() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.flight().take(1, &entry(5)).unwrap();
    store.flight().take(2, &entry(9999)).unwrap();
    write_rows(&mut store, 1..=5000);
    drop(store);
    let (_, opened) = Store::open_with(&scene.dir, Box::new(MemoryCheckpoint::new()), 1, AT).unwrap();
    assert_eq!(opened.possibly_billed.iter().map(|line| line.call).collect::<Vec<_>>(), [9999]);
}

#[test]
fn a_freed_slot_is_not_billed() {
    let scene = Scene::new();
    let (store, _) = scene.open();
    store.flight().take(1, &entry(3)).unwrap();
    store.flight().free(1).unwrap();
    drop(store);
    assert!(scene.open().1.possibly_billed.is_empty());
}

#[test]
fn slots_may_become_fewer_or_more_and_entries_are_settled_first() {
    let scene = Scene::new();
    for (call, (before, after)) in (1..).zip([(8, 2), (2, 16), (16, 1)]) {
        let (store, _) = Store::open(&scene.dir, before, AT).unwrap();
        store.flight().take(before - 1, &entry(call)).unwrap();
        drop(store);
        let (store, opened) = Store::open(&scene.dir, after, AT).unwrap();
        assert_eq!(opened.possibly_billed.len(), 1);
        store.flight().take(after - 1, &entry(100)).unwrap();
        store.flight().free(after - 1).unwrap();
        let refused = store.flight().take(after, &entry(100)).unwrap_err();
        assert!(matches!(refused, StoreError::NoSlot { .. }));
    }
}

#[test]
fn calls_of_a_run_whose_first_line_was_lost_are_counted() {
    let scene = Scene::new();
    let (store, _) = scene.open();
    store.flight().take(0, &entry(1)).unwrap();
    drop(store);
    let (store, _) = scene.open();
    assert_eq!(store.ledger().runs[0].totals.possibly_billed.attempts, 1);
}

#[test]
fn a_damaged_entry_is_told() {
    let scene = Scene::new();
    let (store, _) = scene.open();
    store.flight().take(0, &entry(1)).unwrap();
    drop(store);
    let path = scene.dir.path().join("flight");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[256 + 20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (_, opened) = scene.open();
    assert!(opened.notes[0].contains("flight file that cannot be read: 1;"), "{:?}", opened.notes);
    assert!(scene.open().1.notes.is_empty());
}

/// What stands in a trail for [`attempt`], with its latency changed to tell it by.
fn told(latency_ms: u64) -> TrailEntry {
    let (line, failure) = (attempt(1, 1, 1), attempt(1, 1, 1).failure.unwrap());
    let (provider, model, cost_usd) = (line.provider, line.model, line.cost);
    TrailEntry { provider, model, kind: Some(failure.kind), status: failure.status, latency_ms, cost_usd }
}

fn attempt_of(call: u64, row: u64, latency_ms: u64) -> LogLine {
    LogLine::Attempt(Box::new(AttemptLine { latency_ms, ..attempt(call, row, 1) }))
}

fn outcome_telling(row: u64, call: u64, trail: Vec<TrailEntry>) -> LogLine {
    let attempts = u32::try_from(trail.len()).unwrap().max(1);
    let row_cost = attempt(1, 1, 1).cost;
    LogLine::Outcome(Box::new(OutcomeLine { call, attempts, row_cost, trail, ..outcome(row, 1) }))
}

#[test]
fn what_a_row_has_spent_is_forgotten_with_its_outcome() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.append(&run_line()).unwrap();
    for (call, row) in [(101, 1), (102, 2), (103, 1)] {
        store.append(&attempt_of(call, row, call)).unwrap();
    }
    store.append(&outcome_telling(1, 104, vec![told(101), told(103), told(7)])).unwrap();
    store.append(&LogLine::Attempt(Box::new(attempt(105, 3, 2)))).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let (_, opened) = scene.open();
    let mut spent: Vec<_> = opened.spent.iter().map(|(key, trail)| (key.0[0], trail.len())).collect();
    spent.sort_unstable();
    assert_eq!(spent, [(1, 1), (2, 1)]);
    assert_eq!(opened.spent[&Key([1; 16])][0].latency_ms, 102);
    assert_eq!(opened.spent[&Key([2; 16])][0].status, Some(429));
    assert_eq!(opened.next_call, 106);
}

#[test]
fn of_rows_with_equal_keys_each_attempt_is_told_once_however_often_they_are_killed() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.append(&run_line()).unwrap();
    store.append(&attempt_of(101, 1, 101)).unwrap();
    store.append(&attempt_of(102, 2, 102)).unwrap();
    drop((store.write(), store));
    // The first of them takes both along, and tells them; the other has a further one.
    let (mut store, opened) = scene.open();
    assert_eq!(opened.spent[&Key([1; 16])], [told(101), told(102)]);
    store.append(&attempt_of(103, 2, 103)).unwrap();
    store.append(&outcome_telling(1, 104, vec![told(101), told(102), told(7)])).unwrap();
    drop((store.write(), store));
    let (mut store, opened) = scene.open();
    assert_eq!(opened.spent[&Key([1; 16])], [told(103)]);
    store.append(&outcome_telling(3, 105, Vec::new())).unwrap();
    drop((store.write(), store));
    let (mut store, opened) = scene.open();
    assert_eq!(opened.spent[&Key([1; 16])], [told(103)], "a row that told nothing takes nothing away");
    // Row 2 has moved since, and fails without a further call.
    store.append(&outcome_telling(9, 0, Vec::new())).unwrap();
    drop((store.write(), store));
    assert!(scene.open().1.spent.is_empty());
}
