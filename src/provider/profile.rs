//! Whose habits a provider has: what its errors, waits and headers mean, and how it counts tokens.

use crate::types::Counting;

/// The sort of a provider, by its `kind` or its name in the job file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `OpenAI` itself.
    OpenAi,
    /// `OpenAI`'s models at Azure: known by its address, as every resource has one of its own.
    Azure,
    /// Anthropic, by its OpenAI-compatible address.
    Anthropic,
    /// Google's Gemini, by its OpenAI-compatible address.
    Gemini,
    /// Alibaba's `DashScope`.
    Qwen,
    /// Mistral.
    Mistral,
    /// Groq.
    Groq,
    /// `DeepSeek`.
    DeepSeek,
    /// Together.
    Together,
    /// Fireworks.
    Fireworks,
    /// `OpenRouter`.
    OpenRouter,
    /// xAI.
    Xai,
    /// Cerebras.
    Cerebras,
    /// A server of the user's own: Ollama.
    Ollama,
    /// A server of the user's own: vLLM.
    Vllm,
    /// A server of the user's own: LM Studio.
    LmStudio,
    /// Anything else that speaks like `OpenAI`: gateways, proxies, other servers, the simulator.
    #[default]
    Generic,
}

impl Profile {
    /// How this provider counts tokens against its limits.
    #[must_use]
    pub const fn counting(self) -> Counting {
        match self {
            Self::OpenAi | Self::Azure | Self::Groq | Self::Cerebras => Counting::InputAndMaxOutput,
            Self::Gemini => Counting::InputOnly,
            Self::Anthropic | Self::Fireworks => Counting::Split,
            Self::DeepSeek | Self::Ollama | Self::Vllm | Self::LmStudio => Counting::None,
            Self::Qwen | Self::Mistral | Self::Together | Self::OpenRouter | Self::Xai | Self::Generic => {
                Counting::Used
            }
        }
    }

    /// Whether what its replies say of their cost is what it bills.
    #[must_use]
    pub const fn tells_cost(self) -> bool {
        matches!(self, Self::OpenRouter | Self::Xai)
    }

    /// Whether it refuses a request whose input and `max_tokens` together are over the context, however short the answer
    /// would be.
    #[must_use]
    pub const fn output_counts_in_context(self) -> bool {
        match self {
            Self::Anthropic | Self::Together | Self::Vllm => true,
            Self::OpenAi
            | Self::Azure
            | Self::Gemini
            | Self::Qwen
            | Self::Mistral
            | Self::Groq
            | Self::DeepSeek
            | Self::Fireworks
            | Self::OpenRouter
            | Self::Xai
            | Self::Cerebras
            | Self::Ollama
            | Self::LmStudio
            | Self::Generic => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_output_is_given_back_where_the_provider_counts_what_was_used() {
        for profile in [Profile::OpenAi, Profile::Azure, Profile::Groq, Profile::Cerebras] {
            assert_eq!(profile.counting(), Counting::InputAndMaxOutput, "{profile:?}");
        }
        for profile in [Profile::Generic, Profile::Qwen, Profile::Mistral, Profile::OpenRouter] {
            assert_eq!(profile.counting(), Counting::Used, "{profile:?}");
        }
        assert_eq!(Profile::Gemini.counting(), Counting::InputOnly);
        assert_eq!(Profile::Anthropic.counting(), Counting::Split);
        assert_eq!(Profile::DeepSeek.counting(), Counting::None);
        assert_eq!(Profile::default().counting(), Counting::Used, "unknown servers count as most do");
    }
}
