//! Simulated hours against a server that counts exactly.

use std::ops::{Range, RangeInclusive};

use super::*;

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

/// Calls whose real usage is so many percent of the estimate, with latencies from 0.2 to 20 s.
fn calls(size: Range<u64>, percent: RangeInclusive<u64>) -> impl FnMut() -> Call {
    let mut random = fastrand::Rng::with_seed(7);
    move || {
        let estimate = random.u64(size.clone());
        let real = (estimate * random.u64(percent.clone())).div_ceil(100);
        Call { estimate, real, latency: Duration::from_millis(random.u64(200..20_000)) }
    }
}

/// Checks both sides of the promise for requests.
async fn requests_of_an_hour(per_minute: u64) {
    let gate = model(rpm(per_minute));
    let seen = Seen::sent(&gate, HOUR, || Call { estimate: 0, real: 0, latency: Duration::ZERO }).await;
    let used = percent(seen.requests(), per_minute * 60);
    assert!(seen.most(MINUTE).0 <= per_minute, "{per_minute} rpm: {} in a minute", seen.most(MINUTE).0);
    let in_a_second = seen.most(SECOND).0;
    assert!(in_a_second <= per_minute.div_ceil(60).max(2), "{per_minute} rpm: {in_a_second} in a second");
    assert!(used >= 98.0, "{per_minute} rpm: only {used:.2} % used");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_a_minute_are_used_and_not_overrun() {
    requests_of_an_hour(100).await;
}

#[tokio::test(start_paused = true)]
async fn ten_requests_a_second_are_used_and_not_overrun() {
    requests_of_an_hour(600).await;
}

#[tokio::test(start_paused = true)]
async fn an_uneven_rate_is_used_and_not_overrun() {
    requests_of_an_hour(1_234).await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_a_second_are_used_and_not_overrun() {
    requests_of_an_hour(6_000).await;
}

/// Checks both sides of the promise for tokens.
async fn tokens_of_an_hour(per_minute: u64, least: f64, next: impl FnMut() -> Call) {
    let seen = Seen::sent(&model(tpm(per_minute)), HOUR, next).await;
    let (used, most) = (percent(seen.tokens(), per_minute * 60), percent(seen.most(MINUTE).1, per_minute));
    assert!(most <= 100.0, "{most:.2} % in a minute");
    assert!(used >= least, "only {used:.2} % used");
}

#[tokio::test(start_paused = true)]
async fn tokens_estimated_three_times_too_high_are_given_back() {
    tokens_of_an_hour(100_000, 98.0, calls(900..1_500, 33..=34)).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_estimated_at_half_are_owed() {
    tokens_of_an_hour(100_000, 98.0, calls(300..500, 200..=200)).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_estimated_at_random_are_used_when_calls_are_many() {
    tokens_of_an_hour(1_000_000, 98.0, calls(200..400, 30..=170)).await;
}

/// Some fifty calls a minute, eight of them in flight, nobody knows how large: to be sure never to overrun, a tenth of
/// the quota must stay free for what they may turn out to be.
#[tokio::test(start_paused = true)]
async fn tokens_estimated_at_random_do_not_overrun_a_small_quota() {
    tokens_of_an_hour(50_000, 85.0, calls(200..1_500, 30..=170)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_use_more_and_take_longer_do_not_overrun() {
    let mut next = calls(200..400, 30..=170);
    tokens_of_an_hour(500_000, 97.0, move || {
        let call = next();
        Call { latency: Duration::from_millis(call.real * 30), ..call }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_both_limits_the_tighter_one_is_used_and_neither_overrun() {
    for (requests, tokens, size) in [(300, 300_000, 400..600), (600, 100_000, 400..600)] {
        let gate = model(Limits { rpm: Some(requests), tpm: Some(tokens), ..NO_LIMITS });
        let seen = Seen::sent(&gate, HOUR, calls(size, 90..=110)).await;
        let (most_requests, most_tokens) = seen.most(MINUTE);
        assert!(most_requests <= requests && most_tokens <= tokens, "{most_requests} and {most_tokens} in a minute");
        let used = percent(seen.requests(), requests * 60).max(percent(seen.tokens(), tokens * 60));
        assert!(used >= 98.0, "only {used:.2} % used");
    }
}

#[tokio::test(start_paused = true)]
async fn two_models_share_their_providers_limits() {
    let provider = provider(Limits { rpm: Some(600), tpm: Some(200_000), ..NO_LIMITS });
    let slots = Slots::new(10_000);
    let first = at(&provider, NO_LIMITS, &slots);
    let second = at(&provider, rpm(60), &slots);
    let (first, second) = tokio::join!(
        Seen::sent(&first, HOUR, calls(400..600, 50..=50)),
        Seen::sent(&second, HOUR, calls(100..150, 200..=200))
    );
    let of_second = percent(second.requests(), 60 * 60);
    let both = first.and(second);
    let (requests, tokens) = both.most(MINUTE);
    assert!(requests <= 600 && tokens <= 200_000, "{requests} and {tokens} in a minute");
    let used = percent(both.requests(), 600 * 60).max(percent(both.tokens(), 200_000 * 60));
    assert!(used >= 98.0, "only {used:.2} % used");
    assert!(of_second >= 98.0, "the slower model is not pushed aside by the other: {of_second:.2} %");
}

#[tokio::test(start_paused = true)]
async fn calls_that_end_without_a_figure_count_as_reserved() {
    let gate = model(tpm(60_000));
    let (mut sent, end) = (0, Instant::now() + HOUR);
    loop {
        drop(admit(&gate, 1_000).await);
        if Instant::now() >= end {
            break;
        }
        sent += 1;
    }
    assert!((56 * 60..=60 * 60).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_call_larger_than_the_quota_goes_alone() {
    let gate = model(tpm(1_000));
    let start = Instant::now();
    admit(&gate, 5_000).await.settle(used(5_000));
    let alone = start.elapsed();
    assert!(alone <= MINUTE + SECOND, "a minute's rate at most is saved up for it: {alone:?}");
    drop(admit(&gate, 10).await);
    assert!(start.elapsed() >= alone + MINUTE, "nothing goes beside it");
}
