//! Takes our own secrets out of what a server says: some repeat the key that they refuse, and what they say is kept.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use memchr::memmem::Finder;

use super::settings::ProviderSettings;
use crate::types::WireReply;

/// What stands in a secret's place.
const HIDDEN: &[u8] = b"***";

/// A shorter key is a stand-in (`none`, `EMPTY`) as local servers want one, and a word that errors may hold.
const SHORTEST: usize = 12;
/// In answers a longer one may be such a word too (`placeholder-1`), and they are what was paid for.
const SHORTEST_IN_ANSWERS: usize = 16;

/// Finds the secrets of one provider.
#[derive(Clone)]
pub(super) struct Redactor {
    key: Option<Finder<'static>>,
    headers: Vec<Finder<'static>>,
}

impl Redactor {
    pub(super) fn new(settings: &ProviderSettings) -> Self {
        let finder = |text: &str| (text.len() >= SHORTEST).then(|| Finder::new(text.as_bytes()).into_owned());
        Self {
            key: settings.api_key.as_ref().and_then(|key| finder(key.expose().trim())),
            headers: settings.headers.iter().filter_map(|(_, value)| finder(value.expose().trim())).collect(),
        }
    }

    /// The reply with `***` in place of secrets. Answers lose the key alone: the value of a further header may be a plain
    /// word, such as a team's name, that an answer has every reason to hold.
    pub(super) fn clean(&self, reply: WireReply) -> WireReply {
        let is_answer = (200..300).contains(&reply.status);
        let key = self.key.iter().filter(|key| !is_answer || key.needle().len() >= SHORTEST_IN_ANSWERS);
        let further = self.headers.iter().filter(|_| !is_answer);
        let secrets: Vec<&Finder<'_>> = key.chain(further).collect();
        if secrets.is_empty() {
            return reply;
        }
        let body = match without(&reply.body, &secrets) {
            Some(body) => Bytes::from(body),
            None => reply.body,
        };
        WireReply { status: reply.status, headers: clean_headers(reply.headers, &secrets), body }
    }
}

fn clean_headers(mut headers: HeaderMap, secrets: &[&Finder<'_>]) -> HeaderMap {
    for value in headers.values_mut() {
        if let Some(clean) = without(value.as_bytes(), secrets) {
            // What is left of a valid value is valid.
            *value = HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static("***"));
        }
    }
    headers
}

/// `None` where there is nothing to hide.
fn without(text: &[u8], secrets: &[&Finder<'_>]) -> Option<Vec<u8>> {
    let mut clean: Option<Vec<u8>> = None;
    for secret in secrets {
        let text = clean.as_deref().unwrap_or(text);
        if secret.find(text).is_some() {
            clean = Some(replaced(text, secret));
        }
    }
    clean
}

fn replaced(text: &[u8], secret: &Finder<'_>) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in secret.find_iter(text) {
        clean.extend_from_slice(&text[from..at]);
        clean.extend_from_slice(HIDDEN);
        from = at + secret.needle().len();
    }
    clean.extend_from_slice(&text[from..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{HttpVersion, Profile, Timeouts, TokenParam};
    use crate::types::Secret;

    fn clean(key: &str, status: u16, body: &'static str) -> String {
        let redactor = Redactor::new(&ProviderSettings {
            name: "p".to_owned(),
            profile: Profile::default(),
            base_url: "https://p.example/v1".to_owned(),
            api_key: Some(Secret::new(key)),
            headers: vec![
                ("x-team".to_owned(), Secret::new("data")),
                ("x-key".to_owned(), Secret::new("long-enough-0")),
            ],
            timeouts: Timeouts::default(),
            token_param: TokenParam::default(),
            http: HttpVersion::default(),
            connections: None,
            cost_header: None,
        });
        let reply = WireReply { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) };
        String::from_utf8(redactor.clean(reply).body.to_vec()).unwrap()
    }

    #[test]
    fn errors_lose_all_secrets_and_answers_the_key() {
        let (key, said) = ("sk-0123456789abcdef", "sk-0123456789abcdef, long-enough-0; data sk-0123456789abcdef");
        assert_eq!(clean(key, 401, said), "***, ***; data ***");
        assert_eq!(clean(key, 200, said), "***, long-enough-0; data ***");
        assert_eq!(clean(key, 200, "an answer"), "an answer");
    }

    #[test]
    fn an_answer_keeps_the_word_that_a_local_server_takes_for_a_key() {
        assert_eq!(clean("placeholder-1", 200, "a placeholder-1"), "a placeholder-1");
        assert_eq!(clean("placeholder-1", 401, "not placeholder-1"), "not ***");
        assert_eq!(clean("EMPTY", 401, "not EMPTY"), "not EMPTY");
    }
}
