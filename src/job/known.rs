//! Providers that need no table in the job file.

use crate::provider::Profile;

/// What is built in about a provider.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) profile: Profile,
    pub(super) base_url: &'static str,
    /// The variable that holds its key; `None`: it needs none.
    pub(super) key_env: Option<&'static str>,
    /// A server of the user's own: it costs nothing.
    pub(super) self_hosted: bool,
}

const fn paid(name: &'static str, profile: Profile, base_url: &'static str, key_env: &'static str) -> Known {
    Known { name, profile, base_url, key_env: Some(key_env), self_hosted: false }
}

const fn own(name: &'static str, profile: Profile, base_url: &'static str) -> Known {
    Known { name, profile, base_url, key_env: None, self_hosted: true }
}

/// All of them. Anthropic and Gemini by their OpenAI-compatible addresses, Qwen by its international one.
pub(super) const KNOWN: [Known; 15] = [
    paid("openai", Profile::OpenAi, "https://api.openai.com/v1", "OPENAI_API_KEY"),
    paid("anthropic", Profile::Anthropic, "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    paid("gemini", Profile::Gemini, "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    paid("qwen", Profile::Qwen, "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    paid("mistral", Profile::Mistral, "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    paid("groq", Profile::Groq, "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    paid("deepseek", Profile::DeepSeek, "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    paid("together", Profile::Together, "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    paid("fireworks", Profile::Fireworks, "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    paid("openrouter", Profile::OpenRouter, "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    paid("xai", Profile::Xai, "https://api.x.ai/v1", "XAI_API_KEY"),
    paid("cerebras", Profile::Cerebras, "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    own("ollama", Profile::Ollama, "http://localhost:11434/v1"),
    own("vllm", Profile::Vllm, "http://localhost:8000/v1"),
    own("lmstudio", Profile::LmStudio, "http://localhost:1234/v1"),
];

/// Whose list prices calls to this host cost, by the table's name; `None`: those of nobody that is known. A gateway has
/// prices of its own, whatever it speaks like, and so have other regions of some.
pub(super) fn listed_as(profile: Profile, host: &str) -> Option<&'static str> {
    let within = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let (listed, own) = match profile {
        Profile::OpenAi => ("openai", within("api.openai.com")),
        Profile::Azure => ("azure", true),
        Profile::Anthropic => ("anthropic", host == "api.anthropic.com"),
        Profile::Gemini => ("gemini", host == "generativelanguage.googleapis.com"),
        Profile::Qwen => {
            let singapore = host == "dashscope-intl.aliyuncs.com" || within("ap-southeast-1.maas.aliyuncs.com");
            ("dashscope", singapore)
        }
        Profile::Mistral => ("mistral", host == "api.mistral.ai"),
        Profile::Groq => ("groq", host == "api.groq.com"),
        Profile::DeepSeek => ("deepseek", host == "api.deepseek.com"),
        Profile::Together => ("together", host == "api.together.xyz" || host == "api.together.ai"),
        Profile::Fireworks => ("fireworks", host == "api.fireworks.ai"),
        Profile::OpenRouter => ("openrouter", host == "openrouter.ai"),
        Profile::Xai => ("xai", within("api.x.ai")),
        Profile::Cerebras => ("cerebras", host == "api.cerebras.ai"),
        Profile::Ollama | Profile::Vllm | Profile::LmStudio | Profile::Generic => return None,
    };
    own.then_some(listed)
}

/// The built-in provider of this name.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}
