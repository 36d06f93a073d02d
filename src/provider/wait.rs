//! How long a server asks to wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};
use jiff::Timestamp;

/// Longer waits are taken as this: a server that says a year means "not today".
const LONGEST: Duration = Duration::from_hours(24);

/// Numbers above these are no waits but points in time: no wait is 30 years.
const EPOCH: f64 = 1e9;
const EPOCH_MS: f64 = 1e12;

/// The wait in a reply's headers, else the one its body told.
pub(super) fn told(headers: &HeaderMap, in_body: Option<Duration>) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let milliseconds = || text("retry-after-ms")?.parse().ok().and_then(|ms: f64| seconds(ms / 1000.0));
    milliseconds().or_else(|| until_reset(text("retry-after")?, headers)).or(in_body)
}

/// A wait in any form that headers have: seconds, a duration, a date (HTTP or RFC 3339), an epoch in seconds or
/// milliseconds.
pub(super) fn until_reset(text: &str, headers: &HeaderMap) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            number if number > EPOCH_MS => seconds((number / 1000.0 - epoch(headers)).max(0.0)),
            number if number > EPOCH => seconds((number - epoch(headers)).max(0.0)),
            number => seconds(number),
        };
    }
    // No duration has a colon, and every date has: a date that cannot be read must not become its year in seconds.
    if text.contains(':') { until(text, headers) } else { duration(text) }
}

fn until(date: &str, headers: &HeaderMap) -> Option<Duration> {
    let rfc_3339 = || date.parse::<Timestamp>().ok().map(SystemTime::from);
    let then = httpdate::parse_http_date(date).ok().or_else(rfc_3339)?;
    Some(then.duration_since(now(headers)).unwrap_or_default().min(LONGEST))
}

/// By the server's own clock where it tells it, as ours may differ.
fn now(headers: &HeaderMap) -> SystemTime {
    let told = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    told.unwrap_or_else(SystemTime::now)
}

fn epoch(headers: &HeaderMap) -> f64 {
    now(headers).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Until the day has ended in California, where some quotas of the day do: by 08:00 UTC, in summer an hour before.
pub(super) fn until_midnight_in_california(headers: &HeaderMap) -> Duration {
    let since = now(headers).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (hours_8, day) = (8 * 3600, 24 * 3600);
    Duration::from_secs(day - (since + day - hours_8) % day)
}

/// A number of seconds, if it is one.
pub(super) fn seconds(value: f64) -> Option<Duration> {
    if value.is_nan() || value < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(value).unwrap_or(LONGEST).min(LONGEST))
}

/// The wait that an error message tells in words: "please try again in 6m0.5s".
pub(super) fn in_words(lower_case: &str) -> Option<Duration> {
    let rest = |phrase: &str| lower_case.split_once(phrase).map(|(_, rest)| rest);
    ["try again in ", "retry in ", "try again after ", "retry after "].into_iter().find_map(|p| duration(rest(p)?))
}

/// A duration as servers write it: `31s`, `1m30.5s`, `120ms`, `20 seconds`, `5`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut total = 0.0;
    let mut any = false;
    while let Some((number, after)) = leading_number(rest) {
        let after_blank = after.trim_start();
        let unit_end = after_blank.find(|c: char| !c.is_alphabetic()).unwrap_or(after_blank.len());
        let (unit, next) = after_blank.split_at(unit_end);
        let Some(scale) = scale(unit) else {
            // A bare number means seconds, whatever word comes next.
            total += if any { 0.0 } else { number };
            any = true;
            break;
        };
        total += number * scale;
        any = true;
        rest = next;
    }
    if any { seconds(total) } else { None }
}

fn leading_number(text: &str) -> Option<(f64, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    if let Some(fraction) = text[end..].strip_prefix('.') {
        let more = digits(fraction);
        end += if more == 0 { 0 } else { more + 1 };
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn scale(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" => Some(1e-6),
        "ms" | "millisecond" | "milliseconds" => Some(1e-3),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Wed, 21 Oct 2015 07:28:30 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let cases = [
            (vec![("retry-after", "7")], Some(7.0)),
            (vec![("retry-after", "0.25")], Some(0.25)),
            (vec![("retry-after-ms", "1500"), ("retry-after", "9")], Some(1.5)),
            (vec![("retry-after", DATE), ("date", "Wed, 21 Oct 2015 07:28:00 GMT")], Some(30.0)),
            (vec![("retry-after", DATE)], Some(0.0)),
            (vec![("retry-after", "1m30s")], Some(90.0)),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "2015-10-21 at 07:28")], None),
            (vec![], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(told(&headers(&pairs), None), expected.and_then(seconds), "{pairs:?}");
        }
    }

    #[test]
    fn resets_are_read_in_every_form_and_by_the_servers_clock() {
        let headers = headers(&[("date", "Wed, 21 Oct 2015 07:28:00 GMT")]);
        let cases = [
            ("6m0s", 360.0),
            ("12ms", 0.012),
            ("2m59.56s", 179.56),
            ("1h0m0s", 3600.0),
            ("33011.382867", 33_011.382_867),
            ("0", 0.0),
            ("2015-10-21T07:28:30Z", 30.0),
            ("2015-10-21T09:28:30.5+02:00", 30.5),
            ("2015-10-21T07:27:00Z", 0.0),
            (DATE, 30.0),
            ("1445412510", 30.0),
            ("1445412480000", 0.0),
            ("1445412481500", 1.5),
            ("1445412000", 0.0),
            ("9445412000", 86_400.0),
        ];
        for (text, expected) in cases {
            assert_eq!(until_reset(text, &headers), seconds(expected), "{text}");
        }
        for text in ["", "-1", "soon", "nan", "2015-10-21T07:28"] {
            assert_eq!(until_reset(text, &headers), None, "{text}");
        }
    }

    #[test]
    fn the_day_in_california_ends_at_eight_in_the_morning_utc() {
        for (date, hours) in [("07:00:00", 1), ("08:00:00", 24), ("09:00:00", 23), ("00:00:00", 8)] {
            let headers = headers(&[("date", &format!("Wed, 21 Oct 2015 {date} GMT"))]);
            assert_eq!(until_midnight_in_california(&headers), Duration::from_hours(hours), "{date}");
        }
    }

    #[test]
    fn a_header_wins_over_the_body_and_absurd_waits_end() {
        assert_eq!(told(&headers(&[("retry-after", "2")]), seconds(9.0)), seconds(2.0));
        assert_eq!(told(&HeaderMap::new(), seconds(9.0)), seconds(9.0));
        assert_eq!(told(&headers(&[("retry-after", "1e300")]), None), Some(LONGEST));
        assert_eq!(told(&headers(&[("retry-after", "nan")]), None), None);
    }

    #[test]
    fn waits_in_words_are_read() {
        let cases = [
            ("limit 200000, used 150974. please try again in 1.378s. visit https://", Some(1.378)),
            ("please try again in 15ms.", Some(0.015)),
            ("try again in 6m0s", Some(360.0)),
            ("try again in 1h2m3.5s.", Some(3723.5)),
            ("please retry in 24.30s.", Some(24.3)),
            ("please retry after 20 seconds.", Some(20.0)),
            ("please retry after 20", Some(20.0)),
            ("please retry after 20 tokens", Some(20.0)),
            ("try again in a while", None),
            ("no hint", None),
        ];
        for (text, expected) in cases {
            assert_eq!(in_words(text), expected.map(Duration::from_secs_f64), "{text}");
        }
    }
}
