//! Figures as people read them: rounded to the nearest, but what is there never shows as nothing, and a part never as the
//! whole. Exact ones are in `--json`.

use std::time::Duration;

use crate::types::{HeldBack, Moment, Money};

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most six characters: `9,999`, `12.3k`, `4M`, `678.9G`.
#[must_use]
pub fn short(number: u64) -> String {
    const TENTHS: [(u64, char); 3] = [(100, 'k'), (100_000, 'M'), (100_000_000, 'G')];
    if number < 10_000 {
        return count(number);
    }
    // What rounds to a thousand of a unit is one of the next.
    let fitting = TENTHS.into_iter().find(|(tenth, _)| rounded(number, *tenth) < 10_000);
    let (tenth, unit) = fitting.unwrap_or(TENTHS[2]);
    let tenths = rounded(number, tenth);
    match tenths % 10 {
        0 => format!("{}{unit}", count(tenths / 10)),
        rest => format!("{}.{rest}{unit}", count(tenths / 10)),
    }
}

/// How many units there are, to the nearest.
fn rounded(number: u64, unit: u64) -> u64 {
    number / unit + u64::from(number % unit >= unit.div_ceil(2))
}

/// `1,000 rows`, `1 row`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `12s`, `4m 02s`, `1h 02m`, `3d 04h`.
#[must_use]
pub fn span(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let seconds = rounded(millis, 1_000);
    if seconds < 60 {
        return format!("{seconds}s");
    }
    if seconds < 3_600 {
        return format!("{}m {:02}s", seconds / 60, seconds % 60);
    }
    let minutes = rounded(millis, 60_000);
    if minutes < 24 * 60 {
        return format!("{}h {:02}m", minutes / 60, minutes % 60);
    }
    let hours = rounded(millis, 3_600_000);
    format!("{}d {:02}h", hours / 24, hours % 24)
}

/// `4.5s`, `0.3s`; `None` where ten seconds or more make tenths idle.
#[must_use]
pub fn tenths(millis: u64) -> Option<String> {
    let tenths = rounded(millis, 100);
    (tenths < 100).then(|| format!("{}.{}s", tenths / 10, tenths % 10))
}

/// `312ms`, `4.5s`, `75s`.
#[must_use]
pub fn latency(millis: u64) -> String {
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    tenths(millis).unwrap_or_else(|| format!("{}s", count(rounded(millis, 1_000))))
}

/// `$0`, `$0.0123`, `$123.45`.
#[must_use]
pub fn usd(money: Money) -> String {
    const CENT: u64 = 10_000_000_000;
    if money == Money::ZERO {
        return "$0".to_owned();
    }
    let (cents, hundredths) = (rounded(money.pico(), CENT), rounded(money.pico(), CENT / 100));
    match hundredths {
        0 => "<$0.0001".to_owned(),
        1..1_000_000 => format!("${}.{:04}", hundredths / 10_000, hundredths % 10_000),
        1_000_000.. => format!("${}.{:02}", count(cents / 100), cents % 100),
    }
}

/// The known part of a cost, and whether there is more to it: what is unknown never shows as 0.
#[must_use]
pub fn cost(known: Money, unknown_rows: u64) -> String {
    match (known, unknown_rows) {
        (known, 0) => usd(known),
        (Money::ZERO, _) => "unknown".to_owned(),
        (known, _) => format!("{}+?", usd(known)),
    }
}

/// `2026-01-31 03:12`, in UTC.
#[must_use]
pub fn minute(at: Moment) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => text,
    }
}

/// `312 rows/s`, `3.1 rows/s`, `4.5 rows/min`.
#[must_use]
pub fn pace(rows_per_second: f64) -> String {
    match rows_per_second {
        // From here on one decimal would show as 10.0.
        pace if pace >= 9.95 => format!("{pace:.0} rows/s"),
        pace if pace >= 0.1 => format!("{pace:.1} rows/s"),
        pace => format!("{:.1} rows/min", pace * 60.0),
    }
}

/// `whole` times `ended` / `total`, to the nearest; but 100 % means all.
#[must_use]
pub fn share(ended: u64, total: u64, whole: u64) -> u64 {
    if total == 0 || ended >= total {
        return if total == 0 { 0 } else { whole };
    }
    rounded(ended.saturating_mul(whole), total).min(whole.saturating_sub(1))
}

/// A provider's words, as safe on a terminal as in a log: one line, without control characters, and no page of HTML.
#[must_use]
pub fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let words: Vec<&str> =
        text.split(|char: char| char.is_control() || char == ' ').filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `provider/model`.
#[must_use]
pub fn model_name(provider: &str, model: &str) -> String {
    format!("{provider}/{model}")
}

