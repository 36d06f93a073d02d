//! The tokenizers of the OpenAI families, which are public. Loaded by the first count, and only then.

/// A tokenizer that is known exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tokenizer {
    /// Of GPT-4o and what came after it.
    O200k,
    /// Of GPT-3.5, GPT-4 and the embeddings.
    Cl100k,
}

/// Beginnings of the names of models, the longer ones of a family first.
const FAMILIES: [(&str, Tokenizer); 12] = [
    ("gpt-4o", Tokenizer::O200k),
    ("chatgpt-4o", Tokenizer::O200k),
    ("gpt-4.", Tokenizer::O200k),
    ("gpt-5", Tokenizer::O200k),
    ("gpt-oss", Tokenizer::O200k),
    ("o1", Tokenizer::O200k),
    ("o3", Tokenizer::O200k),
    ("o4", Tokenizer::O200k),
    ("gpt-4", Tokenizer::Cl100k),
    ("gpt-3.5", Tokenizer::Cl100k),
    ("gpt-35", Tokenizer::Cl100k),
    ("text-embedding-", Tokenizer::Cl100k),
];

impl Tokenizer {
    /// The tokenizer of a model by its name on the wire, also a dated, fine-tuned or forwarded one; `None` where it is not
    /// known, or not built in.
    #[must_use]
    pub fn of(model: &str) -> Option<Self> {
        let name = model.strip_prefix("ft:").unwrap_or(model);
        let name = name.rsplit('/').next().unwrap_or(name);
        let found = FAMILIES.iter().find(|(family, _)| name.starts_with(family));
        found.map(|(_, tokenizer)| *tokenizer).filter(|_| cfg!(feature = "tokenizer"))
    }

    /// The tokens of a text.
    #[cfg(feature = "tokenizer")]
    pub(super) fn count(self, text: &str) -> u64 {
        let tokenizer = match self {
            Self::O200k => bpe_openai::o200k_base(),
            Self::Cl100k => bpe_openai::cl100k_base(),
        };
        tokenizer.count(text) as u64
    }

    /// The tokens of a text, as far as that can be told.
    #[cfg(not(feature = "tokenizer"))]
    #[expect(clippy::unused_self, reason = "as the one that counts")]
    pub(super) fn count(self, text: &str) -> u64 {
        super::estimate::tokens(super::estimate::weigh(text))
    }
}
