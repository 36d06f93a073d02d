//! The names that one model goes by.

/// What a job may call a provider of the table.
const ALIASES: [(&str, &str); 11] = [
    ("qwen", "dashscope"),
    ("alibaba", "dashscope"),
    ("google", "gemini"),
    ("together_ai", "together"),
    ("togetherai", "together"),
    ("fireworks_ai", "fireworks"),
    ("fireworks-ai", "fireworks"),
    ("vertex_ai", "vertex"),
    ("azure-openai", "azure"),
    ("x-ai", "xai"),
    ("moonshotai", "moonshot"),
];

/// The table's name for a provider.
pub(super) fn provider_of_table(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, listed)| listed)
}

const FIREWORKS: &str = "accounts/fireworks/models/";

/// The names under which a table may list what a provider calls so, the likeliest first: `model` as it stands, without or
/// with a prefix that says nothing, and without a date or `-latest` at its end.
pub(super) fn candidates(provider: &str, model: &str) -> Vec<String> {
    let mut names = vec![model.to_owned()];
    match provider {
        "gemini" => names.extend(model.strip_prefix("models/").map(str::to_owned)),
        "fireworks" => match model.strip_prefix(FIREWORKS) {
            Some(short) => names.push(short.to_owned()),
            None if !model.contains('/') => names.push(format!("{FIREWORKS}{model}")),
            None => {}
        },
        "openai" => names.extend(fine_tuned(model)),
        _ => {}
    }
    let undated = names.iter().filter_map(|name| without_date(name)).map(str::to_owned);
    let undated: Vec<String> = undated.collect();
    names.extend(undated);
    names
}

/// `ft:gpt-4o-mini-2024-07-18:org:name:id` is listed by what was tuned.
fn fine_tuned(model: &str) -> Option<String> {
    let base = model.strip_prefix("ft:")?.split(':').next()?;
    Some(format!("ft:{base}"))
}

/// The name without a whole date or `-latest` at its end. Of fewer digits nobody knows whether they are a date.
pub(super) fn without_date(name: &str) -> Option<&str> {
    if let Some(base) = name.strip_suffix("-latest") {
        return Some(base);
    }
    let from_end = |length: usize| name.len().checked_sub(length).and_then(|at| name.split_at_checked(at));
    let dashed = from_end("-2024-07-18".len()).filter(|(_, end)| is_date(end, "-0000-00-00"));
    let plain =
        || from_end("-20240718".len()).filter(|(_, end)| is_date(end, "-00000000") || is_date(end, "@00000000"));
    dashed.or_else(plain).map(|(base, _)| base).filter(|base| !base.is_empty())
}

/// Whether a text has this form (0 standing for any digit), and its digits are a date of this century.
fn is_date(text: &str, form: &str) -> bool {
    let fits = |(c, form): (char, char)| if form == '0' { c.is_ascii_digit() } else { c == form };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    text.len() == form.len()
        && text.chars().zip(form.chars()).all(fits)
        && digits.starts_with("20")
        && ("01"..="12").contains(&&digits[4..6])
        && ("01"..="31").contains(&&digits[6..8])
}

/// Whether `other` is a dated version of the model of this name.
pub(super) fn is_version_of(other: &str, model: &str) -> bool {
    !other.ends_with("-latest") && without_date(other) == Some(model)
}

/// The three names, of those that look like this one at all, that do so most. Where it has no provider theirs do not count.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let likeness = |known: &str| {
        let known = known.to_lowercase();
        let model = known.split_once('/').filter(|_| !wanted.contains('/')).map_or(known.as_str(), |(_, model)| model);
        strsim::jaro_winkler(&wanted, model)
    };
    let mut scored: Vec<(f64, String)> = known.map(|known| (likeness(&known), known)).collect();
    scored.retain(|(score, _)| *score > 0.84);
    scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_date_is_one_and_nothing_else_is() {
        for (name, base) in [
            ("gpt-4o-mini-2024-07-18", Some("gpt-4o-mini")),
            ("claude-haiku-4-5-20251001", Some("claude-haiku-4-5")),
            ("claude-3-opus@20240229", Some("claude-3-opus")),
            ("mistral-small-latest", Some("mistral-small")),
            ("gpt-4-0613", None),
            ("mistral-large-2512", None),
            ("model-20241318", None),
            ("model-19991201", None),
            ("-20240718", None),
            ("ü-20240718", Some("ü")),
            ("gpt-4o", None),
        ] {
            assert_eq!(without_date(name), base, "{name}");
        }
        assert!(is_version_of("gpt-4o-2024-05-13", "gpt-4o"));
        assert!(!is_version_of("gpt-4o-mini-2024-07-18", "gpt-4o") && !is_version_of("gpt-4o-latest", "gpt-4o"));
    }

    #[test]
    fn prefixes_that_say_nothing_are_left_off_or_put_before() {
        assert!(candidates("gemini", "models/gemini-2.5-pro").contains(&"gemini-2.5-pro".to_owned()));
        assert!(candidates("fireworks", "kimi-k3").contains(&"accounts/fireworks/models/kimi-k3".to_owned()));
        assert_eq!(candidates("together", "models/x"), ["models/x"]);
        let tuned = candidates("openai", "ft:gpt-4o-mini-2024-07-18:org::id");
        assert!(tuned.contains(&"ft:gpt-4o-mini-2024-07-18".to_owned()));
    }
}