/// How long rows waited for a model: `gateway/small: 1h 02m for its limits, 12m 00s cooling down`; `None` where that is
/// less than a second.
#[must_use]
pub fn held_back(held: &HeldBack) -> Option<String> {
    let waits = [
        (held.pacing_ms, "for its limits"),
        (held.cooling_down_ms, "for a pause it asked for"),
        (held.down_ms, "for it to answer again"),
    ];
    let long = waits.into_iter().filter(|(millis, _)| *millis >= 1_000);
    let told: Vec<String> =
        long.map(|(millis, what)| format!("{} {what}", span(Duration::from_millis(millis)))).collect();
    let model = model_name(&held.provider, &held.model);
    (!told.is_empty()).then(|| format!("{model}: {}", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas_and_short_ones_fit_six_characters() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 9_999, 12_345, 1_000_000].map(short), ["0", "9,999", "12.3k", "1M"]);
        assert_eq!([1_949, 10_049, 10_050, 999_949].map(short), ["1,949", "10k", "10.1k", "999.9k"]);
        assert_eq!([999_950, 999_949_999, 999_950_000].map(short), ["1M", "999.9M", "1G"]);
        assert_eq!([678_900_000_000, 999_950_000_000].map(short), ["678.9G", "1,000G"]);
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".to_owned(), "0 rows".to_owned()));
    }

    #[test]
    fn spans_have_their_two_largest_units_to_the_nearest() {
        let spans = |millis: &[u64]| -> Vec<String> {
            millis.iter().map(|millis| span(Duration::from_millis(*millis))).collect()
        };
        assert_eq!(spans(&[0, 59_000, 60_000, 3_599_000, 3_723_000]), ["0s", "59s", "1m 00s", "59m 59s", "1h 02m"]);
        assert_eq!(spans(&[499, 500, 1_999, 59_499, 59_900]), ["0s", "1s", "2s", "59s", "1m 00s"]);
        assert_eq!(spans(&[119_600, 3_599_499, 3_599_500]), ["2m 00s", "59m 59s", "1h 00m"]);
        assert_eq!(spans(&[3_629_999, 3_630_000, 7_199_000]), ["1h 00m", "1h 01m", "2h 00m"]);
        assert_eq!(
            spans(&[86_369_999, 86_370_000, 90_061_000, 171_000_000]),
            ["23h 59m", "1d 00h", "1d 01h", "2d 00h"]
        );
    }

    #[test]
    fn latencies_are_rounded_to_what_they_show() {
        assert_eq!([0, 312, 999, 1_000].map(latency), ["0ms", "312ms", "999ms", "1.0s"]);
        assert_eq!([1_949, 1_950, 1_999, 9_949].map(latency), ["1.9s", "2.0s", "2.0s", "9.9s"]);
        assert_eq!([9_950, 10_499, 59_900, 999_500].map(latency), ["10s", "10s", "60s", "1,000s"]);
        assert_eq!(
            [49, 50, 9_949, 9_950].map(tenths),
            [Some("0.0s"), Some("0.1s"), Some("9.9s"), None].map(|t| t.map(str::to_owned))
        );
    }

    #[test]
    fn money_is_rounded_but_never_to_nothing() {
        let usd = |text: &str| usd(text.parse().unwrap());
        assert_eq!(usd("0"), "$0");
        assert_eq!(usd("0.000000000001"), "<$0.0001");
        assert_eq!((usd("0.000049999999"), usd("0.00005")), ("<$0.0001".to_owned(), "$0.0001".to_owned()));
        assert_eq!(usd("0.00018"), "$0.0002");
        assert_eq!(usd("12.34"), "$12.3400");
        assert_eq!((usd("99.99994"), usd("99.99995")), ("$99.9999".to_owned(), "$100.00".to_owned()));
        assert_eq!((usd("999.994"), usd("999.995")), ("$999.99".to_owned(), "$1,000.00".to_owned()));
        assert_eq!(usd("1234567.891"), "$1,234,567.89");
        assert_eq!(super::usd(Money::from_pico(u64::MAX)), "$18,446,744.07");
    }

    #[test]
    fn waits_are_told_where_they_are_long_enough() {
        let held = |pacing_ms, down_ms| HeldBack {
            provider: "p".into(),
            model: "m".into(),
            pacing_ms,
            down_ms,
            cooling_down_ms: 0,
        };
        assert_eq!(held_back(&held(90_000, 2_000)).unwrap(), "p/m: 1m 30s for its limits, 2s for it to answer again");
        assert_eq!(held_back(&held(999, 0)), None);
    }

    #[test]
    fn a_minute_has_its_date() {
        assert_eq!(
            (minute(Moment(1_769_829_125_999)), minute(Moment(u64::MAX))),
            ("2026-01-31 03:12".into(), "unknown".into())
        );
    }

    #[test]
    fn unknown_cost_is_told() {
        assert_eq!(cost(Money::ZERO, 0), "$0");
        assert_eq!(cost(Money::ZERO, 3), "unknown");
        assert_eq!(cost("1.5".parse().unwrap(), 3), "$1.5000+?");
    }

    #[test]
    fn shares_are_rounded_but_a_hundred_percent_means_all() {
        assert_eq!([share(124, 1_000, 100), share(125, 1_000, 100), share(666, 1_000, 100)], [12, 13, 67]);
        assert_eq!([share(999, 1_000, 100), share(999_999, 1_000_000, 100)], [99, 99]);
        assert_eq!([share(1_000_000, 1_000_000, 100), share(0, 0, 100), share(7, 5, 100)], [100, 0, 100]);
    }

    #[test]
    fn words_of_others_cannot_steer_a_terminal() {
        assert_eq!(one_line("no\r\n\u{1b}[2Jsuch  key\n"), "no [2Jsuch key");
        assert_eq!(one_line(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn slow_paces_are_told_by_the_minute() {
        assert_eq!([312.4, 3.12, 0.05, 0.0].map(pace), ["312 rows/s", "3.1 rows/s", "3.0 rows/min", "0.0 rows/min"]);
        assert_eq!([9.94, 9.95, 0.0999].map(pace), ["9.9 rows/s", "10 rows/s", "6.0 rows/min"]);
    }
}
