//! The promises of templates, row shapes and expressions.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Expr, Prompt, PromptSettings, RenderError, Rendered, TemplateError, Templates};
use crate::types::{Endpoint, FailureKind, Form, Row};

fn row(json: Json) -> Row {
    match json {
        Json::Object(fields) => Row::new(fields),
        other => panic!("no row: {other}"),
    }
}

fn templates() -> Templates {
    Templates::new(row(json!({"lang": "German", "tags": ["a", "b"]})).fields())
}

fn with_prompt(prompt: &str) -> PromptSettings {
    PromptSettings { prompt: Some(prompt.to_owned()), ..PromptSettings::default() }
}

fn compile(prompt: &str) -> Result<Prompt, TemplateError> {
    templates().prompt(&with_prompt(prompt))
}

fn messages(rendered: &Rendered) -> Json {
    serde_json::from_str(rendered.payload.json().get()).unwrap()
}

fn try_user(prompt: &str, fields: Json) -> Result<String, RenderError> {
    let rendered = compile(prompt).unwrap().render(&row(fields), Form::Messages)?;
    Ok(messages(&rendered)[0]["content"].as_str().unwrap().to_owned())
}

fn user(prompt: &str, fields: Json) -> String {
    try_user(prompt, fields).unwrap()
}

fn error(prompt: &str, fields: Json) -> String {
    try_user(prompt, fields).unwrap_err().to_string()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn bare(fields: Json) -> Result<Rendered, RenderError> {
    templates().prompt(&PromptSettings::default()).unwrap().render(&row(fields), Form::Messages)
}

fn with_system(system: &str, fields: Json) -> Json {
    let settings = PromptSettings { system: Some(system.to_owned()), ..PromptSettings::default() };
    messages(&templates().prompt(&settings).unwrap().render(&row(fields), Form::Messages).unwrap())
}

fn expr(source: &str) -> Expr {
    templates().expr(source).unwrap()
}

#[test]
fn columns_vars_and_odd_names_are_variables() {
    let fields = json!({"review": "good", "Review Text": "bad", "n": 3});
    assert_eq!(user("{{ review }}/{{ row[\"Review Text\"] }}/{{ row.n }}", fields.clone()), "good/bad/3");
    assert_eq!(user("In {{ vars.lang }}: {{ review }}", fields), "In German: good");
    assert_eq!(user("{{ vars.lang }} {{ row['vars'] }}", json!({"vars": "mine"})), "German mine");
}

#[test]
fn values_print_as_json_in_the_order_of_the_input_and_strings_as_they_are() {
    let fields =
        json!({"o": {"z": 1, "a": [true, null, "<é>\"", {}]}, "f": 1.0, "big": u64::MAX, "t": true, "s": "<&\"'>"});
    assert_eq!(user("{{ o }}", fields.clone()), r#"{"z":1,"a":[true,null,"<é>\"",{}]}"#);
    assert_eq!(user("{{ o.a[3] }} {{ o.a }}", fields.clone()), r#"{} [true,null,"<é>\"",{}]"#);
    assert_eq!(user("{{ f }} {{ big }} {{ t }} {{ s }}", fields.clone()), "1.0 18446744073709551615 true <&\"'>");
    assert_eq!(user("{{ o.a ~ '!' }} {{ s|tojson }}", fields), r#"[true,null,"<é>\"",{}]! "<&\"'>""#);
    assert_eq!(user("{{ row }}", json!({"b": null, "a": 1})), r#"{"b":null,"a":1}"#);
    assert_eq!(user("{{ [1, 'x'] }} {{ {'k': a} }}", json!({"a": 1})), r#"[1,"x"] {"k":1}"#);
    assert_eq!(user("{{ a|tojson(indent=2) }}", json!({"a": {"k": 1}})), "{\n  \"k\": 1\n}");
}

#[test]
fn loops_conditions_and_reassigned_columns_work() {
    let fields = json!({"items": [{"n": "a"}, {"n": "b"}], "x": " y ", "tags": {"k": 1}});
    assert_eq!(user("{% for item in items %}{{ loop.index }}{{ item.n }} {% endfor %}", fields.clone()), "1a 2b ");
    assert_eq!(user("{% set x = x|trim %}[{{ x }}]", fields.clone()), "[y]");
    assert_eq!(user("{% for k, v in tags|items %}{{ k }}={{ v }}{% endfor %}", fields.clone()), "k=1");
    assert_eq!(user("{% for i in range(2) %}{{ i }}{% endfor %}{{ x if none }}", fields), "01");
}

#[test]
fn a_missing_column_is_named_with_the_nearest_one_there_is() {
    let fields = json!({"id": 1, "review": "good", "note": null});
    let told = error("Tag: {{ revew }}", fields.clone());
    assert_eq!(told, "prompt: the row has no column `revew` (did you mean `review`?); its columns: id, review, note");
    assert_eq!(error("{{ note }}", fields.clone()), "prompt: column `note` is null in this row");
    assert!(error("{{ row['Review Text'] }}", fields.clone()).contains("no column `Review Text`"));
    assert!(error("{% for x in lines %}{{ x }}{% endfor %}", fields.clone()).contains("no column `lines`"));
    assert!(error("{{ id }} {{ zzz.deep.er }}", fields.clone()).contains("no column `zzz`; its"));
    assert!(error("{{ note|upper }}", fields).contains("`note` is null"));
    assert!(error("{{ a }}", json!({})).contains("its columns: none"));
}

#[test]
fn a_key_missing_within_a_column_or_in_vars_is_named() {
    assert!(error("{{ meta.b.c }}", json!({"meta": {"b": {}}})).contains("`meta` has no `c`"));
    assert!(error("{{ meta.b }}", json!({"meta": {"b": null}})).contains("`meta` has no `b`"));
    assert!(error("{{ vars.nope }}", json!({})).contains("`vars` has no `nope`"));
}

#[test]
fn defaults_make_missing_and_null_columns_fine() {
    let prompt = "{{ note|default('none') }}{% if title is defined %}: {{ title }}{% endif %}";
    assert_eq!(user(prompt, json!({"note": null})), "none");
    assert_eq!(user(prompt, json!({"note": "n", "title": "t"})), "n: t");
}

#[test]
fn other_failures_tell_the_line() {
    let told = error("line one\n{{ n + 'x' }}", json!({"n": 1}));
    assert!(told.starts_with("prompt, line 2: "), "{told}");
    let told = error("{{ n|round }}", json!({"m": 1}));
    assert!(told.ends_with("(column `n` is missing)"), "{told}");
}

#[test]
fn a_blank_prompt_fails_the_row() {
    assert_eq!(error(" {{ text }}\n", json!({"text": " \t"})), "prompt is empty for this row");
    assert_eq!(bare(json!({"prompt": ""})).unwrap_err(), RenderError::Empty { what: "column `prompt`".to_owned() });
    let settings = PromptSettings {
        messages: vec![("user".to_owned(), "{{ a }}".to_owned()), ("assistant".to_owned(), "ok".to_owned())],
        ..PromptSettings::default()
    };
    let told = templates().prompt(&settings).unwrap().render(&row(json!({"a": " "})), Form::Messages).unwrap_err();
    assert_eq!(told.to_string(), "messages[0] is empty for this row");
}

#[test]
fn system_and_messages_come_in_order_as_compact_json() {
    let settings = PromptSettings {
        system: Some("You {{ vars.lang }}".to_owned()),
        prompt: Some("{{ a }}".to_owned()),
        messages: vec![("user".to_owned(), "x".to_owned()), ("assistant".to_owned(), "{{ a }}{{ a }}".to_owned())],
        ..PromptSettings::default()
    };
    let rendered = templates().prompt(&settings).unwrap().render(&row(json!({"a": "é\n"})), Form::Messages).unwrap();
    let expected = r#"[{"role":"system","content":"You German"},{"role":"user","content":"x"},{"role":"assistant","content":"é\né\n"},{"role":"user","content":"é\n"}]"#;
    assert_eq!(rendered.payload.json().get(), expected);
    assert!(rendered.params.is_empty() && rendered.model.is_none());
}

#[test]
fn what_is_no_template_is_refused_with_its_line_before_any_row() {
    let told = compile("fine\n  {{ review | }}").unwrap_err();
    assert_eq!((told.what.as_str(), told.line, told.excerpt.as_str()), ("prompt", 2, "{{ review | }}"));
    for (prompt, word) in [
        ("{{ x|nosuchfilter }}", "nosuchfilter"),
        ("{{ x is nosuchtest }}", "nosuchtest"),
        ("{{ nosuchcall(1) }}", "unknown function"),
        ("{{ x.strip() }}", "use a filter"),
    ] {
        let told = compile(prompt).unwrap_err().to_string();
        assert!(told.contains(word), "{prompt}: {told}");
    }
}

#[test]
fn used_and_required_columns_are_told_apart() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        (
            "{{ b }} {{ a }} {{ vars.lang }} {{ row.c }} {{ row[\"Re V\"] }}",
            &["Re V", "a", "b", "c"],
            &["Re V", "a", "b", "c"],
        ),
        ("{{ a|default('') }} {{ b|d }} {{ c }}", &["a", "b", "c"], &["c"]),
        ("{% if a is defined %}{{ a }}{% endif %}", &["a"], &[]),
        ("{% if a %}{{ b }}{% else %}{{ c }}{% endif %}", &["a", "b", "c"], &["a", "b", "c"]),
        ("{% for x in items %}{{ x.name }}{{ loop.index }}{% endfor %}", &["items"], &["items"]),
        ("{% for i in range(n|int) %}{{ i }}{% endfor %}", &["n"], &["n"]),
        ("{% set x = x|trim %}{{ x }}", &["x"], &["x"]),
        ("{{ meta.ticket.id }} {{ n|round(1) }}", &["meta", "n"], &["meta", "n"]),
        ("no columns, just a row of {{ vars.tags|join(',') }}", &[], &[]),
    ];
    for (prompt, used, required) in cases {
        let compiled = compile(prompt).unwrap();
        assert_eq!(compiled.columns.used, names(used), "{prompt}");
        assert_eq!(compiled.required_columns(), names(required), "{prompt}");
    }
}

#[test]
fn a_row_of_messages_is_taken_as_it_is() {
    let own = json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]);
    let rendered = bare(json!({"messages": own, "prompt": "not this"})).unwrap();
    assert_eq!(messages(&rendered), own);
    let told = bare(json!({"messages": []})).unwrap_err().to_string();
    assert_eq!(told, "`messages` is no list of messages: it is empty");
    assert!(bare(json!({"messages": ["hi"]})).unwrap_err().to_string().contains("entry 1 has no `role`"));
}

#[test]
fn a_batch_line_gives_messages_params_and_model() {
    let body = json!({"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hi"}], "stream": true, "max_tokens": 5});
    let rendered =
        bare(json!({"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body})).unwrap();
    assert_eq!(messages(&rendered), json!([{"role": "user", "content": "hi"}]));
    assert_eq!(rendered.model.as_deref(), Some("m"));
    assert_eq!(Json::Object(rendered.params), json!({"temperature": 0, "max_tokens": 5}));
}

fn batch_line(url: Option<&str>, body: &Json, form: Form) -> Result<Rendered, RenderError> {
    let line = json!({"custom_id": "r1", "method": "POST", "url": url, "body": body});
    templates().prompt(&PromptSettings::default()).unwrap().render(&row(line), form)
}

#[test]
fn a_batch_line_asks_in_the_words_of_its_url_whatever_its_model_takes() {
    let cases = [
        ("/v1/completions", "prompt", json!("Say this"), Endpoint::Completions, Form::Text),
        ("/v1/embeddings", "input", json!(["a", "b"]), Endpoint::Embeddings, Form::Text),
        ("/v1/responses", "input", json!([{"role": "user", "content": "hi"}]), Endpoint::Responses, Form::Input),
        (
            "/v1/chat/completions",
            "messages",
            json!([{"role": "user", "content": "hi"}]),
            Endpoint::Chat,
            Form::Messages,
        ),
    ];
    for (url, field, asked, endpoint, form) in cases {
        let body = json!({"model": "m", field: asked, "instructions": "Be brief.", "stream": false});
        for models in [Form::Messages, Form::Text] {
            let rendered = batch_line(Some(url), &body, models).unwrap();
            assert_eq!((rendered.endpoint, rendered.payload.form()), (Some(endpoint), form), "{url}");
            assert_eq!(messages(&rendered), asked, "{url}");
            assert_eq!(Json::Object(rendered.params), json!({"instructions": "Be brief."}), "{url}");
        }
    }
}

#[test]
fn a_batch_line_without_a_url_is_known_by_its_body() {
    let endpoint = |body: Json, form| batch_line(None, &body, form).unwrap().endpoint;
    let talk = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(endpoint(json!({"messages": talk}), Form::Messages), None);
    assert_eq!(endpoint(json!({"prompt": "x"}), Form::Messages), Some(Endpoint::Completions));
    assert_eq!(endpoint(json!({"input": "x"}), Form::Text), Some(Endpoint::Embeddings));
    assert_eq!(endpoint(json!({"input": "x"}), Form::Messages), Some(Endpoint::Responses));
}

#[test]
fn a_batch_line_that_cannot_be_asked_says_why() {
    let told = |url, body: Json| {
        let error = batch_line(Some(url), &body, Form::Messages).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, message) = told("/v1/moderations", json!({"input": "x"}));
    assert_eq!(kind, FailureKind::InvalidRequest);
    assert!(message.contains("\"/v1/moderations\"") && message.contains("/v1/embeddings"), "{message}");
    let (_, message) = told("/v1/embeddings", json!({"messages": []}));
    assert_eq!(message, "the row's `body` has no `input`, which its url /v1/embeddings needs");
    let (_, message) = told("/v1/chat/completions", json!({"messages": "hi"}));
    assert_eq!(message, "the row's `body` has no `messages`, which its url /v1/chat/completions needs");
}

#[test]
fn what_takes_a_text_alone_gets_the_prompt_and_nothing_else() {
    let text =
        |settings: &PromptSettings, fields| templates().prompt(settings).unwrap().render(&row(fields), Form::Text);
    let rendered = text(&with_prompt("Embed {{ a }}"), json!({"a": "\"b\""})).unwrap();
    assert_eq!((rendered.payload.json().get(), rendered.payload.form()), (r#""Embed \"b\"""#, Form::Text));
    let own = PromptSettings::default();
    assert_eq!(text(&own, json!({"prompt": "p"})).unwrap().payload.json().get(), r#""p""#);
    for fields in [json!({"prompt": "p", "system": "s"}), json!({"messages": [{"role": "user", "content": "x"}]})] {
        assert_eq!(text(&own, fields).unwrap_err().kind(), FailureKind::InvalidRequest);
    }
}

#[test]
fn pictures_and_documents_are_told_apart_from_text() {
    let picture = format!("data:image/png;base64,{}", "A".repeat(1000));
    let own = json!([{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_audio", "input_audio": {"data": "B".repeat(500), "format": "wav"}},
    ]}]);
    let payload = bare(json!({"messages": own})).unwrap().payload;
    let attached = payload.attached();
    assert_eq!((attached.images, attached.others), (1, 1));
    assert!(payload.text_bytes() < 250, "{}", payload.text_bytes());
    let input = batch_line(
        Some("/v1/responses"),
        &json!({"input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": picture}]}]}),
        Form::Messages,
    );
    assert_eq!(input.unwrap().payload.attached().images, 1);
}

#[test]
fn a_prompt_column_takes_its_own_system_before_the_tasks() {
    assert_eq!(messages(&bare(json!({"prompt": "{{ x }}"})).unwrap()), json!([{"role": "user", "content": "{{ x }}"}]));
    let system = |fields| with_system("task's {{ id }}", fields)[0]["content"].clone();
    assert_eq!(system(json!({"id": 1, "prompt": "p"})), "task's 1");
    assert_eq!(system(json!({"id": 1, "prompt": "p", "system": "own"})), "own");
}

#[test]
fn the_tasks_system_goes_before_messages_that_have_none() {
    let own = json!([{"role": "user", "content": "hi"}]);
    let expected = json!([{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]);
    assert_eq!(with_system("S", json!({"messages": own})), expected);
    assert_eq!(with_system("S", json!({"messages": expected})), expected);
    assert_eq!(with_system(" ", json!({"messages": own})), own);
}

#[test]
fn the_tasks_system_are_the_instructions_of_a_response_that_has_none() {
    let settings = PromptSettings { system: Some("S".to_owned()), ..PromptSettings::default() };
    let prompt = templates().prompt(&settings).unwrap();
    let params = |body: Json| {
        let line = json!({"custom_id": "r1", "url": "/v1/responses", "body": body});
        Json::Object(prompt.render(&row(line), Form::Messages).unwrap().params)
    };
    assert_eq!(params(json!({"input": "hi"})), json!({"instructions": "S"}));
    assert_eq!(params(json!({"input": "hi", "instructions": "own"})), json!({"instructions": "own"}));
}

#[test]
fn a_row_without_any_prompt_says_what_was_looked_for() {
    let told = bare(json!({"text": "x"})).unwrap_err().to_string();
    assert!(
        told.contains("`messages`") && told.contains("OpenAI Batch") && told.ends_with("its columns: text"),
        "{told}"
    );
}

#[test]
fn an_expression_is_a_column_of_that_name_first() {
    let fields = json!({"order-no": 7, "order": 3, "no": 1, "Review Id": "r", "flag": ""});
    assert_eq!(expr("order-no").value(&row(fields.clone())).unwrap(), Some(json!(7)));
    assert_eq!(expr("order - no").value(&row(fields.clone())).unwrap(), Some(json!(2)));
    assert_eq!(expr("Review Id").text(&row(fields.clone())).unwrap().as_deref(), Some("r"));
    assert_eq!(expr("Review Id").text(&row(json!({}))).unwrap(), None);
    assert!(!expr("flag").is_true(&row(fields)).unwrap());
    assert!(templates().expr("lang == ").is_err());
    assert!(templates().expr("x|nosuch").is_err());
    assert_eq!(expr("meta.ticket.id").columns.used, names(&["meta"]));
    assert_eq!(expr("Review Id").columns.used, names(&["Review Id"]));
}

#[test]
fn an_expression_reads_into_columns_and_keeps_the_json() {
    let fields = row(json!({"meta": {"ticket": {"id": "t1"}, "list": [1, {"z": 1, "a": 2}]}, "n": null}));
    assert_eq!(expr("meta.ticket.id").text(&fields).unwrap().as_deref(), Some("t1"));
    assert_eq!(expr("meta.list").value(&fields).unwrap(), Some(json!([1, {"z": 1, "a": 2}])));
    assert_eq!(expr("meta.list").text(&fields).unwrap().as_deref(), Some(r#"[1,{"z":1,"a":2}]"#));
    assert_eq!(expr("meta.nope.id").value(&fields).unwrap(), None);
    assert_eq!(expr("n").value(&fields).unwrap(), None);
    assert_eq!(expr("kind|default('other')").text(&fields).unwrap().as_deref(), Some("other"));
    assert!(expr("meta.ticket.id + 1").value(&fields).is_err());
}

#[test]
fn comparisons_with_missing_columns_are_never_true() {
    let fields = row(json!({"lang": "en", "n": 3}));
    for (source, expected) in [
        ("lang == 'en'", true),
        ("n < 5 and lang in ['en', 'de']", true),
        ("vars.lang == 'German'", true),
        ("lang != 'en'", false),
        ("score < 5", false),
        ("score > 5", false),
        ("score != 5", false),
        ("not score", false),
        ("score is defined", false),
        ("score|round < 5", false),
        ("score|default(0) < 5", true),
        ("lang == 'en' or score < 5", true),
    ] {
        assert_eq!(expr(source).is_true(&fields).unwrap(), expected, "{source}");
    }
}

#[test]
fn prompts_and_expressions_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Prompt>();
    shared::<Expr>();
    shared::<Templates>();
}

proptest! {
    #[test]
    fn data_comes_through_untouched(value in ".*", prefix in "[^{}\\r\\n]{0,20}", other in any::<String>()) {
        for value in [value, format!("{{{{ x }}}}{other}\"\n\r\t\\{{% raw %}}")] {
            prop_assume!(!format!("{prefix}{value}").trim().is_empty());
            let sent = user(&format!("{prefix}{{{{ x }}}}."), json!({"x": value, "y": 1}));
            prop_assert_eq!(sent, format!("{prefix}{value}."));
        }
    }

    #[test]
    fn any_json_prints_as_itself(value in json_value()) {
        let sent = user("={{ x }}", json!({"x": [value]}));
        prop_assert_eq!(serde_json::from_str::<Json>(&sent[1..]).unwrap(), json!([value]));
        let read = expr("row.x").value(&row(json!({"x": [value], "y": 1}))).unwrap();
        prop_assert_eq!(read, Some(json!([value])));
    }
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<i32>().prop_map(|n| Json::from(f64::from(n) / 8.0)),
        ".*".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((".{0,5}", inner), 0..4).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn a_text_is_cut_to_about_so_many_tokens() {
    let text = json!({"text": "one two three four five", "n": 5, "list": ["a", "b"], "nil": null});
    assert_eq!(user("{{ text | truncate_tokens(3) }}", text.clone()), "one two");
    assert_eq!(user("{{ text | truncate_tokens(3, end='…') }}", text.clone()), "one two…");
    assert_eq!(user("{{ text | truncate_tokens(99, end='…') }}", text.clone()), "one two three four five");
    assert_eq!(user("{{ list | truncate_tokens(2) }}", text.clone()), "[\"a\",\"b\"");
    assert_eq!(user("{{ n | truncate_tokens(2) }}", text.clone()), "5");
    for missing in ["nil", "gone"] {
        let error = try_user(&format!("x {{{{ {missing} | truncate_tokens(3) }}}}"), text.clone()).unwrap_err();
        assert!(matches!(error, RenderError::MissingColumn { .. }), "{error:?}");
    }
    for wrong in ["truncate_tokens", "truncate_tokens(-1)", "truncate_tokens(3, tail='')", "truncate_tokens('many')"] {
        assert!(try_user(&format!("{{{{ text | {wrong} }}}}"), text.clone()).is_err(), "{wrong}");
    }
    assert_eq!(compile("{{ text | truncate_tokens(3) }}").unwrap().required_columns(), names(&["text"]));
}

#[test]
fn what_a_request_is_made_of_is_known() {
    let used = |prompt: &str| compile(prompt).unwrap().used_columns();
    assert_eq!(used("{{ text }} {{ row['Long Title'] }} {{ vars.lang }}"), Some(names(&["text", "Long Title"])));
    assert_eq!(used("{% if kind == 'b' %}{{ row.rare }}{% endif %}"), Some(names(&["kind", "rare"])));
    assert_eq!(used("{{ row }}"), None);
    let own = templates().prompt(&PromptSettings::default()).unwrap().used_columns();
    assert_eq!(own, Some(names(&["messages", "url", "body", "prompt", "system"])));
}
