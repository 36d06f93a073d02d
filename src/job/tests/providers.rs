use std::time::Duration;

use super::{Folder, LEAST, job, problems};
use crate::job::ProviderKind;
use crate::limit::Limits;
use crate::provider::TokenParam;
use crate::types::Price;

const KEY: &str = "sk-the-key-itself";

/// A job with this model, and these tables behind it.
fn with(model: &str, tables: &str) -> String {
    format!("{}\n{tables}", LEAST.replace("ollama/qwen3", model))
}

#[test]
fn a_known_provider_needs_no_table() {
    let job =
        Folder::with(&with("openai/gpt-4o-mini", "")).env("OPENAI_API_KEY", " sk-the-key-itself\n").load().unwrap();
    let (provider, model) = (&job.providers[0], &job.models[0]);
    assert_eq!((model.alias.as_str(), model.wire.as_str(), model.price), ("openai/gpt-4o-mini", "gpt-4o-mini", None));
    assert_eq!(provider.settings.base_url, "https://api.openai.com/v1");
    assert_eq!(provider.settings.api_key.as_ref().unwrap().expose(), KEY);
    assert_eq!(provider.settings.token_param, TokenParam::MaxCompletionTokens);
    assert_eq!(provider.key_env.as_deref(), Some("OPENAI_API_KEY"));
    assert!(!provider.free && provider.kind == ProviderKind::Http);
    assert!(!format!("{job:?}").contains(KEY));
}

#[test]
fn a_model_s_name_may_have_slashes() {
    let job = Folder::with(&with("openrouter/meta-llama/llama-3", "")).env("OPENROUTER_API_KEY", KEY).load().unwrap();
    assert_eq!(
        (job.providers[0].settings.name.as_str(), job.models[0].wire.as_str()),
        ("openrouter", "meta-llama/llama-3")
    );
}

#[test]
fn every_known_provider_has_an_address_that_is_accepted() {
    for known in &crate::job::known::KNOWN {
        let text = with(
            &format!("{}/m", known.name),
            &format!("[providers.{}]\nbase_url = \"{}\"", known.name, known.base_url),
        );
        let mut folder = Folder::with(&text);
        folder.env.extend(known.key_env.map(|name| (name, KEY)));
        let job = folder.load().unwrap();
        assert_eq!(job.providers[0].settings.base_url, known.base_url);
        assert_eq!(job.providers[0].free, known.self_hosted, "{}", known.name);
    }
}

#[test]
fn a_missing_key_is_a_problem_of_providers_on_a_route_only() {
    let tables = "[models]\nunused = \"groq/llama\"\n[providers.mistral]\nbase_url = \"${UNSET}/v1\"";
    let folder = Folder::with(&with("openai/gpt-4o-mini", tables));
    let expected = "job.toml:7:9: tasks.tag.model: environment variable OPENAI_API_KEY is not set
  hint: provider openai needs a key: set it in the environment or in `env_file`, or name another variable in \
         providers.openai.api_key_env";
    assert_eq!(folder.problems(), expected);
    let folder = folder.env("OPENAI_API_KEY", "");
    assert_eq!(folder.problems(), expected, "an empty variable is not set");
}

#[test]
fn a_key_pasted_in_place_of_its_variable_is_not_shown() {
    for key in ["sk-live-1234567", "gsk_abcdef1234"] {
        let text =
            with("gw/m", &format!("[providers.gw]\nbase_url = \"https://gw.example/v1\"\napi_key_env = \"{key}\""));
        let printed = problems(&text);
        assert!(printed.contains("not the key itself"), "{printed}");
        assert!(!printed.contains(key), "{printed}");
    }
    let printed =
        problems(&with("gw/m", "[providers.gw]\nbase_url = \"https://gw.example/v1\"\napi_key = \"sk-live-12\""));
    assert!(printed.contains("did you mean `api_key_env`?") && !printed.contains("sk-live"), "{printed}");
}

