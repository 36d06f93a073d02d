//! The order over changes of the input and over kills.

use super::*;

const TODAY: [u8; 16] = [1; 16];
const CHANGED: [u8; 16] = [2; 16];

fn offsets(store: &mut Store, rows: std::ops::RangeInclusive<u64>) -> Vec<Option<u64>> {
    let mut reader = store.order().unwrap();
    rows.map(|row| reader.get(row).unwrap().map(|end| end.offset)).collect()
}

#[test]
fn the_order_of_an_unchanged_input_is_found_again() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Matched);
    write_rows(&mut store, 1..=3);
    let places = offsets(&mut store, 1..=4);
    assert!(places[..3].iter().all(Option::is_some) && places[3].is_none());
    store.close().unwrap();
    let (mut store, _) = scene.open();
    assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Matched);
    assert_eq!(offsets(&mut store, 1..=4), places);
}

#[test]
fn a_changed_input_is_unmatched_until_a_whole_pass_has_matched_it() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=3);
    let ends: Vec<End> = store.outcomes().map(|ended| ended.unwrap().end).collect();
    store.close().unwrap();
    for whole_pass in [false, true] {
        let (mut store, _) = scene.open();
        assert_eq!(store.order_for(CHANGED).unwrap(), OrderState::Unmatched);
        assert_eq!(offsets(&mut store, 1..=4), [None; 4]);
        for (row, end) in (2..).zip(&ends) {
            store.set_order(row, *end).unwrap();
        }
        if whole_pass {
            store.mark_matched().unwrap();
        }
    }
    let (mut store, _) = scene.open();
    assert_eq!(store.order_for(CHANGED).unwrap(), OrderState::Matched);
    let moved: Vec<Option<u64>> = std::iter::once(None).chain(ends.iter().map(|end| Some(end.offset))).collect();
    assert_eq!(offsets(&mut store, 1..=4), moved, "a row keeps the place found by key, not the one of its old number");
}

#[test]
fn a_moved_row_keeps_its_place_when_the_checkpoint_is_rebuilt() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=1);
    let end = store.outcomes().next().unwrap().unwrap().end;
    store.order_for(CHANGED).unwrap();
    store.set_order(2, end).unwrap();
    store.mark_matched().unwrap();
    write_rows(&mut store, 1..=1);
    let places = offsets(&mut store, 1..=2);
    drop(store);
    std::fs::remove_dir_all(scene.dir.path().join("sled")).unwrap();
    let (mut store, _) = scene.open();
    assert_eq!(store.order_for(CHANGED).unwrap(), OrderState::Matched);
    assert_eq!(offsets(&mut store, 1..=2), places);
}

#[test]
fn outcomes_that_came_without_an_order_make_it_unmatched() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=1);
    store.close().unwrap();
    let (mut store, _) = scene.open();
    write_rows(&mut store, 2..=2);
    store.close().unwrap();
    let (mut store, _) = scene.open();
    assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Unmatched);
}

#[test]
fn a_damaged_or_torn_order_is_made_again() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=3);
    store.close().unwrap();
    let path = scene.dir.path().join("order");
    let whole = std::fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for bytes in [whole[..20].to_vec(), flipped(0), flipped(24), flipped(35), flipped(50), Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        let (mut store, _) = scene.open();
        assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Unmatched);
    }
}

#[test]
fn rows_far_apart_are_all_kept() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    let end = |row: u64| End { offset: row + 100, failure: None, truncated: false, compared: false };
    let rows: Vec<u64> = (0..400).map(|at| 1 + (at * 7919) % 200_003).collect();
    for row in &rows {
        store.set_order(*row, end(*row)).unwrap();
    }
    let mut reader = store.order().unwrap();
    for row in rows {
        assert_eq!(reader.get(row).unwrap(), Some(end(row)));
    }
    assert_eq!(reader.get(1_000_000).unwrap(), None);
}

#[test]
fn a_reader_sees_the_order_as_it_was_when_it_was_opened() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    let end = |row: u64| End { offset: row + 100, failure: None, truncated: false, compared: false };
    store.set_order(1, end(1)).unwrap();
    let mut before = store.order().unwrap();
    store.set_order(2, end(2)).unwrap();
    assert_eq!(offsets(&mut store, 1..=3), [Some(end(1).offset), Some(end(2).offset), None]);
    assert_eq!([1, 2].map(|row| before.get(row).unwrap()), [Some(end(1)), None]);
}

#[test]
fn an_order_with_entries_that_were_lost_or_changed_is_made_again() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=40);
    store.close().unwrap();
    let path = scene.dir.path().join("order");
    let whole = std::fs::read(&path).unwrap();
    let first = whole.len() - 40 * 8;
    let changed = |at: usize, to: &dyn Fn(u8) -> u8| {
        let mut bytes = whole.clone();
        bytes[at] = to(bytes[at]);
        bytes
    };
    let mut swapped = whole.clone();
    swapped[first..first + 16].rotate_left(8);
    let damaged = [
        whole[..first].to_vec(),
        whole[..first + 20 * 8].to_vec(),
        changed(first + 3 * 8, &|_| 0),
        changed(first + 5 * 8 + 1, &|byte| byte ^ 4),
        swapped,
    ];
    for (which, bytes) in damaged.into_iter().enumerate() {
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(scene.open().0.order_for(TODAY).unwrap(), OrderState::Matched);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(scene.open().0.order_for(TODAY).unwrap(), OrderState::Unmatched, "damage {which}");
    }
}

