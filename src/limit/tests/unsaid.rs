//! Against servers that refuse without a word of why.

use std::sync::Mutex;

use super::servers::{Counts, Server, adaptive, work};
use super::*;

/// Of latencies, where a few of them are cheap.
const SEEDS: [u64; 5] = [3, 4, 6, 7, 8];

/// What a server served and refused in the last minutes of this weather, asked by as many as there may be.
async fn weathered(
    gate: &Arc<ModelGate>,
    server: &Arc<Mutex<Server>>,
    weather: impl Future<Output = ()>,
    last: Duration,
    seed: u64,
) -> (u64, u64) {
    // The same latencies each time.
    fastrand::seed(seed);
    let workers: Vec<_> = (0..256).map(|_| work(Arc::clone(gate), Arc::clone(server), SECOND)).collect();
    tokio::select! {
        _ = futures::future::join_all(workers) => unreachable!("they work for ever"),
        () = weather => {}
    }
    let (from, server) = (Instant::now() - last, server.lock().unwrap());
    (Server::count(&server.served, from, last), Server::count(&server.refused, from, last))
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_of_refusals_is_forgotten_soon() {
    let server = Server::new(Counts::Sliding, 3_000, false);
    let weather = async {
        sleep(10 * MINUTE).await;
        server.lock().unwrap().limit = 0;
        sleep(30 * MINUTE).await;
        server.lock().unwrap().limit = 3_000;
        sleep(15 * MINUTE).await;
    };
    let (served, _) = weathered(&adaptive(rpm(6_000)), &server, weather, 10 * MINUTE, 7).await;
    assert!(served > 26_000, "{served} of 30000");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_not_told_is_found_under_a_configured_concurrency_too() {
    for seed in SEEDS {
        let server = Server::new(Counts::Sliding, 600, false);
        let gate = adaptive(Limits { concurrency: Some(64), ..NO_LIMITS });
        let (served, refused) = weathered(&gate, &server, sleep(30 * MINUTE), 20 * MINUTE, seed).await;
        assert!(served > 10_500, "seed {seed}: {served} of 12000");
        assert!(refused < 100, "seed {seed}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_at_random_take_neither_the_rate_nor_the_calls_in_flight() {
    let cases = [
        (rpm(6_000), 50, 6_000),
        (rpm(6_000), 100, 6_000),
        (rpm(300), 30, 300),
        // 256 calls at once of a second each.
        (NO_LIMITS, 100, 15_360),
        (NO_LIMITS, 30, 15_360),
    ];
    for (limits, noise, a_minute) in cases {
        let server = Server::new(Counts::Sliding, 1_000_000, false);
        server.lock().unwrap().noise = Some(noise);
        let (served, _) = weathered(&adaptive(limits), &server, sleep(10 * MINUTE), 5 * MINUTE, 7).await;
        let wanted = 5 * a_minute * if limits.rpm.is_some() { 94 } else { 60 } / 100;
        assert!(served >= wanted, "1 of {noise}: {served} of {}", 5 * a_minute);
    }
}

/// A server whose limit is another one after half an hour: it is used, and few calls too many are sent.
async fn check_found(limits: Limits, before: u64, after: u64, percent: u64, seed: u64) {
    let server = Server::new(Counts::Bucket, before, false);
    let weather = async {
        sleep(30 * MINUTE).await;
        server.lock().unwrap().limit = after;
        sleep(60 * MINUTE).await;
    };
    let (served, refused) = weathered(&adaptive(limits), &server, weather, 40 * MINUTE, seed).await;
    let what = format!("{limits:?}, {after}, seed {seed}: {refused} refused beside {served}");
    assert!(served >= 40 * after * 95 / 100, "{what}");
    assert!(refused * 100 <= (served + refused) * percent, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_a_word_is_not_taken_for_refusals_at_random() {
    for seed in SEEDS {
        // Refusals at today's limit are no more frequent than those at the one before.
        check_found(rpm(660), 600, 345, 1, seed).await;
    }
    check_found(rpm(660), 600, 380, 1, 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_not_told_is_used_where_none_is_configured_too() {
    // The calls in flight are searched first, which takes refusals.
    for limit in [600, 120] {
        check_found(NO_LIMITS, limit, limit, 45, 7).await;
    }
}
