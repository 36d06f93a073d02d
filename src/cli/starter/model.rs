//! Which model a new job gets: the one asked for, else what this machine can reach.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The first key that is set decides.
const BY_KEY: [(&str, &str); 8] = [
    ("OPENAI_API_KEY", "openai/gpt-4o-mini"),
    ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-4-5"),
    ("GEMINI_API_KEY", "gemini/gemini-2.5-flash"),
    ("DASHSCOPE_API_KEY", "qwen/qwen-plus"),
    ("MISTRAL_API_KEY", "mistral/mistral-small-latest"),
    ("GROQ_API_KEY", "groq/llama-3.1-8b-instant"),
    ("DEEPSEEK_API_KEY", "deepseek/deepseek-chat"),
    ("OPENROUTER_API_KEY", "openrouter/openai/gpt-4o-mini"),
];

/// A loopback port that is closed answers at once.
const PATIENCE: Duration = Duration::from_millis(500);

/// The model of a new job.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// `provider/model`.
    pub model: String,
    /// Why this one.
    pub reason: String,
    /// The provider is simulated, and needs a table.
    pub simulated: bool,
}

/// The model asked for, else by keys, else Ollama's first, else a simulated one.
pub fn choose(asked: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Choice {
    if let Some(model) = asked {
        let simulated = model.starts_with("sim/");
        return Choice { model: model.to_owned(), reason: "as asked for".to_owned(), simulated };
    }
    let set = |name: &str| env(name).is_some_and(|value| !value.trim().is_empty());
    if let Some((key, model)) = BY_KEY.iter().find(|(key, _)| set(key)) {
        return Choice { model: (*model).to_owned(), reason: format!("{key} is set"), simulated: false };
    }
    if let Some(model) = ollama() {
        return Choice { model: format!("ollama/{model}"), reason: "Ollama runs here".to_owned(), simulated: false };
    }
    let reason = "no key is set and no Ollama runs here: answers are invented".to_owned();
    Choice { model: "sim/any".to_owned(), reason, simulated: true }
}

/// The first model of an Ollama on its port.
fn ollama() -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 11434));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // 1.0, so that the answer comes in one piece and ends with the connection.
    stream.write_all(b"GET /api/tags HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(1_000_000).read_to_string(&mut answer).ok()?;
    first_model(&answer)
}

fn first_model(answer: &str) -> Option<String> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: Value = serde_json::from_str(body.trim()).ok()?;
    Some(body.get("models")?.get(0)?.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_before_keys() {
        let env = |name: &str| (name == "GEMINI_API_KEY").then(|| "k".to_owned());
        assert_eq!(choose(Some("a/b"), &env).model, "a/b");
        let choice = choose(None, &env);
        assert_eq!(
            (choice.model.as_str(), choice.reason.as_str()),
            ("gemini/gemini-2.5-flash", "GEMINI_API_KEY is set")
        );
    }

    #[test]
    fn ollama_names_its_first_model() {
        let answer = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"models\":[{\"name\":\"qwen3:4b\"},{\"name\":\"x\"}]}";
        assert_eq!(first_model(answer).as_deref(), Some("qwen3:4b"));
        assert_eq!(first_model("HTTP/1.0 200 OK\r\n\r\n{\"models\":[]}"), None);
    }
}
