use std::time::Duration;

use super::{Folder, LEAST, job, problems};
use crate::job::{JobProvider, ProviderKind};
use crate::limit::Limits;
use crate::provider::{HttpVersion, Profile, TokenParam};
use crate::types::{Money, Price};

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
    assert_eq!(
        (model.alias.as_str(), model.wire.as_str(), model.price_source.to_string()),
        ("openai/gpt-4o-mini", "gpt-4o-mini", "built-in table, LiteLLM 1.109.1, 2026-11-22".to_owned())
    );
    assert_eq!(provider.settings.base_url, "https://api.openai.com/v1");
    assert_eq!(provider.settings.api_key.as_ref().unwrap().expose(), KEY);
    assert_eq!(provider.settings.token_param, TokenParam::MaxCompletionTokens);
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
fn the_profile_is_the_kind_as_written_else_the_name_else_generic() {
    let at = |name: &str, keys: &str| {
        let job = job(&with(&format!("{name}/m"), &format!("[providers.{name}]\n{keys}")));
        job.providers[0].settings.profile
    };
    let own = "base_url = \"http://127.0.0.1:9/v1\"";
    let azure = "base_url = \"https://team.openai.azure.com/openai/v1\"";
    assert_eq!(at("groq", own), Profile::Groq);
    assert_eq!(at("fast", &format!("{own}\nkind = \"groq\"")), Profile::Groq);
    assert_eq!(at("groq", &format!("{own}\nkind = \"vllm\"")), Profile::Vllm);
    assert_eq!(at("gw", own), Profile::Generic);
    assert_eq!(at("openai", "kind = \"simulated\""), Profile::Generic);
    assert_eq!(at("gw", azure), Profile::Azure);
    assert_eq!(at("gw", &format!("{azure}\nkind = \"openai\"")), Profile::Azure);
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
        assert_eq!((job.models[0].price.clone(), job.providers[0].free), (Some(Price::FREE), true), "{url}");
        assert_eq!(job.providers[0].settings.token_param, TokenParam::MaxTokens);
    }
    let away = super::job(&with("gw/m", "[providers.gw]\nbase_url = \"http://127.0.0.1.example/v1\""));
    assert_eq!((away.models[0].price.clone(), away.providers[0].free), (None, false));
}

#[test]
fn a_price_counts_on_own_servers_too_and_cached_input_costs_as_input_by_default() {
    let job = job(&with("m", "[models.m]\nprovider = \"vllm\"\nprice = { input = 0.4, output = 2 }"));
    let usd = |usd| Money::from_usd(usd).unwrap();
    assert_eq!(job.models[0].price, Some(Price::flat(usd(0.4), usd(0.4), usd(2.0))));
    assert_eq!(job.models[0].wire, "m", "the wire name is the alias by default");
}

#[test]
fn a_kind_brings_address_and_key_variable_but_no_foreign_server_gets_the_openai_key() {
    let folder = Folder::with(&with("fast/m", "[providers.fast]\nkind = \"groq\"")).env("GROQ_API_KEY", KEY);
    let job = folder.load().unwrap();
    assert_eq!(job.providers[0].settings.base_url, "https://api.groq.com/openai/v1");
    assert_eq!(job.providers[0].settings.api_key.as_ref().unwrap().expose(), KEY);
    let gateway = with("gw/m", "[providers.gw]\nkind = \"openai\"\nbase_url = \"https://gw.example/v1/\"");
    let job = Folder::with(&gateway).env("OPENAI_API_KEY", KEY).load().unwrap();
    assert!(job.providers[0].settings.api_key.is_none() && job.providers[0].missing_keys.is_empty());
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
    assert_eq!(provider.limits, Limits { rpm: Some(1000), concurrency: Some(4), ..Limits::default() });
    let timeouts = provider.settings.timeouts;
    assert_eq!((timeouts.connect, timeouts.attempt), (Duration::from_secs(10), Duration::from_secs(90)));
}

#[test]
fn a_model_called_by_its_full_name_keeps_what_its_alias_says() {
    let job = job(&with("vllm/big", "[models.b]\nprovider = \"vllm\"\nmodel = \"big\"\nmax_output = 9"));
    assert_eq!(job.models.len(), 1);
    assert_eq!((job.models[0].alias.as_str(), job.models[0].max_output), ("b", Some(9)));
}

#[test]
fn all_limits_of_models_and_providers_hold() {
    let limits = "limits = { rpm = 1, tpm = 2, input_tpm = 3, output_tpm = 4, rpd = 5, concurrency = 6 }";
    let tables = format!("[models.m]\nprovider = \"vllm\"\n{limits}\n[providers.vllm]\n{limits}");
    let job = job(&with("m", &tables));
    let expected = Limits {
        rpm: Some(1),
        tpm: Some(2),
        input_tpm: Some(3),
        output_tpm: Some(4),
        rpd: Some(5),
        concurrency: Some(6),
    };
    assert_eq!((job.models[0].limits, job.providers[0].limits), (expected, expected));
    let zero = problems(&with("vllm/m", "[providers.vllm]\nlimits = { input_tpm = 0, output_tpm = 0, rpd = 0 }"));
    assert_eq!(zero.matches("must be at least 1").count(), 3, "{zero}");
}

