//! The plan of a run as text: what would be sent, why, what it would cost and how long it would take.

use std::time::Duration;

use comfy_table::Cell;
use overnight::engine::{Cacheable, DedupeSaves, ModelShare, Range, Survey, TokenSource};
use overnight::types::Money;

use super::lines::Lines;
use super::table::{figure, unframed};
use super::words::{cost, count, counted, model_name, one_line, short, span, usd};

/// The plan as text for standard output, line break at the end included.
pub fn survey_text(survey: &Survey) -> String {
    let mut text = Lines(String::new());
    text.whole(&format!("{}: the plan; nothing was sent", survey.job));
    let done = survey.rows.saturating_sub(survey.remaining);
    text.add(
        "rows",
        &format!("{} selected: {} done, {} to send", count(survey.rows), count(done), count(survey.remaining)),
    );
    if survey.remaining > 0 {
        text.add("because", &reasons(survey));
        effort(survey, &mut text);
    }
    warnings(survey, &mut text);
    if !survey.by_model.is_empty() {
        text.whole(&format!("\n{}", by_model(&survey.by_model)));
        text.whole("\nTokens and costs are estimates; at most: every answer as long as it may be.");
        text.whole("Retries and fallbacks come on top.");
    }
    text.whole(&match survey.remaining {
        0 => "Nothing is left to send.".to_owned(),
        _ if survey.refused.is_some() => {
            "Send them: `overnight run` with the same arguments and --set run.on_change=resend.".to_owned()
        }
        _ => "Send them: `overnight run` with the same arguments.".to_owned(),
    });
    text.0
}

fn reasons(survey: &Survey) -> String {
    let resend = &survey.resend;
    let reasons = [
        (resend.new, "new"),
        (resend.row_changed, "row changed"),
        (resend.job_changed, "prompt, params or model changed"),
        (resend.failed, "failed before"),
    ];
    let told = reasons.iter().filter(|(rows, _)| *rows > 0);
    told.map(|(rows, reason)| format!("{} {reason}", count(*rows))).collect::<Vec<_>>().join(", ")
}

fn effort(survey: &Survey, text: &mut Lines) {
    let bound = survey.bound_by.as_ref().map_or_else(String::new, |bound| format!(", bound by {bound}"));
    text.add("time", &format!("about {}{bound}", span(Duration::from_secs(survey.seconds))));
    let total = |of: fn(&Range<Money>) -> Option<Money>| {
        let known: Money = survey.by_model.iter().filter_map(|share| of(&share.cost_usd)).sum();
        let unknown =
            survey.by_model.iter().filter(|share| of(&share.cost_usd).is_none()).map(|share| share.rows).sum();
        cost(known, unknown)
    };
    let (expected, most) = (total(|cost| cost.expected), total(|cost| cost.high));
    match expected.as_str() {
        "unknown" => text.add("cost", "unknown: the job has no price or no output limit for its models"),
        known => text.add("cost", &format!("about {known}, at most {most} without retries")),
    }
    tokens(survey, text);
    if survey.duplicates > 0 {
        text.add("duplicates", &format!("{} like one before", counted(survey.duplicates, "request")));
        let saves = if survey.dedupe { "run.dedupe saves" } else { "run.dedupe would save" };
        text.add("", &format!("{saves} {}", saved(&survey.dedupe_saves)));
    }
    for share in survey.by_model.iter().filter(|share| share.cacheable.prefix_tokens >= WORTH_A_WORD) {
        let Cacheable { prefix_tokens, percent } = share.cacheable;
        let what =
            format!("{}: {} tokens of each request, {percent}% of the input,", place(share), count(prefix_tokens));
        text.add("same beginning", &what);
        text.add("", if share.cacheable.is_enough() { IS_CACHED } else { IS_NOT_CACHED });
    }
}

/// A shorter beginning that requests share is what any prompt has.
const WORTH_A_WORD: u64 = 256;
const IS_CACHED: &str = "which a provider with a prompt cache need not read anew";
const IS_NOT_CACHED: &str = "but prompt caches begin at 1,024 tokens";

/// How input tokens are known: once, where all are known alike.
fn tokens(survey: &Survey, text: &mut Lines) {
    let shares = &survey.by_model;
    let alike = shares.iter().all(|share| share.tokens == shares[0].tokens);
    for (index, share) in shares.iter().enumerate().take(if alike { 1 } else { shares.len() }) {
        let known = match share.tokens {
            TokenSource::Exact => "exact, by the model's tokenizer".to_owned(),
            TokenSource::Sampled { rows } => format!("exact for {}, scaled", counted(rows, "sampled row")),
            TokenSource::Observed { answers } => format!("as counted for {} of this job", counted(answers, "answer")),
            TokenSource::Estimated => "estimated by script".to_owned(),
        };
        let of = if alike { String::new() } else { format!("{}: ", place(share)) };
        text.add(if index == 0 { "input tokens" } else { "" }, &format!("{of}{known}"));
    }
}

fn saved(saves: &DedupeSaves) -> String {
    let output = saves.output_tokens.map_or_else(String::new, |tokens| format!(", {} out", short(tokens)));
    let cost = saves.cost_usd.map_or_else(String::new, |cost| format!(", about {}", usd(cost)));
    format!("{} tokens in{output}{cost}", short(saves.input_tokens))
}

fn place(share: &ModelShare) -> String {
    format!("{} {}", model_name(&share.provider, &share.model), share.task)
}

fn warnings(survey: &Survey, text: &mut Lines) {
    for refused in &survey.unsendable {
        text.add("cannot be sent", &format!("{}: {}", counted(refused.rows, "row"), refused.kind));
        text.add("", &format!("{}: {}", refused.at, one_line(&refused.message)));
    }
    for over in &survey.over_budget {
        let per = over.per.map_or_else(String::new, |per| format!(" a {per}"));
        let spent =
            if over.spent_usd > Money::ZERO { format!(", {} spent", usd(over.spent_usd)) } else { String::new() };
        let (max, expected) = (usd(over.max_usd), usd(over.expected_usd));
        text.add("warning", &format!("about {expected} is over {} ({max}{per}{spent}): the run will stop", over.key));
    }
    if let Some(refused) = &survey.refused {
        let code = refused.exit_code;
        text.add("refused", &format!("run sends nothing and ends with {code}, as run.on_change is \"stop\":"));
        text.add("", &refused.error);
    }
    for name in &survey.missing_keys {
        text.add("warning", &format!("environment variable {name} is not set; run needs it"));
    }
}

fn by_model(shares: &[ModelShare]) -> String {
    let mut table = unframed();
    let figures = ["rows", "in", "out", "cost", "at most", "time"];
    table.set_header(["model", "task"].map(Cell::new).into_iter().chain(figures.map(figure)));
    for share in shares {
        let tokens = |tokens: Option<u64>| tokens.map_or_else(|| "?".to_owned(), short);
        let money = |money: Option<Money>| money.map_or_else(|| "unknown".to_owned(), usd);
        table.add_row([
            Cell::new(model_name(&share.provider, &share.model)),
            Cell::new(&share.task),
            figure(&count(share.rows)),
            figure(&short(share.input_tokens)),
            figure(&tokens(share.output_tokens.expected)),
            figure(&money(share.cost_usd.expected)),
            figure(&money(share.cost_usd.high)),
            figure(&span(Duration::from_secs(share.seconds))),
        ]);
    }
    table.trim_fmt()
}