#[test]
fn a_key_that_no_header_can_hold_is_refused_unseen() {
    let folder = Folder::with(&with("openai/m", "")).env("OPENAI_API_KEY", "sk-the\nkey-itself");
    let printed = folder.problems();
    assert!(printed.contains("OPENAI_API_KEY does not hold a key") && !printed.contains("itself"), "{printed}");
}

#[test]
fn an_env_file_gives_keys_and_the_process_wins() {
    let folder = Folder::with(&format!("env_file = \"keys/.env\"\n{}", with("openai/m", "")));
    folder.write("keys/.env", "# keys\nexport OPENAI_API_KEY='from file'\n");
    let key =
        |folder: &Folder| folder.load().unwrap().providers[0].settings.api_key.as_ref().unwrap().expose().to_owned();
    assert_eq!(key(&folder), "from file");
    let folder = folder.env("OPENAI_API_KEY", KEY);
    assert_eq!(key(&folder), KEY);
    folder.write("keys/.env", "OPENAI_API_KEY=sk-the-key itself\n");
    let printed = folder.problems();
    assert!(printed.contains("has a line that is not NAME=value") && !printed.contains("sk-the-key"), "{printed}");
    std::fs::remove_file(folder.path("keys/.env")).unwrap();
    assert!(folder.problems().starts_with("job.toml:1:12: env_file: cannot read keys/.env: "), "{}", folder.problems());
}

#[test]
fn own_servers_are_free_and_need_no_key() {
    let job = job(&with("ollama/qwen3", ""));
    assert!(job.providers[0].free && job.providers[0].settings.api_key.is_none());
    assert_eq!(job.models[0].price, Some(Price::FREE));
    for url in ["http://127.0.0.1:9/v1", "http://[::1]:9/v1", "http://localhost/v1", "https://gw.localhost:1"] {
        let job = super::job(&with("openai/m", &format!("[providers.openai]\nbase_url = \"{url}\"")));
        assert_eq!((job.models[0].price, job.providers[0].free), (Some(Price::FREE), true), "{url}");
        assert_eq!(job.providers[0].settings.token_param, TokenParam::MaxTokens);
    }
    let away = super::job(&with("gw/m", "[providers.gw]\nbase_url = \"http://127.0.0.1.example/v1\""));
    assert_eq!((away.models[0].price, away.providers[0].free), (None, false));
}

#[test]
fn a_price_counts_on_own_servers_too_and_cached_input_costs_as_input_by_default() {
    let job = job(&with("m", "[models.m]\nprovider = \"vllm\"\nprice = { input = 0.4, output = 2 }"));
    let price = job.models[0].price.unwrap();
    assert_eq!(price.input.to_string(), "0.4");
    assert_eq!(price.cached_input, price.input);
    assert_eq!(price.output.to_string(), "2");
    assert_eq!(job.models[0].wire, "m", "the wire name is the alias by default");
}

#[test]
fn a_kind_brings_address_and_key_variable_but_no_foreign_server_gets_the_openai_key() {
    let folder = Folder::with(&with("fast/m", "[providers.fast]\nkind = \"groq\"")).env("GROQ_API_KEY", KEY);
    let job = folder.load().unwrap();
    assert_eq!(job.providers[0].settings.base_url, "https://api.groq.com/openai/v1");
    assert_eq!(job.providers[0].key_env.as_deref(), Some("GROQ_API_KEY"));
    let gateway = with("gw/m", "[providers.gw]\nkind = \"openai\"\nbase_url = \"https://gw.example/v1/\"");
    let job = Folder::with(&gateway).env("OPENAI_API_KEY", KEY).load().unwrap();
    assert!(job.providers[0].settings.api_key.is_none() && job.providers[0].key_env.is_none());
    assert_eq!(job.providers[0].settings.base_url, "https://gw.example/v1");
}

