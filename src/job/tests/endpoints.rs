//! `models.X.endpoint`, and what it makes of tasks.

use super::{Folder, job, problems};
use crate::types::Endpoint;

fn with(task: &str, models: &str) -> String {
    format!("input.path = \"in.jsonl\"\noutput.path = \"out.jsonl\"\n[tasks.tag]\n{task}\n{models}")
}

const MODELS: &str = r#"
[models.talk]
provider = "ollama"
[models.new]
provider = "ollama"
endpoint = "responses"
[models.base]
provider = "ollama"
endpoint = "completions"
[models.vector]
provider = "ollama"
endpoint = "embeddings"
params = { dimensions = 256 }
"#;

#[test]
fn a_model_is_asked_at_chat_unless_it_says_otherwise() {
    let models = |model: &str| job(&with(&format!("model = \"{model}\"\nprompt = \"x\""), MODELS)).models;
    let endpoint = |model| models(model)[0].endpoint;
    assert_eq!((endpoint("talk"), endpoint("ollama/other")), (Endpoint::Chat, Endpoint::Chat));
    assert_eq!((endpoint("new"), endpoint("base")), (Endpoint::Responses, Endpoint::Completions));
    assert_eq!(endpoint("vector"), Endpoint::Embeddings);
    let wrong =
        problems(&with("model = \"m\"\nprompt = \"x\"", "[models.m]\nprovider = \"ollama\"\nendpoint = \"embedding\""));
    assert!(
        wrong.contains("models.m.endpoint: \"embedding\" is not known") && wrong.contains("`embeddings`"),
        "{wrong}"
    );
}

#[test]
fn a_route_holds_models_that_can_be_asked_the_same() {
    let route = |models: &str| with(&format!("model = \"talk\"\nfallback = {models}\nprompt = \"x\""), MODELS);
    assert_eq!(job(&route("[\"new\"]")).tasks[0].route.len(), 2);
    let wrong = problems(&route("[\"new\", \"vector\", \"base\"]"));
    assert!(
        wrong.contains("job.toml:5:20: tasks.tag.fallback[1]: is asked at the endpoint `embeddings`, and the first choice at `chat`")
            && wrong.contains("tasks.tag.fallback[2]: is asked at the endpoint `completions`"),
        "{wrong}"
    );
}

#[test]
fn texts_that_only_a_conversation_holds_are_told_with_their_place() {
    for model in ["vector", "base"] {
        let task = format!("model = \"{model}\"\nprompt = \"x\"\nsystem = \"s\"\nimages = [\"{{{{ p }}}}\"]");
        let wrong = problems(&with(&task, MODELS));
        assert!(
            wrong.contains("job.toml:6:10: tasks.tag.system: the endpoint of its model")
                && wrong.contains("job.toml:7:10: tasks.tag.images: the endpoint of its model"),
            "{wrong}"
        );
        let task = format!("model = \"{model}\"\nmessages = [{{ role = \"user\", content = \"x\" }}]");
        assert!(problems(&with(&task, MODELS)).contains("tasks.tag.messages: the endpoint of its model"));
    }
    job(&with("model = \"new\"\nprompt = \"x\"\nsystem = \"s\"\nimages = [\"{{ p }}\"]", MODELS));
}

#[test]
fn params_that_steer_words_mean_nothing_to_vectors() {
    let task = |params: &str| with(&format!("model = \"vector\"\nprompt = \"x\"\nparams = {params}"), MODELS);
    job(&task("{ dimensions = 64, encoding_format = \"base64\", user = \"u\" }"));
    let wrong = problems(&task("{ temperature = 0, max_tokens = 5 }"));
    assert!(
        wrong.contains("tasks.tag.params: `temperature` means nothing to the endpoint `embeddings`")
            && wrong.contains("`max_tokens` means nothing"),
        "{wrong}"
    );
    let models = MODELS.replace("dimensions = 256", "stop = \"x\"");
    let wrong = problems(&with("model = \"vector\"\nprompt = \"x\"", &models));
    assert!(wrong.contains("models.vector.params: `stop` means nothing"), "{wrong}");
}

#[test]
fn a_row_has_one_answer() {
    let params = |n: &str| with(&format!("model = \"talk\"\nprompt = \"x\"\nparams = {{ n = {n} }}"), MODELS);
    job(&params("1"));
    for n in ["2", "0", "\"many\""] {
        let wrong = problems(&params(n));
        assert!(wrong.contains("job.toml:6:10: tasks.tag.params: `n` must be 1"), "{wrong}");
    }
    let wrong =
        problems(&with("model = \"m\"\nprompt = \"x\"", "[models.m]\nprovider = \"ollama\"\nparams = { n = 3 }"));
    assert!(wrong.contains("models.m.params: `n` must be 1"), "{wrong}");
}

#[test]
fn endpoints_and_images_are_part_of_what_a_job_asks_where_they_are_used() {
    let identity = |model: &str| job(&with(&format!("model = \"{model}\"\nprompt = \"x\""), MODELS)).identity();
    let chat = String::from_utf8(identity("talk")).unwrap();
    assert!(chat.contains(r#"[["tag",null,"x",[],{},["talk",{}]]]"#), "as it was before there were others: {chat}");
    let other = MODELS.replace("[models.talk]", "[models.talk]\nendpoint = \"responses\"");
    let responses = job(&with("model = \"talk\"\nprompt = \"x\"", &other)).identity();
    assert_ne!(responses, identity("talk"));
    let images = job(&with("model = \"talk\"\nprompt = \"x\"\nimages = [\"{{ p }}\"]", MODELS));
    assert_ne!(images.identity(), identity("talk"));
    let folder = Folder::with(&with("model = \"talk\"\nprompt = \"x\"\nimages = [\"{{ p }}\"]", MODELS));
    let dir = folder.load().unwrap().tasks[0].prompt.image_dir.clone();
    assert_eq!(dir, folder.path("job.toml").parent().unwrap());
}
