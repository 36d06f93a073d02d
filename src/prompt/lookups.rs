//! Columns that a template names within `row`: `row["Review Text"]`, `row.review`.
//!
//! The engine tells that a template uses `row`, but not what of it, and a rendering with stand-ins sees only the branches
//! that it takes.

use std::collections::BTreeSet;

/// The columns that a template looks up in `row` by names that stand in it; `None` where it does something else with it.
pub(super) fn in_row(source: &str) -> Option<BTreeSet<String>> {
    tags(source).flat_map(rests_behind_row).map(named).collect()
}

/// What stands within `{{ }}` and `{% %}`.
fn tags(source: &str) -> impl Iterator<Item = &str> {
    let mut rest = source;
    std::iter::from_fn(move || {
        let begin = rest.match_indices('{').map(|(at, _)| at).find(|at| rest[at + 1..].starts_with(['{', '%']))?;
        let closer = if rest[begin + 1..].starts_with('{') { "}}" } else { "%}" };
        let tag = &rest[begin + 2..];
        let end = end_of_tag(tag, closer);
        rest = &tag[end..];
        Some(&tag[..end])
    })
}

/// Where the closer stands that is neither in a text nor within braces.
fn end_of_tag(tag: &str, closer: &str) -> usize {
    let (mut quote, mut escaped, mut depth) = (None, false, 0);
    for (at, c) in tag.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if depth == 0 && tag[at..].starts_with(closer) => return at,
            None => match c {
                '"' | '\'' => quote = Some(c),
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            },
        }
    }
    tag.len()
}

/// What follows each `row` that is a name of its own.
fn rests_behind_row(tag: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    tag.match_indices("row").filter_map(move |(at, word)| {
        let (before, rest) = (&tag[..at], &tag[at + word.len()..]);
        let alone = !before.ends_with(|c| is_part(c) || c == '.') && !rest.starts_with(is_part);
        alone.then_some(rest)
    })
}

/// The column that a lookup right here names.
fn named(rest: &str) -> Option<String> {
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix('.') {
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        return (!name.is_empty() && !behind.trim_start().starts_with('(')).then(|| name.to_owned());
    }
    let rest = rest.strip_prefix('[')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, behind) = rest[1..].split_once(quote)?;
    (!name.contains('\\') && behind.trim_start().starts_with(']')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Option<Vec<String>> {
        in_row(source).map(|names| names.into_iter().collect())
    }

    #[test]
    fn names_that_stand_in_the_template_are_found() {
        let found = names("Each row: {{ row[\"Review Text\"] }} {% if x == 'b' %}{{ row . name|upper }}{% endif %}");
        assert_eq!(found.unwrap(), ["Review Text", "name"]);
        assert_eq!(names("{% for word in row['a b'] %}{{ borrow.x }} {{ x.row }}{% endfor %}").unwrap(), ["a b"]);
        assert_eq!(names("{{ arrow }} row {% if a %} row {# row #}{% endif %} row").unwrap(), Vec::<String>::new());
        assert_eq!(names("{{ {'a': {'}}': 1}}[row.k] }}").unwrap(), ["k"]);
    }

    #[test]
    fn what_may_be_any_column_is_said_to_be() {
        for source in ["{{ row }}", "{{ row[name] }}", "{% for k in row %}", "{{ row.items() }}", "{{ row['a' ~ b] }}"]
        {
            assert_eq!(names(source), None, "{source}");
        }
    }
}