#[test]
fn each_address_with_each_key_is_a_member() {
    let tables = "[providers.gw]\nbase_url = [\"https://a.example/v1/\", \"https://${B}/v1\"]\n\
                  api_key_env = [\"ONE\", \"TWO\"]\nheaders = { x-team = \"data\" }\ntimeout = { attempt = \"9s\" }";
    let folder = Folder::with(&with("gw/m", tables)).env("B", "b.example").env("ONE", "sk-one").env("TWO", "sk-two");
    let job = folder.load().unwrap();
    let provider = &job.providers[0];
    let members: Vec<_> = provider
        .members()
        .map(|member| (member.base_url.as_str(), member.api_key.as_ref().unwrap().expose().to_owned()))
        .collect();
    let (a, b) = ("https://a.example/v1", "https://b.example/v1");
    let of = |url, key: &str| (url, key.to_owned());
    assert_eq!(members, [of(a, "sk-one"), of(a, "sk-two"), of(b, "sk-one"), of(b, "sk-two")]);
    assert_eq!((provider.settings.base_url.as_str(), provider.further.len()), (a, 3));
    for member in provider.members() {
        assert_eq!((member.name.as_str(), member.headers.len()), ("gw", 1));
        assert_eq!(member.timeouts.attempt, Duration::from_secs(9));
    }
    assert!(!format!("{job:?}").contains("sk-"));
}

#[test]
fn a_list_of_one_is_as_the_text_itself() {
    let url = "https://gw.example/v1";
    let of = |tables: &str| Folder::with(&with("gw/m", tables)).env("K", KEY).load().unwrap().providers.remove(0);
    let one = of(&format!("[providers.gw]\nbase_url = \"{url}\"\napi_key_env = \"K\""));
    let list = of(&format!("[providers.gw]\nbase_url = [\"{url}\"]\napi_key_env = [\"K\"]"));
    assert_eq!(format!("{one:?}"), format!("{list:?}"));
}

#[test]
fn an_address_or_a_key_named_twice_is_a_problem() {
    let tables = "[providers.gw]\nbase_url = [\"https://gw.example/v1\", \"https://gw.example/v1/\"]\n\
                  api_key_env = [\"ONE\", \"TWO\", \"ONE\", \"THREE\"]";
    let folder = Folder::with(&with("gw/m", tables)).env("ONE", KEY).env("TWO", "sk-two").env("THREE", KEY);
    let printed = folder.problems();
    for (place, what) in [
        ("11:38: providers.gw.base_url[1]", "is the same address as one before"),
        ("12:30: providers.gw.api_key_env[2]", "holds the same key as one before"),
        ("12:37: providers.gw.api_key_env[3]", "holds the same key as one before"),
    ] {
        assert!(printed.contains(&format!("job.toml:{place}: {what}")), "{printed}");
    }
    assert!(!printed.contains(KEY), "{printed}");
}

#[test]
fn each_address_and_key_of_a_list_is_checked() {
    let tables = "[providers.gw]\nbase_url = [\"https://gw.example/v1\", \"ftp://b.example\", \"https://me:pass@c\"]\n\
                  api_key_env = [\"UNSET_ONE\", \"sk-live-1234567\", \"UNSET_TWO\"]";
    let printed = problems(&with("gw/m", tables));
    for what in [
        "base_url[1]: is not an http or https URL",
        "base_url[2]: must not hold a name or password",
        "api_key_env[0]: environment variable UNSET_ONE is not set",
        "api_key_env[1]: is not the name of an environment variable",
        "api_key_env[2]: environment variable UNSET_TWO is not set",
    ] {
        assert!(printed.contains(&format!("providers.gw.{what}")), "{what}: {printed}");
    }
    assert!(!printed.contains("sk-live") && !printed.contains("pass@"), "{printed}");
    let empty = problems(&with("gw/m", "[providers.gw]\nbase_url = []\napi_key_env = []"));
    assert_eq!(empty.matches("must not be empty").count(), 2, "{empty}");
    let wrong = problems(&with("gw/m", "[providers.gw]\nbase_url = 5\napi_key_env = [5]"));
    assert!(wrong.contains("base_url: must be a text or a list of texts"), "{wrong}");
}

#[test]
fn what_is_missing_of_several_keys_is_told_where_it_may_be_missing() {
    let tables = "[providers.gw]\nbase_url = \"https://gw.example/v1\"\napi_key_env = [\"ONE\", \"TWO\"]";
    let folder = Folder::with(&with("gw/m", tables)).env("ONE", KEY);
    let job = folder.load_with(|args| args.keys_optional = true).unwrap();
    assert_eq!(job.providers[0].missing_keys, ["TWO"]);
}

#[test]
fn replicas_are_free_only_where_all_of_them_are_ours() {
    let free = |urls: &str| job(&with("gw/m", &format!("[providers.gw]\nbase_url = {urls}"))).providers[0].free;
    assert!(free("[\"http://127.0.0.1:1/v1\", \"http://127.0.0.1:2/v1\"]"));
    assert!(!free("[\"http://127.0.0.1:1/v1\", \"https://gw.example/v1\"]"));
}

#[test]
fn how_a_provider_is_spoken_to_can_be_set() {
    let usual = &job(&with("vllm/m", "")).providers[0];
    let of = |provider: &JobProvider| (provider.adaptive, provider.settings.http, provider.settings.connections);
    assert_eq!(of(usual), (true, HttpVersion::Auto, None));
    let tables = |http: &str| format!("[providers.vllm]\nadaptive = false\nhttp = \"{http}\"\nconnections = 7");
    assert_eq!(of(&job(&with("vllm/m", &tables("2"))).providers[0]), (false, HttpVersion::Two, Some(7)));
    assert_eq!(of(&job(&with("vllm/m", &tables("1.1"))).providers[0]), (false, HttpVersion::One, Some(7)));
    let wrong = problems(&with("vllm/m", "[providers.vllm]\nadaptive = 1\nhttp = \"3\"\nconnections = 0"));
    for what in ["adaptive: must be true or false", "http: \"3\" is not known", "connections: must be at least 1"] {
        assert!(wrong.contains(&format!("providers.vllm.{what}")), "{what}: {wrong}");
    }
}
