//! Figures as people read them. All of these round down or say that they are rounded; exact ones are in `--json`.

use std::time::Duration;

use overnight::types::Money;

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
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
pub(super) fn short(number: u64) -> String {
    let (unit, name) = match number {
        0..10_000 => return count(number),
        10_000..1_000_000 => (1_000, 'k'),
        1_000_000..1_000_000_000 => (1_000_000, 'M'),
        1_000_000_000.. => (1_000_000_000, 'G'),
    };
    match number % unit / (unit / 10) {
        0 => format!("{}{name}", number / unit),
        tenths => format!("{}.{tenths}{name}", number / unit),
    }
}

/// `1,000 rows`, `1 row`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `12s`, `4m 02s`, `1h 02m`, `3d 04h`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        86_400.. => format!("{days}d {:02}h", hours % 24),
    }
}

/// `$0`, `$0.0123`, `$123.45`: to the nearest, but nothing that costs shows as nothing.
pub(super) fn usd(money: Money) -> String {
    let hundred_dollars = Money::from_pico(100_000_000_000_000);
    let (decimals, unit) = if money >= hundred_dollars { (2, 10_000_000_000) } else { (4, 100_000_000) };
    let units = money.pico().saturating_add(unit / 2) / unit;
    if money == Money::ZERO {
        return "$0".to_owned();
    }
    if units == 0 {
        return "<$0.0001".to_owned();
    }
    let scale = 10_u64.pow(decimals);
    format!("${}.{:0width$}", count(units / scale), units % scale, width = decimals as usize)
}

/// The known part of a cost, and whether there is more to it: what is unknown never shows as 0.
pub(super) fn cost(known: Money, unknown_rows: u64) -> String {
    match (known, unknown_rows) {
        (known, 0) => usd(known),
        (Money::ZERO, _) => "unknown".to_owned(),
        (known, _) => format!("{}+?", usd(known)),
    }
}

/// `312 rows/s`, `3.1 rows/s`, `4.5 rows/min`.
pub(super) fn pace(rows_per_second: f64) -> String {
    match rows_per_second {
        pace if pace >= 10.0 => format!("{pace:.0} rows/s"),
        pace if pace >= 0.1 => format!("{pace:.1} rows/s"),
        pace => format!("{:.1} rows/min", pace * 60.0),
    }
}

/// `whole` times `ended` / `total`, rounded down, so that 100 % means all.
pub(super) fn share(ended: u64, total: u64, whole: u64) -> u64 {
    ended.saturating_mul(whole).checked_div(total).unwrap_or(0).min(whole)
}

/// A provider's words, as safe on a terminal as in a log: one line, without control characters, and no page of HTML.
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
pub(super) fn model_name(provider: &str, model: &str) -> String {
    format!("{provider}/{model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas_and_short_ones_fit_six_characters() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 9_999, 12_345, 999_999, 1_000_000].map(short), ["0", "9,999", "12.3k", "999.9k", "1M"]);
        assert_eq!(short(678_900_000_000), "678.9G");
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".to_owned(), "0 rows".to_owned()));
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let spans = [0, 59, 60, 3_599, 3_723, 90_061].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["0s", "59s", "1m 00s", "59m 59s", "1h 02m", "1d 01h"]);
    }

    #[test]
    fn money_is_rounded_but_never_to_nothing() {
        let usd = |text: &str| usd(text.parse().unwrap());
        assert_eq!(usd("0"), "$0");
        assert_eq!(usd("0.000000000001"), "<$0.0001");
        assert_eq!(usd("0.00018"), "$0.0002");
        assert_eq!(usd("12.34"), "$12.3400");
        assert_eq!(usd("1234567.891"), "$1,234,567.89");
    }

    #[test]
    fn unknown_cost_is_told() {
        assert_eq!(cost(Money::ZERO, 0), "$0");
        assert_eq!(cost(Money::ZERO, 3), "unknown");
        assert_eq!(cost("1.5".parse().unwrap(), 3), "$1.5000+?");
    }

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(share(999_999, 1_000_000, 100), 99);
        assert_eq!(share(1_000_000, 1_000_000, 100), 100);
        assert_eq!(share(0, 0, 100), 0);
    }

    #[test]
    fn words_of_others_cannot_steer_a_terminal() {
        assert_eq!(one_line("no\r\n\u{1b}[2Jsuch  key\n"), "no [2Jsuch key");
        assert_eq!(one_line(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn slow_paces_are_told_by_the_minute() {
        assert_eq!([312.4, 3.12, 0.05, 0.0].map(pace), ["312 rows/s", "3.1 rows/s", "3.0 rows/min", "0.0 rows/min"]);
    }
}