#[test]
fn addresses_and_headers_take_variables_and_headers_stay_secret() {
    let tables =
        "[providers.gw]\nbase_url = \"https://${HOST}/v1\"\nheaders = { x-team = \"data\", x-key = \"Key ${TEAM}\" }";
    let folder = Folder::with(&with("gw/m", tables)).env("HOST", "gw.example").env("TEAM", KEY);
    let job = folder.load().unwrap();
    let settings = &job.providers[0].settings;
    assert_eq!(settings.base_url, "https://gw.example/v1");
    let headers: Vec<_> = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("x-team", "data"), ("x-key", "Key sk-the-key-itself")]);
    assert!(!format!("{job:?}").contains(KEY));
    let folder = folder.env("HOST", "unused");
    let broken = Folder { env: vec![("HOST", "sk-the-key-itself@"), ("TEAM", "a\nsk-the-key")], ..folder };
    let printed = broken.problems();
    assert_eq!(printed.lines().filter(|line| line.starts_with("job.toml:")).count(), 2, "{printed}");
    assert!(!printed.contains("sk-the"), "{printed}");
}

#[test]
fn an_address_must_be_a_base_url() {
    let message = |url: &str| problems(&with("gw/m", &format!("[providers.gw]\nbase_url = \"{url}\"")));
    for (url, part) in [
        ("gw.example/v1", "is not a"),
        ("ftp://gw.example", "is not an http or https URL"),
        ("https://me:pass@gw.example", "must not hold a name or password"),
        ("https://gw.example/v1?key=5", "must not have a query"),
        ("https://gw.example/v1/chat/completions/", "leave off /chat/completions"),
        ("https://${X/v1", "`${` without its `}`"),
        ("https://${a b}/v1", "does not name an environment variable"),
    ] {
        assert!(message(url).contains(part), "{url}: {}", message(url));
    }
}

#[test]
fn a_simulated_provider_passes_its_table_on() {
    let tables =
        "[providers.sim]\nkind = \"simulated\"\nsimulate = { latency = \"5ms\", faults = [{ status = 500, p = 0.5 }] }";
    let job = job(&with("sim/m", tables));
    let ProviderKind::Simulated(table) = &job.providers[0].kind else { panic!("not simulated") };
    let expected = serde_json::json!({"latency": "5ms", "faults": [{"status": 500, "p": 0.5}]});
    assert_eq!(serde_json::Value::Object(table.clone()), expected);
    assert!(job.providers[0].free && job.providers[0].settings.base_url.is_empty());
    let stray = problems(&with("vllm/m", "[providers.vllm]\nsimulate = {}"));
    assert!(stray.contains("goes with kind = \"simulated\" only"), "{stray}");
    let address = problems(&with("s/m", "[providers.s]\nkind = \"simulated\"\nbase_url = \"http://localhost\""));
    assert!(address.contains("has no address of its own"), "{address}");
}

#[test]
fn limits_and_timeouts_of_a_provider_hold() {
    let tables = "[providers.ollama]\nlimits = { rpm = 1_000, concurrency = 4 }\ntimeout = { attempt = \"90s\" }";
    let job = job(&with("ollama/m", tables));
    let provider = &job.providers[0];
    assert_eq!(provider.limits, Limits { rpm: Some(1000), tpm: None, concurrency: Some(4) });
    let timeouts = provider.settings.timeouts;
    assert_eq!((timeouts.connect, timeouts.attempt), (Duration::from_secs(10), Duration::from_secs(90)));
}

#[test]
fn a_model_called_by_its_full_name_keeps_what_its_alias_says() {
    let job = job(&with("vllm/big", "[models.b]\nprovider = \"vllm\"\nmodel = \"big\"\nmax_output = 9"));
    assert_eq!(job.models.len(), 1);
    assert_eq!((job.models[0].alias.as_str(), job.models[0].max_output), ("b", Some(9)));
}
