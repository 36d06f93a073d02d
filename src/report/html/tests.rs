//! The page: what it says, that it loads nothing, and that nobody's text becomes a part of it.

use super::to_html;
use crate::report::tests::{busy_night, ledger_of_nights, report_on};
use crate::report::{Report, RunChoice};

const NASTY: &str = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)> \" onclick=\"x\" & {{ job }}";

fn page() -> String {
    to_html(&report_on(&busy_night(NASTY), RunChoice::Last)).unwrap()
}

/// The values of all attributes of this name.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn it_loads_nothing_from_anywhere() {
    let page = page();
    assert!(page.contains(
        r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">"#
    ));
    for attribute in ["src", "href", "srcset", "xlink:href", "action", "data", "poster", "background"] {
        assert!(attributes(&page, attribute).is_empty(), "{attribute}: {:?}", attributes(&page, attribute));
    }
    for loading in
        ["url(", "@import", "<script", "<link", "<iframe", "<object", "<embed", "<img", "http://", "https://"]
    {
        assert!(!page.contains(loading), "{loading}");
    }
}

#[test]
fn text_of_others_stays_text() {
    let page = page();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;&lt;img src=x"), "{page}");
    assert!(page.contains("&quot; onclick=&quot;x&quot; &amp; {{ job }}"));
    // In the heading, in the title, in a message, in a task's and a model's name.
    assert!(page.matches("&lt;script&gt;alert(1)").count() >= 5, "{}", page.matches("&lt;script&gt;").count());
    let tags = page.split('<').skip(1).filter(|tag| tag.contains("alert") || tag.contains("onclick="));
    for tag in tags {
        assert!(tag.find("alert").or(tag.find("onclick=")) > tag.find('>') || tag.contains("&quot;"), "{tag}");
    }
}

#[test]
fn its_figures_are_those_of_the_json() {
    for (ledger, choice) in [(busy_night("no"), RunChoice::Last), (ledger_of_nights(), RunChoice::All)] {
        let report = report_on(&ledger, choice);
        let page = to_html(&report).unwrap();
        let told = attributes(&page, "value");
        for entry in report.by_model.iter().chain(&report.by_provider).chain([&report.totals]) {
            for figure in [entry.rows, entry.failed, entry.attempts, entry.input_tokens, entry.output_tokens] {
                assert!(told.contains(&figure.to_string().as_str()), "{figure} in {told:?}");
            }
            for money in [entry.cost_usd, entry.wasted_usd].into_iter().flatten() {
                assert!(told.contains(&money.to_string().as_str()), "{money} in {told:?}");
            }
        }
        for night in &report.runs {
            assert!(told.contains(&night.elapsed_ms.to_string().as_str()));
        }
    }
}

#[test]
fn every_chart_has_its_figures_in_words_or_in_a_table() {
    let page = page();
    let charts = page.matches("<svg class=\"columns\"").count();
    assert_eq!((charts, page.matches("<details>").count()), (3, 3));
    assert_eq!(page.matches("role=\"img\"").count(), page.matches("the figures stand in the table below").count());
    for title in ["Rows over time", "Limits hit", "Latency of calls", "Cost by model", "Failed rows by kind"] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn a_run_of_nothing_is_a_page_too() {
    let empty = Report::new("empty", &ledger_of_nights(), None, RunChoice::Number(3), &|_, _| unreachable!()).unwrap();
    let page = to_html(&empty).unwrap();
    assert!(page.contains("<h1>empty</h1>") && !page.contains("<svg class=\"columns\""), "{page}");
}

#[test]
fn the_page_as_it_stands() {
    insta::assert_snapshot!(body(&to_html(&report_on(&busy_night("no such column"), RunChoice::Last)).unwrap()));
}

/// Without the style, which is beside.
fn body(page: &str) -> &str {
    &page[page.find("<body>").unwrap()..]
}
