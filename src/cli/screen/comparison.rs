//! A comparison of models, for people and as Markdown.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{Cell, Table};
use overnight::engine::{Agreement, ComparedAnswer, ComparedModel, ComparedRow, Comparison, Validity};
use overnight::types::Money;

use super::lines::Lines;
use super::phrases;
use super::summary::warnings;
use super::table::{figure, unframed};
use super::words::{cost, count, counted, latency, model_name, span, usd};

/// A heading over a column, and what stands in it.
type Column<'a> = (&'a str, &'a dyn Fn(&ComparedModel) -> String);

/// How the models compare, at 80 columns, line break at the end included.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut text = Lines(String::new());
    head(comparison, &mut text);
    let cut = |rows: Vec<Vec<String>>| text_table(&rows);
    for rows in tables(comparison) {
        text.whole("");
        text.whole(&cut(rows));
    }
    tail(comparison, &mut text);
    text.0
}

/// The same as Markdown, with the answers side by side.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut lines = Lines(String::new());
    head(comparison, &mut lines);
    let mut text = format!("# {}: models compared\n\n", escaped(&comparison.job));
    for line in lines.0.lines().skip(1) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- {}", escaped(&line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    for rows in tables(comparison) {
        text.push('\n');
        text.push_str(&markdown_table(&rows));
    }
    text.push_str("\n## Answers\n\n");
    text.push_str(&markdown_table(&answers(comparison)));
    text
}

fn head(comparison: &Comparison, text: &mut Lines) {
    let run = comparison.run.map_or_else(String::new, |run| format!(", run {run}"));
    let ending = phrases::ending(comparison.stop_reason, false);
    let why = comparison.stop_reason.map_or_else(String::new, |reason| format!(": {}", reason.words()));
    text.whole(&format!("{}: {} compared{run}, {ending}{why}", comparison.job, counted_models(comparison)));
    let several = comparison.tasks.len() > 1;
    for (index, task) in comparison.tasks.iter().enumerate() {
        let of = if several { format!("{}: ", task.task) } else { String::new() };
        let rows = format!("{of}{} of {}", count(task.compared), counted(task.rows, "row"));
        text.add(if index == 0 { "sample" } else { "" }, &rows);
    }
    let reused: u64 = comparison.models.iter().map(|model| model.reused).sum();
    let sent = counted(comparison.attempts, "request");
    text.add("paid now", &format!("{} for {sent}", cost(comparison.cost_usd, comparison.cost_unknown_rows)));
    if reused > 0 {
        text.add("", &format!("{} of earlier runs of the job used again", counted(reused, "answer")));
    }
    if let Some(possibly) = phrases::possibly_billed(&comparison.possibly_billed) {
        text.add("possibly billed", &possibly);
    }
    warnings(&comparison.summary, text);
}

fn counted_models(comparison: &Comparison) -> String {
    counted(comparison.models.len() as u64, "model")
}

fn tail(comparison: &Comparison, text: &mut Lines) {
    let remaining: u64 = comparison.models.iter().map(|model| model.remaining).sum();
    text.whole("");
    if remaining > 0 {
        text.whole(&format!("{} remain; go on with the same command.", counted(remaining, "answer")));
    }
    text.whole("Costs and times of the whole job are those of these rows, scaled; no fallbacks.");
}

/// All tables, each with its header first.
fn tables(comparison: &Comparison) -> Vec<Vec<Vec<String>>> {
    let mut tables = vec![models(comparison), whole_job(comparison)];
    if !comparison.agreement.is_empty() {
        tables.push(agreement(&comparison.agreement));
    }
    tables
}

fn models(comparison: &Comparison) -> Vec<Vec<String>> {
    let any = |of: fn(&ComparedModel) -> bool| comparison.models.iter().any(of);
    let (remain, checked) = (any(|model| model.remaining > 0), any(|model| model.valid.is_some()));
    let time = |millis: Option<u64>| millis.map_or_else(|| "-".to_owned(), latency);
    let mut columns: Vec<Column<'_>> =
        vec![("ok", &|model| count(model.succeeded)), ("failed", &|model| failed(model))];
    if remain {
        columns.push(("left", &|model| count(model.remaining)));
    }
    if checked {
        columns.push(("valid", &|model| model.valid.map_or_else(|| "-".to_owned(), valid)));
    }
    let p50 = |model: &ComparedModel| time(model.latency_ms.p50);
    let p95 = |model: &ComparedModel| time(model.latency_ms.p95);
    let paid = |model: &ComparedModel| cost(model.cost_usd.unwrap_or_default(), model.cost_unknown_rows);
    let thousand = |model: &ComparedModel| known(model.cost_per_1000_rows_usd);
    columns.extend([("p50", &p50 as &dyn Fn(&ComparedModel) -> String), ("p95", &p95), ("cost", &paid)]);
    columns.push(("1,000 rows", &thousand));
    table("model", &columns, &comparison.models)
}

