//! The shapes of the charts, in units of their own: the page stretches them to the room that there is.

use serde::Serialize;

use super::tables::{Cell, Table, head, name};
use crate::report::words::{cost, count, counted, latency, usd};
use crate::report::{Entry, KindOfFailure, LatencyRange, Throughput, ThroughputStep};
use crate::types::{Moment, Money};

/// A chart's height, and a bar's length.
const FULL: u64 = 1_000;
/// A column with its gap.
const PITCH: u64 = 10;
/// What is there never shows as nothing.
const LEAST: u64 = 12;
/// Labels below a chart, so that a phone has room for them.
const LABELS: usize = 5;
/// So many bars; the tables have them all.
const MOST_BARS: usize = 12;

/// Columns side by side.
#[derive(Serialize)]
pub(super) struct Columns {
    title: String,
    note: String,
    legend: Vec<Legend>,
    width: u64,
    shapes: Vec<Column>,
    /// Values at the top and in the middle of the chart.
    top: String,
    middle: String,
    labels: Vec<Label>,
    marks: Vec<Mark>,
    /// The same in figures.
    table: Table,
}

/// What a colour means.
#[derive(Serialize)]
pub(super) struct Legend {
    class: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct Column {
    x: u64,
    title: String,
    parts: Vec<Part>,
}

/// A coloured piece of a column (from its top) or of a bar (from its left).
#[derive(Serialize)]
struct Part {
    class: &'static str,
    from: u64,
    length: u64,
}

/// A label at so many thousandths of the width.
#[derive(Serialize)]
struct Label {
    at: u64,
    text: String,
}

/// A line through the chart.
#[derive(Serialize)]
struct Mark {
    x: u64,
    title: String,
}

/// A value of a column, and its colour.
type Value = (&'static str, u64);

fn column(index: usize, title: String, values: &[Value], top: u64) -> Column {
    let mut floor = FULL;
    let part = |(class, length): (&'static str, u64)| {
        floor -= length;
        Part { class, from: floor, length }
    };
    let parts = lengths(values, top, LEAST).into_iter().map(part).collect();
    Column { x: index as u64 * PITCH, title, parts }
}

/// What is there shows, and all of it has room: the largest makes some where it must.
fn lengths(values: &[Value], top: u64, least: u64) -> Vec<Value> {
    let there = values.iter().filter(|(_, value)| *value > 0);
    let mut lengths: Vec<Value> = there.map(|(class, value)| (*class, scaled(*value, top).max(least))).collect();
    let over = lengths.iter().map(|(_, length)| length).sum::<u64>().saturating_sub(FULL);
    if let Some((_, largest)) = lengths.iter_mut().max_by_key(|(_, length)| *length) {
        *largest = largest.saturating_sub(over);
    }
    lengths
}

/// Of a chart whose top stands for `top`.
fn scaled(value: u64, top: u64) -> u64 {
    let units = u128::from(value) * u128::from(FULL) / u128::from(top.max(1));
    u64::try_from(units).unwrap_or(FULL)
}

/// The next of 1, 2, 4, 6, 8, 10, 20, ...: its half is a whole number, but for 1.
fn round_top(most: u64) -> u64 {
    let mut unit: u64 = 1;
    while most > unit.saturating_mul(10) {
        unit = unit.saturating_mul(10);
    }
    [1, 2, 4, 6, 8, 10].into_iter().map(|steps| unit.saturating_mul(steps)).find(|top| *top >= most).unwrap_or(most)
}

/// The columns with their scale.
fn stacked(columns: Vec<(String, Vec<Value>)>) -> (Vec<Column>, u64) {
    let whole = |values: &[Value]| values.iter().map(|(_, value)| value).sum::<u64>();
    let top = round_top(columns.iter().map(|(_, values)| whole(values)).max().unwrap_or(0));
    let columns = columns.into_iter().enumerate();
    (columns.map(|(index, (title, values))| column(index, title, &values, top)).collect(), top)
}

fn middle(top: u64) -> String {
    if top > 1 { count(top / 2) } else { String::new() }
}

/// Rows that ended, well or badly.
pub(super) fn rows_over_time(throughput: &Throughput) -> Option<Columns> {
    let values = |step: &ThroughputStep| vec![("good", step.succeeded), ("bad", step.failed)];
    let legend = vec![Legend { class: "good", text: "succeeded" }, Legend { class: "bad", text: "failed" }];
    over_time("Rows over time", ["Succeeded", "Failed"], legend, throughput, values)
}

/// Requests, and those that met a limit.
pub(super) fn requests_over_time(throughput: &Throughput) -> Option<Columns> {
    let values = |step: &ThroughputStep| {
        vec![("plain", step.attempts.saturating_sub(step.rate_limited)), ("bad", step.rate_limited)]
    };
    let legend = vec![Legend { class: "plain", text: "taken" }, Legend { class: "bad", text: "answered 429" }];
    over_time("Limits hit: requests over time", ["Taken", "Answered 429"], legend, throughput, values)
}

fn over_time(
    title: &str,
    names: [&'static str; 2],
    legend: Vec<Legend>,
    throughput: &Throughput,
    values: impl Fn(&ThroughputStep) -> Vec<Value>,
) -> Option<Columns> {
    let (first, last) = (throughput.steps.first()?.at.0, throughput.steps.last()?.at.0);
    let step_ms = throughput.step_ms.max(1);
    let length = usize::try_from((last - first) / step_ms + 1).ok()?;
    let mut columns: Vec<(String, Vec<Value>)> = (0..length).map(|_| (String::new(), Vec::new())).collect();
    let mut rows = Vec::new();
    for step in &throughput.steps {
        let values = values(step);
        let at = usize::try_from((step.at.0 - first) / step_ms).ok()?;
        let told: Vec<String> = values.iter().zip(names).map(|((_, value), name)| said(*value, name)).collect();
        let time = time_of(step.at, step_ms, true);
        rows.push(
            std::iter::once(Cell::word(&time)).chain(values.iter().map(|(_, value)| Cell::count(*value))).collect(),
        );
        *columns.get_mut(at)? = (format!("{time}: {}", told.join(", ")), values);
    }
    let (shapes, top) = stacked(columns);
    let every = span_words(step_ms);
    Some(Columns {
        title: title.to_owned(),
        note: format!("a column is {every}; times are UTC"),
        legend,
        width: length as u64 * PITCH,
        shapes,
        top: count(top),
        middle: middle(top),
        labels: time_labels(first, last, step_ms),
        marks: Vec::new(),
        table: Table {
            caption: title.to_owned(),
            head: head(&["From (UTC)", names[0], names[1]], &["From (UTC)"]),
            rows,
            sums: false,
        },
    })
}

fn said(value: u64, name: &str) -> String {
    format!("{} {}", count(value), name.to_lowercase())
}

/// A step's length in whole units.
fn span_words(step_ms: u64) -> String {
    let seconds = step_ms / 1_000;
    match seconds {
        0..60 => counted(seconds, "second"),
        60..3_600 => counted(seconds / 60, "minute"),
        3_600..86_400 => counted(seconds / 3_600, "hour"),
        86_400.. => counted(seconds / 86_400, "day"),
    }
}

/// Its begin, middle and end.
fn time_labels(first: u64, last: u64, step_ms: u64) -> Vec<Label> {
    let end = last + step_ms;
    let days = end - first > 86_400_000;
    let label = |(at, moment): (u64, u64)| Label { at, text: time_of(Moment(moment), step_ms, days) };
    [(0, first), (FULL / 2, first + (end - first) / 2), (FULL, end)].map(label).into()
}

/// No finer than the steps are.
fn time_of(at: Moment, step_ms: u64, with_date: bool) -> String {
    let text = at.to_string();
    let (date, minutes, seconds) = (text.get(5..10), text.get(11..16), text.get(11..19));
    let clock = if step_ms < 60_000 { seconds } else { minutes };
    match (date, clock) {
        (Some(date), Some(clock)) if with_date => format!("{date} {clock}"),
        (Some(_), Some(clock)) => clock.to_owned(),
        _ => text,
    }
}

/// How long calls took; marks at the percentiles.
pub(super) fn latency_histogram(ranges: &[LatencyRange], marks: &[(&str, Option<u64>)]) -> Option<Columns> {
    if ranges.is_empty() {
        return None;
    }
    let title = |range: &LatencyRange| {
        format!("{} to {}: {}", latency(range.from_ms), latency(range.below_ms), counted(range.calls, "call"))
    };
    let (shapes, top) = stacked(ranges.iter().map(|range| (title(range), vec![("good", range.calls)])).collect());
    let told: Vec<(&str, u64)> = marks.iter().filter_map(|(name, at)| Some((*name, (*at)?))).collect();
    let note: Vec<String> = told.iter().map(|(name, at)| format!("{name} {}", latency(*at))).collect();
    let row = |range: &LatencyRange| {
        let (from, below) = (latency(range.from_ms), latency(range.below_ms));
        vec![Cell::exact(from, range.from_ms), Cell::exact(below, range.below_ms), Cell::count(range.calls)]
    };
    Some(Columns {
        title: "Latency of calls".to_owned(),
        note: format!("{}; dashed lines", note.join(", ")),
        legend: Vec::new(),
        width: ranges.len() as u64 * PITCH,
        shapes,
        top: count(top),
        middle: middle(top),
        labels: latency_labels(ranges),
        marks: told.iter().filter_map(|(name, at)| mark(ranges, name, *at)).collect(),
        table: Table {
            caption: "Latency of calls".to_owned(),
            head: head(&["From", "Below", "Calls"], &[]),
            rows: ranges.iter().map(row).collect(),
            sums: false,
        },
    })
}

fn mark(ranges: &[LatencyRange], name: &str, at: u64) -> Option<Mark> {
    let index = ranges.iter().position(|range| (range.from_ms..range.below_ms).contains(&at))?;
    let range = &ranges[index];
    let within = (at - range.from_ms) * PITCH / (range.below_ms - range.from_ms).max(1);
    Some(Mark { x: index as u64 * PITCH + within, title: format!("{name}: {}", latency(at)) })
}

/// At ranges that begin with a power of two, as many as fit.
fn latency_labels(ranges: &[LatencyRange]) -> Vec<Label> {
    let doublings: Vec<usize> = (0..ranges.len()).filter(|at| ranges[*at].from_ms.is_power_of_two()).collect();
    let every = doublings.len().div_ceil(LABELS).max(1);
    let label = |at: usize| Label { at: at as u64 * FULL / ranges.len() as u64, text: latency(ranges[at].from_ms) };
    let labels: Vec<Label> = doublings.into_iter().step_by(every).map(label).collect();
    if labels.is_empty() { vec![label(0)] } else { labels }
}

/// Bars below each other.
#[derive(Serialize)]
pub(super) struct Bars {
    title: &'static str,
    note: String,
    legend: Vec<Legend>,
    lines: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    name: String,
    parts: Vec<Part>,
    value: String,
    note: String,
}

fn bar(name: String, values: &[Value], most: u64, value: String, note: String) -> Bar {
    let mut from = 0;
    let part = |(class, length): (&'static str, u64)| {
        from += length;
        Part { class, from: from - length, length }
    };
    let parts = lengths(values, most, LEAST / 2).into_iter().map(part).collect();
    Bar { name, parts, value, note }
}

/// The most expensive first.
pub(super) fn cost_by_model(models: &[Entry]) -> Option<Bars> {
    let known = |entry: &Entry| entry.cost_usd.unwrap_or_default();
    let mut asked: Vec<&Entry> = models.iter().filter(|entry| entry.attempts > 0).collect();
    asked.sort_by_key(|entry| std::cmp::Reverse(known(entry)));
    let most = asked.first().map(|entry| known(entry)).filter(|most| *most > Money::ZERO)?;
    let bars = asked.iter().take(MOST_BARS).map(|entry| {
        let (whole, wasted) = (known(entry), entry.wasted_usd.unwrap_or_default());
        let values = [("good", whole.saturating_sub(wasted).pico()), ("bad", wasted.pico())];
        let value = entry.cost_usd.map_or("unknown".to_owned(), |known| cost(known, entry.cost_unknown_rows));
        let note = if wasted > Money::ZERO { format!("{} wasted", usd(wasted)) } else { String::new() };
        bar(name(entry), &values, most.pico(), value, note)
    });
    let legend = vec![Legend { class: "good", text: "answers" }, Legend { class: "bad", text: "wasted" }];
    Some(Bars { title: "Cost by model", note: left_out(asked.len()), legend, lines: bars.collect() })
}

/// Kinds that failed rows.
pub(super) fn failures_by_kind(kinds: &[KindOfFailure]) -> Option<Bars> {
    let failed: Vec<&KindOfFailure> = kinds.iter().filter(|kind| kind.rows > 0).collect();
    let most = failed.iter().map(|kind| kind.rows).max()?;
    let bars = failed.iter().take(MOST_BARS).map(|kind| {
        let value = counted(kind.rows, "row");
        bar(kind.kind.name().to_owned(), &[("bad", kind.rows)], most, value, String::new())
    });
    Some(Bars { title: "Failed rows by kind", note: left_out(failed.len()), legend: Vec::new(), lines: bars.collect() })
}

fn left_out(all: usize) -> String {
    match all.saturating_sub(MOST_BARS) {
        0 => String::new(),
        more => format!("{more} more stand in the table below"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number_and_has_a_whole_half() {
        assert_eq!([0, 1, 2, 3, 7, 10, 11, 99, 601, 1_000].map(round_top), [1, 1, 2, 4, 8, 10, 20, 100, 800, 1_000]);
        assert_eq!((middle(1), middle(20)), (String::new(), "10".to_owned()));
    }

    #[test]
    fn what_is_there_shows_and_nothing_leaves_its_chart() {
        let places = |parts: &[Part]| parts.iter().map(|part| (part.from, part.length)).collect::<Vec<_>>();
        let column = column(0, String::new(), &[("good", 1_000_000), ("bad", 1)], 1_000_001);
        assert_eq!(places(&column.parts), [(12, 988), (0, 12)]);
        let bar = bar(String::new(), &[("good", 300), ("bad", 100)], 1_000, String::new(), String::new());
        assert_eq!(places(&bar.parts), [(0, 300), (300, 100)]);
    }

    #[test]
    fn a_step_is_told_in_whole_units() {
        let told = [1_000, 30_000, 60_000, 300_000, 3_600_000, 7_200_000, 172_800_000].map(span_words);
        assert_eq!(told, ["1 second", "30 seconds", "1 minute", "5 minutes", "1 hour", "2 hours", "2 days"]);
    }
}
