//! Failed rows for people: what, how many, one of them, and what to do.

use std::path::Path;

use overnight::report::FailureGroup;

use super::words::{count, counted, model_name, one_line};

const WIDTH: usize = 80;

/// A paragraph a group, line break at the end included. `again`: how many of the rows the next run sends again; `goes_on`: the run that they are of is not over, and leaves those
/// alone that failed in it.
pub fn failures_text(job: &str, job_file: &Path, groups: &[FailureGroup], again: u64, goes_on: bool) -> String {
    let failed: u64 = groups.iter().map(|group| group.count).sum();
    if failed == 0 {
        return format!("{job}: no failed rows\n");
    }
    let mut text = format!("{job}: {}\n", counted(failed, "failed row"));
    for group in groups {
        text.push_str(&paragraph(group));
    }
    text + &what_next(job_file, failed, again, goes_on)
}

fn what_next(job_file: &Path, failed: u64, again: u64, goes_on: bool) -> String {
    let job = job_file.display();
    let run = if goes_on { "the run after the one that goes on" } else { "the next run" };
    let all = format!("overnight retry {job}\n");
    match (again, failed - again) {
        (0, _) => format!("\n{run} sends none of them again as they are; this does:\n  {all}"),
        (_, 0) => format!("\n{run} sends them again:\n  overnight run {job}\n"),
        (again, _) => format!(
            "\n{run} sends {} of them again, as they may pass by themselves:\n  overnight run {job}\nand this all:\n  {all}",
            count(again)
        ),
    }
}

fn paragraph(group: &FailureGroup) -> String {
    let mut heading = vec![group.kind.to_string(), counted(group.count, "row")];
    if !group.task.is_empty() {
        heading.push(format!("task {}", group.task));
    }
    if !group.provider.is_empty() {
        heading.push(model_name(&group.provider, &group.model));
    }
    let example = &group.example;
    let place = example.at.as_ref().map_or_else(String::new, |at| format!(" ({at})"));
    let status = example.status.map_or_else(String::new, |status| format!("{status} "));
    let what = format!("row {}{place}: {status}{}", example.row, one_line(&example.message));
    let (heading, seen) = (heading.join("  "), seen(group));
    format!("\n{heading}\n  {seen}\n{}{}", wrapped("  ", &what), wrapped("  hint: ", group.advice))
}

fn seen(group: &FailureGroup) -> String {
    let (first, last) = (group.first_at.to_string(), group.last_at.to_string());
    if first == last { format!("seen {last}") } else { format!("last seen {last}, first {first}") }
}

/// Lines of at most 80 columns, as far as words allow; all begin where the first one's text does.
fn wrapped(label: &str, text: &str) -> String {
    let indent = " ".repeat(label.len());
    let (mut out, mut line) = (String::new(), label.to_owned());
    let mut first = true;
    for word in text.split(' ') {
        if !first && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            (line, first) = (indent.clone(), true);
        }
        if !first {
            line.push(' ');
        }
        line.push_str(word);
        first = false;
    }
    out + &line + "\n"
}

#[cfg(test)]
mod tests {
    use overnight::report::{Example, advice};
    use overnight::types::{FailureKind, Moment};

    use super::*;

    fn group(kind: FailureKind, provider: &str, message: &str) -> FailureGroup {
        FailureGroup {
            kind,
            task: "tag".to_owned(),
            provider: provider.to_owned(),
            model: "qwen-plus".to_owned(),
            count: 1_200,
            first_at: Moment(if provider.is_empty() { 1_769_829_125_000 } else { 1_769_820_000_000 }),
            last_at: Moment(1_769_829_125_999),
            example: Example {
                row: 1_718,
                at: Some("data/reviews.csv:1719".to_owned()),
                status: (!provider.is_empty()).then_some(400),
                message: message.to_owned(),
                failed_at: Moment(1_769_829_125_999),
            },
            advice: advice(kind),
        }
    }

    #[test]
    fn each_group_has_an_example_and_a_hint_within_eighty_columns() {
        let groups = [
            group(
                FailureKind::ContextLength,
                "gateway",
                "This model's maximum context length is 4096 tokens.\nHowever, your messages resulted in 8192 tokens.",
            ),
            group(FailureKind::BadRow, "", "2 columns instead of 3"),
        ];
        insta::assert_snapshot!(failures_text("tag-reviews", Path::new("jobs/tag.toml"), &groups, 0, false), @r"
        tag-reviews: 2,400 failed rows

        context_length  1,200 rows  task tag  gateway/qwen-plus
          last seen 2026-01-31T03:12:05Z, first 2026-01-31T00:40:00Z
          row 1718 (data/reviews.csv:1719): 400 This model's maximum context length is
          4096 tokens. However, your messages resulted in 8192 tokens.
          hint: give the task a fallback with a larger context, or shorten the prompt

        bad_row  1,200 rows  task tag
          seen 2026-01-31T03:12:05Z
          row 1718 (data/reviews.csv:1719): 2 columns instead of 3
          hint: mend these records in the input, or raise input.max_row if they are only
                long

        the next run sends none of them again as they are; this does:
          overnight retry jobs/tag.toml
        ");
        assert_eq!(failures_text("x", Path::new("x.toml"), &[], 0, false), "x: no failed rows\n");
    }

    #[test]
    fn it_says_what_the_next_run_makes_of_them() {
        let job = Path::new("j.toml");
        assert_eq!(what_next(job, 3, 3, false), "\nthe next run sends them again:\n  overnight run j.toml\n");
        insta::assert_snapshot!(what_next(job, 2_000, 1_200, true), @r"

        the run after the one that goes on sends 1,200 of them again, as they may pass by themselves:
          overnight run j.toml
        and this all:
          overnight retry j.toml
        ");
    }
}
