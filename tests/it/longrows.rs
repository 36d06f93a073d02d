//! Rows that are longer than a model's context: skipped, cut by their template, or cut by a server without a word.

use serde_json::{Value, json};

use crate::night::{Night, TOP};

fn job(models: &str, prompt: &str) -> String {
    format!(
        r#"{TOP}
        [tasks.t]
        model = "first"
        fallback = ["second"]
        prompt = "{prompt}"
        {models}
        [providers.p]
        base_url = "http://127.0.0.1:9/v1"
        [providers.q]
        base_url = "http://127.0.0.1:8/v1"
        [providers.remote]
        base_url = "https://gateway.example/v1"
        "#
    )
}

fn models(first: &str, second: &str) -> String {
    format!("[models.first]\n{first}\n[models.second]\n{second}\n")
}

fn words(count: usize) -> Value {
    json!({"id": count, "text": "word ".repeat(count)})
}

#[tokio::test(start_paused = true)]
async fn only_a_row_that_is_surely_too_long_skips_a_model() {
    let contexts = models("provider = \"p\"\ncontext = 500", "provider = \"q\"\ncontext = 2000");
    // By a quarter of their bytes, 480 words and 1,900 would be 600 tokens and 2,375.
    let rows = [words(100), words(480), words(600), words(1_900), words(5_000)];
    let mut night = Night::new(&job(&contexts, "{{ text }}"), rows);
    let (p, q) = (night.provider("p", json!({})), night.provider("q", json!({})));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts, summary.rows.failed), (4, 4, 1));
    assert_eq!((p.sim.ledger().requests, q.sim.ledger().requests), (2, 2));
    let error = &night.errors()[0]["error"];
    assert_eq!(error["kind"], "context_length");
    let message = error["message"].as_str().unwrap();
    let all = ["about 6258 tokens", "first (500 tokens) and of second (2000 tokens)", "not sent"];
    assert!(all.iter().all(|words| message.contains(words)), "{message}");
}

#[tokio::test(start_paused = true)]
async fn the_output_counts_where_the_provider_says_so() {
    let asks = "context = 2000\nparams = { max_tokens = 1500 }";
    for (kind, skipped) in [("vllm", 1), ("openai", 0)] {
        let of_kind = models(&format!("provider = \"p\"\n{asks}"), "provider = \"q\"");
        let job = job(&of_kind, "{{ text }}").replace("[providers.q]", &format!("kind = \"{kind}\"\n[providers.q]"));
        let mut night = Night::new(&job, [words(600)]);
        let (_, q) = (night.provider("p", json!({})), night.provider("q", json!({})));
        assert_eq!((night.run().await.attempts, q.sim.ledger().requests), (1, skipped), "{kind}");

        let mut alone = Night::new(&job.replace("fallback = [\"second\"]", ""), [words(600)]);
        alone.provider("p", json!({}));
        alone.run().await;
        let told = alone.errors().first().map(|error| error["error"]["message"].as_str().unwrap().to_owned());
        let context = "first (2000 tokens, 1500 of them for the output)";
        assert_eq!(told.is_some_and(|message| message.contains(context)), skipped == 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_template_cuts_a_text_to_about_so_many_tokens() {
    let prompt = "Sum up: {{ text | truncate_tokens(100, end='...') }}";
    let contexts = models("provider = \"p\"\ncontext = 500", "provider = \"q\"\ncontext = 500");
    let mut night = Night::new(&job(&contexts, prompt), [words(50), words(5_000)]);
    let p = night.provider("p", json!({}));
    night.provider("q", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.attempts), (0, 2));
    let tokens: Vec<u64> = night.results().iter().map(|line| line["usage"]["input_tokens"].as_u64().unwrap()).collect();
    assert!(tokens[0] < 70 && (95..=110).contains(&tokens[1]), "{tokens:?}");
    assert_eq!(p.sim.ledger().requests, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_ones_own_that_cuts_prompts_without_a_word_is_found_out() {
    let both = models("provider = \"p\"", "provider = \"q\"");
    let rows: Vec<Value> =
        (0..20).map(|n| json!({"id": n, "text": format!("{n} word ").repeat(300 * (n + 1))})).collect();
    let mut night = Night::new(&job(&both, "{{ text }}"), rows.clone());
    let (p, q) = (night.provider("p", json!({ "truncates_at": 2048 })), night.provider("q", json!({})));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, p.sim.ledger().requests), (0, 20));
    let cut = q.sim.ledger().requests;
    // Each row has 600 words and more: of 4,224 on it is told, and the simulator counts more tokens than words.
    assert_eq!(cut, 20 - 7, "{:?}", night.results().iter().map(|line| &line["model"]).collect::<Vec<_>>());
    for line in &night.results()[7..] {
        assert_eq!((&line["provider"], &line["trail"][0]["kind"]), (&json!("q"), &json!("context_length")));
    }

    // Who asks for it knows.
    let asked = models("provider = \"p\"\nparams = { truncate_prompt_tokens = 2048 }", "provider = \"q\"");
    let mut night = Night::new(&job(&asked, "{{ text }}"), rows.clone());
    night.provider("p", json!({ "truncates_at": 2048 }));
    let q = night.provider("q", json!({}));
    assert_eq!((night.run().await.exit_code, q.sim.ledger().requests), (0, 0));

    // A service's own count is what it bills.
    let mut night = Night::new(&job(&models("provider = \"remote\"", "provider = \"q\""), "{{ text }}"), rows);
    night.provider("remote", json!({ "truncates_at": 2048 }));
    let q = night.provider("q", json!({}));
    assert_eq!((night.run().await.exit_code, q.sim.ledger().requests), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_that_stop_at_their_limit_are_counted() {
    let cut = models("provider = \"p\"\nmodel = \"truncate\"", "provider = \"q\"");
    let mut night = Night::new(&job(&cut, "{{ text }}"), [words(3), words(4)]);
    night.provider("p", json!({}));
    night.provider("q", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.rows.truncated), (0, 2, 2));
    assert_eq!(night.results()[0]["finish_reason"], "length");
}
