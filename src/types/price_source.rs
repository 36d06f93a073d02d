//! Where a price comes from.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where a price comes from. Prints and serialises as reports tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PriceSource {
    /// The model's `price`.
    JobFile,
    /// The table that is built in: of what source, and of which date.
    BuiltIn(Arc<str>),
    /// A file that the user named: which.
    File(Arc<str>),
    /// The price of another model, which the job names: of which, and where that comes from.
    Borrowed(Arc<str>),
    /// The provider's replies tell what they cost.
    Provider,
    /// A server of the user's own, which costs nothing.
    SelfHosted,
    /// Nobody told it.
    #[default]
    Unknown,
    /// Several models with prices from several places.
    Mixed,
}

const JOB_FILE: &str = "job file";
const BUILT_IN: &str = "built-in table";
const FILE: &str = "prices";
const BORROWED: &str = "borrowed from";
const PROVIDER: &str = "provider's own cost field";
const SELF_HOSTED: &str = "self-hosted";
const UNKNOWN: &str = "unknown";
const MIXED: &str = "mixed";

impl PriceSource {
    /// The source of a sum.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        if self == *other { self } else { Self::Mixed }
    }

    /// In a word or two, where there is no room for more.
    #[must_use]
    pub fn short(&self) -> &'static str {
        match self {
            Self::JobFile => JOB_FILE,
            Self::BuiltIn(_) => "built-in",
            Self::File(_) => "prices file",
            Self::Borrowed(_) => "borrowed",
            Self::Provider => "provider",
            Self::SelfHosted => SELF_HOSTED,
            Self::Unknown => UNKNOWN,
            Self::Mixed => MIXED,
        }
    }
}

impl fmt::Display for PriceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobFile => f.write_str(JOB_FILE),
            Self::BuiltIn(source) => write!(f, "{BUILT_IN}, {source}"),
            Self::File(source) => write!(f, "{FILE} {source}"),
            Self::Borrowed(source) => write!(f, "{BORROWED} {source}"),
            Self::Provider => f.write_str(PROVIDER),
            Self::SelfHosted => f.write_str(SELF_HOSTED),
            Self::Unknown => f.write_str(UNKNOWN),
            Self::Mixed => f.write_str(MIXED),
        }
    }
}

impl Serialize for PriceSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for PriceSource {
    type Err = Infallible;

    /// Reads what [`fmt::Display`] wrote; anything else is unknown.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let after = |name: &str, between: &str| text.strip_prefix(name)?.strip_prefix(between).map(Arc::from);
        let plain = [Self::JobFile, Self::Provider, Self::SelfHosted, Self::Mixed];
        let plain = plain.into_iter().find(|source| source.to_string() == text);
        let listed = || after(BUILT_IN, ", ").map(Self::BuiltIn);
        let filed = || after(FILE, " ").map(Self::File);
        let borrowed = || after(BORROWED, " ").map(Self::Borrowed);
        Ok(plain.or_else(listed).or_else(filed).or_else(borrowed).unwrap_or(Self::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints() {
        let sources = [
            PriceSource::JobFile,
            PriceSource::BuiltIn("LiteLLM 1, 2026-11-22".into()),
            PriceSource::File("own.json".into()),
            PriceSource::Borrowed("a/b (prices own.json)".into()),
            PriceSource::Provider,
            PriceSource::SelfHosted,
            PriceSource::Unknown,
            PriceSource::Mixed,
        ];
        for source in sources {
            assert_eq!(source.to_string().parse(), Ok(source.clone()));
        }
        assert_eq!(
            PriceSource::BuiltIn("LiteLLM 1, 2026-11-22".into()).to_string(),
            "built-in table, LiteLLM 1, 2026-11-22"
        );
    }
}