#[test]
fn an_order_is_found_again_after_a_kill_at_any_outcome() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    drop(store);
    for row in 1..=20 {
        let (mut store, _) = scene.open();
        assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Matched, "before row {row}");
        write_rows(&mut store, row..=row);
        if row % 3 == 0 {
            store.checkpoint().unwrap();
        }
        if row % 2 == 0 {
            store.flush_order().unwrap();
        }
        drop(store);
    }
}

const BEFORE: Beginning = Beginning { identity: TODAY, rows: 3 };

fn confirm(store: &mut Store) {
    store.confirm_order();
    store.checkpoint().unwrap();
}

/// Where the index's outcomes of a key stand.
fn left(index: &mut KeyIndex, key: u8) -> Vec<u64> {
    std::iter::from_fn(|| index.take(Key([key; 16]))).map(|end| end.offset).collect()
}

#[test]
fn an_input_that_grew_takes_the_order_over_and_leaves_nothing_to_look_for() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=3);
    let places = offsets(&mut store, 1..=4);
    store.confirm_order();
    store.close().unwrap();
    let (mut store, _) = scene.open();
    assert_eq!(store.order_identity(), Some(TODAY));
    assert!(!store.resume_order(CHANGED).unwrap());
    let (others, claimed) = store.carry_order(CHANGED, &BEFORE).unwrap().unwrap();
    assert!(others.is_empty());
    assert_eq!(claimed, places[..3].iter().flatten().copied().collect::<Vec<_>>());
    write_rows(&mut store, 4..=4);
    let places = offsets(&mut store, 1..=4);
    // As a kill leaves it.
    drop(store);
    let (mut store, _) = scene.open();
    assert!(store.resume_order(CHANGED).unwrap());
    assert_eq!(offsets(&mut store, 1..=4), places);
}

#[test]
fn rows_behind_what_two_inputs_have_in_common_are_left_to_be_found_by_key() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=5);
    let places: Vec<u64> = offsets(&mut store, 1..=5).into_iter().flatten().collect();
    confirm(&mut store);
    let (mut others, claimed) = store.carry_order(CHANGED, &BEFORE).unwrap().unwrap();
    assert_eq!((&claimed[..], &left(&mut others, 1)[..]), (&places[..3], &places[3..]));
    assert_eq!(offsets(&mut store, 1..=5)[2..], [Some(places[2]), None, None]);
    // Until all rows have been looked up a kill leaves nothing that passes for an order.
    store.flush_order().unwrap();
    drop(store);
    let (mut store, _) = scene.open();
    assert!(!store.resume_order(CHANGED).unwrap());
    assert!(store.carry_order(CHANGED, &BEFORE).unwrap().is_none());
    assert_eq!(store.order_for(CHANGED).unwrap(), OrderState::Unmatched);
}

#[test]
fn what_nobody_confirmed_is_found_by_key() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=2);
    store.confirm_order();
    // The input may have been another one when this row was read.
    write_rows(&mut store, 3..=3);
    let places: Vec<u64> = offsets(&mut store, 1..=3).into_iter().flatten().collect();
    store.close().unwrap();
    let (mut store, _) = scene.open();
    let (mut others, claimed) = store.carry_order(CHANGED, &BEFORE).unwrap().unwrap();
    assert_eq!((&claimed[..], &left(&mut others, 1)[..]), (&places[..2], &places[2..]));
}

#[test]
fn an_order_that_is_found_again_is_confirmed_by_that() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=3);
    drop(store);
    let (mut store, _) = scene.open();
    assert!(store.resume_order(TODAY).unwrap());
    drop(store);
    let (mut store, _) = scene.open();
    assert!(store.carry_order(CHANGED, &BEFORE).unwrap().unwrap().0.is_empty());
}

#[test]
fn what_was_found_by_key_is_confirmed_only_when_it_is_said_of_all_of_it() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    write_rows(&mut store, 1..=3);
    let ends: Vec<End> = store.outcomes().map(|ended| ended.unwrap().end).collect();
    for confirmed in [false, true] {
        store.order_for(TODAY).unwrap();
        store.confirm_order();
        (1..).zip(&ends).for_each(|(row, end)| store.set_order(row, *end).unwrap());
        store.mark_matched().unwrap();
        if confirmed {
            confirm(&mut store);
        }
        let (others, _) = store.carry_order(CHANGED, &BEFORE).unwrap().unwrap();
        assert_eq!(others.is_empty(), confirmed);
        store.forget_order().unwrap();
    }
}

#[test]
fn an_outcome_that_was_replaced_is_not_left_for_others() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=3);
    let first = offsets(&mut store, 1..=1)[0];
    store.append(&LogLine::Outcome(Box::new(OutcomeLine { replaces: first, ..outcome(1, 1) }))).unwrap();
    confirm(&mut store);
    let (others, claimed) = store.carry_order(CHANGED, &BEFORE).unwrap().unwrap();
    assert!(others.is_empty() && claimed.len() == 3 && !claimed.contains(&first.unwrap()));
}
