//! The endpoints that a model may be asked at.

use serde::{Deserialize, Serialize};

use super::Form;

/// Which of `OpenAI`'s endpoints a model is asked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Chat completions: nearly all models.
    #[default]
    Chat,
    /// Completions of a text: base models.
    Completions,
    /// Embeddings: a vector in place of an answer.
    Embeddings,
    /// Responses: `OpenAI`'s successor of chat completions.
    Responses,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Completions, Self::Embeddings, Self::Responses];

    /// The name in the job file, and in keys: it never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
        }
    }

    /// The path below the base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
        }
    }

    /// The endpoint that the `url` of an `OpenAI` Batch line names, or the path of a request.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url.trim_end_matches('/');
        // `completions` ends both, the longer one is meant where it fits.
        Self::ALL.into_iter().find(|endpoint| {
            url.strip_suffix(endpoint.path()).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        })
    }

    /// The field of the body that holds what is asked.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
            Self::Embeddings | Self::Responses => "input",
        }
    }

    /// The form in which rows are put to it.
    #[must_use]
    pub const fn form(self) -> Form {
        match self {
            Self::Chat | Self::Responses => Form::Messages,
            Self::Completions | Self::Embeddings => Form::Text,
        }
    }

    /// Whether it can be asked what has this form.
    #[must_use]
    pub const fn takes(self, form: Form) -> bool {
        match self {
            Self::Chat => matches!(form, Form::Messages),
            Self::Responses => matches!(form, Form::Messages | Form::Input),
            Self::Completions | Self::Embeddings => matches!(form, Form::Text),
        }
    }

    /// Whether one route may hold models of both: whatever one is asked, the other can be.
    #[must_use]
    pub fn goes_with(self, other: Self) -> bool {
        self == other || (self.form() == Form::Messages && other.form() == Form::Messages)
    }

    /// Whether its answers are texts, which have a length.
    #[must_use]
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Embeddings)
    }

    /// Whether it is the one that stands for itself where nothing is said.
    #[must_use]
    pub const fn is_chat(&self) -> bool {
        matches!(self, Self::Chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_endpoints() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::of_url(&format!("/v1/{}", endpoint.path())), Some(endpoint));
            assert_eq!(Endpoint::of_url(endpoint.path()), Some(endpoint));
            assert_eq!(serde_json::to_value(endpoint).unwrap(), endpoint.name());
        }
        assert_eq!(Endpoint::of_url("https://api.example/v1/embeddings/"), Some(Endpoint::Embeddings));
        for other in ["/v1/moderations", "/v1/chat", "", "/v1/my-completions"] {
            assert_eq!(Endpoint::of_url(other), None, "{other}");
        }
    }

    #[test]
    fn conversations_go_together_and_nothing_else_does() {
        for one in Endpoint::ALL {
            for other in Endpoint::ALL {
                let both_talk = [one, other].iter().all(|it| matches!(it, Endpoint::Chat | Endpoint::Responses));
                assert_eq!(one.goes_with(other), one == other || both_talk, "{one:?} {other:?}");
            }
            assert!(one.takes(one.form()));
        }
    }
}