fn failed(model: &ComparedModel) -> String {
    match model.failures.as_slice() {
        [] => "0".to_owned(),
        [(kind, _)] => format!("{} {kind}", count(model.failed)),
        [(kind, _), ..] => format!("{} {kind}, ...", count(model.failed)),
    }
}

fn valid(validity: Validity) -> String {
    let Validity { answered, valid, at_once } = validity;
    let again = if at_once == valid { String::new() } else { format!(" ({} at once)", count(at_once)) };
    format!("{}/{}{again}", count(valid), count(answered))
}

fn whole_job(comparison: &Comparison) -> Vec<Vec<String>> {
    let rows = comparison.models.first().map_or(0, |model| model.whole_job.rows);
    let time = |model: &ComparedModel| {
        let told = |seconds| format!("about {}", span(Duration::from_secs(seconds)));
        model.whole_job.seconds.map_or_else(|| "unknown".to_owned(), told)
    };
    let money = |model: &ComparedModel| {
        model.whole_job.cost_usd.map_or_else(|| "unknown".to_owned(), |money| format!("about {}", usd(money)))
    };
    let bound = |model: &ComparedModel| model.whole_job.bound_by.clone().unwrap_or_else(|| "-".to_owned());
    let columns: [Column<'_>; 3] = [("cost", &money), ("time", &time), ("bound by", &bound)];
    table(&format!("whole job, {}", counted(rows, "row")), &columns, &comparison.models)
}

fn table(scope: &str, columns: &[Column<'_>], models: &[ComparedModel]) -> Vec<Vec<String>> {
    let header = std::iter::once(scope.to_owned()).chain(columns.iter().map(|(name, _)| (*name).to_owned()));
    let line = |model: &ComparedModel| {
        std::iter::once(name(model)).chain(columns.iter().map(|(_, written)| written(model))).collect()
    };
    std::iter::once(header.collect()).chain(models.iter().map(line)).collect()
}

/// The alias, which is what the user typed; with the rest where that says more.
fn name(model: &ComparedModel) -> String {
    let whole = model_name(&model.provider, &model.model);
    if model.alias == whole { whole } else { format!("{} ({whole})", model.alias) }
}

fn known(money: Option<Money>) -> String {
    money.map_or_else(|| "unknown".to_owned(), usd)
}

fn agreement(pairs: &[Agreement]) -> Vec<Vec<String>> {
    let header = ["agreement", "rows", "same answer", "agree"].map(str::to_owned).to_vec();
    let line = |pair: &Agreement| {
        let share = pair.share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0));
        vec![format!("{} and {}", pair.one, pair.other), count(pair.rows), count(pair.same), share]
    };
    std::iter::once(header).chain(pairs.iter().map(line)).collect()
}

fn text_table(rows: &[Vec<String>]) -> String {
    let mut table = unframed();
    // Words to the left, figures to the right.
    let cell = |(column, text): (usize, &String)| {
        let is_word = column == 0 || rows[0][column] == "bound by";
        if is_word { Cell::new(text) } else { figure(text) }
    };
    if let Some((header, lines)) = rows.split_first() {
        table.set_header(header.iter().enumerate().map(cell));
        for line in lines {
            table.add_row(line.iter().enumerate().map(cell).collect::<Vec<_>>());
        }
    }
    Table::trim_fmt(&table)
}

fn answers(comparison: &Comparison) -> Vec<Vec<String>> {
    let names = comparison.models.iter().map(|model| model.alias.clone());
    let header = ["row", "id", "task"].map(str::to_owned).into_iter().chain(names).collect();
    let line = |row: &ComparedRow| {
        let id = row.id.as_str().map_or_else(|| row.id.to_string(), str::to_owned);
        let answers = row.answers.iter().map(|answer| match answer {
            ComparedAnswer::Text(text) => text.trim().to_owned(),
            ComparedAnswer::Failed(kind) => format!("({kind})"),
            ComparedAnswer::Open => "(not asked yet)".to_owned(),
        });
        [row.row.to_string(), id, row.task.clone()].into_iter().chain(answers).collect()
    };
    std::iter::once(header).chain(comparison.rows.iter().map(line)).collect()
}

fn markdown_table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}

/// What a model said is text: it makes no table, no link, no picture and no tag.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => safe.push_str("<br>"),
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '~' | '$' => {
                safe.push('\\');
                safe.push(char);
            }
            char if char.is_control() => safe.push(' '),
            char => safe.push(char),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_cannot_break_their_table_nor_do_anything_in_a_page() {
        assert_eq!(escaped("a | b\nc"), "a \\| b<br>c");
        assert_eq!(escaped("<script>x</script>"), "&lt;script&gt;x&lt;/script&gt;");
        assert_eq!(escaped("![x](http://y)"), "\\!\\[x\\](http://y)");
        assert_eq!(markdown_table(&[vec!["h".to_owned()], vec!["a|b".to_owned()]]), "| h |\n|---|\n| a\\|b |\n");
    }
}
