//! Errors in OpenAI's words and shape.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use crate::types::WireReply;

/// What an API says when it does not answer.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: u16,
    message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
    /// When to come back.
    wait: Option<Duration>,
    hint: Hint,
}

/// How an error tells when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// In its text and both headers, as OpenAI does.
    Millis,
    /// In its text, and in whole seconds in a header.
    Seconds,
    /// Not at all.
    Untold,
}

const INVALID: &str = "invalid_request_error";

impl ApiError {
    fn new(status: u16, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, param: None, code, wait: None, hint: Hint::Millis }
    }

    pub(super) fn unknown_path(method: &str, path: &str) -> Self {
        Self::new(404, INVALID, None, format!("Invalid URL ({method} {path})"))
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, INVALID, None, "The request body is too large.")
    }

    pub(super) fn no_key() -> Self {
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                       Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        Self::new(401, INVALID, None, message)
    }

    pub(super) fn bad_key() -> Self {
        let message = "Incorrect API key provided: sk-sim-***. You can find your API key at \
                       https://platform.openai.com/account/api-keys.";
        Self::new(401, INVALID, Some("invalid_api_key"), message)
    }

    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::new(400, INVALID, None, format!("The request is not valid: {error}"));
        }
        let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
                       HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid \
                       JSON.)";
        Self::new(400, INVALID, None, message)
    }

    pub(super) fn context_length(limit: u64, tokens: u64) -> Self {
        let message = format!(
            "This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. \
             Please reduce the length of the messages."
        );
        let error = Self::new(400, INVALID, Some("context_length_exceeded"), message);
        Self { param: Some("messages"), ..error }
    }

    pub(super) fn no_response_format(model: &str) -> Self {
        let message = format!("Invalid parameter: 'response_format' is not supported with the model `{model}`.");
        Self { param: Some("response_format"), ..Self::new(400, INVALID, None, message) }
    }

    pub(super) fn insufficient_quota() -> Self {
        let message = "You exceeded your current quota, please check your plan and billing details. For more information \
                       on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.";
        Self::new(429, "insufficient_quota", Some("insufficient_quota"), message)
    }

    /// `what` is OpenAI's phrase: "Rate limit reached for sim in organization org-sim on ...". `kind`: requests or tokens.
    pub(super) fn rate_limit(kind: &'static str, what: &str, wait: Duration) -> Self {
        Self { wait: Some(wait), ..Self::new(429, kind, Some("rate_limit_exceeded"), what) }
    }

    /// The same error, with its hint told in this way.
    pub(super) fn telling(self, hint: Hint) -> Self {
        Self { hint, ..self }
    }

    /// The same error, which says when to come back.
    pub(super) fn after(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn daily_quota(model: &str, wait: Duration) -> Self {
        let what = format!("Rate limit reached for {model} in organization org-sim on requests per day (RPD)");
        Self::rate_limit("requests", &what, wait)
    }

    pub(super) fn model_not_found(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self::new(404, INVALID, Some("model_not_found"), message)
    }

    /// A call that waiting would not help.
    pub(super) fn too_large_for_limit(model: &str, unit: &str, limit: u64, tokens: u64) -> Self {
        let message = format!(
            "Request too large for {model} in organization org-sim on {unit}: Limit {limit}, Requested \
             {tokens}. The input or output tokens must be reduced in order to run successfully. Visit \
             https://platform.openai.com/account/rate-limits to learn more."
        );
        Self::new(429, "tokens", Some("rate_limit_exceeded"), message)
    }

    pub(super) fn too_many_at_once(model: &str, limit: u64) -> Self {
        let message = format!("Rate limit reached for {model}: at most {limit} requests at once are allowed.");
        Self::new(429, "requests", Some("rate_limit_exceeded"), message)
    }

    pub(super) fn server_error() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::new(500, "server_error", None, message)
    }

    pub(super) fn overloaded() -> Self {
        let message = "That model is currently overloaded with other requests. You can retry your request.";
        Self::new(503, "server_error", None, message)
    }

    /// What a model that always fails says.
    pub(super) fn of_status(status: u16, model: &str) -> Self {
        match status {
            401 => Self::bad_key(),
            402 => Self { status, ..Self::insufficient_quota() },
            403 => Self::new(403, INVALID, None, format!("You are not allowed to use the model `{model}`.")),
            404 => Self::model_not_found(model),
            413 => Self::too_large(),
            429 => {
                let message = format!("Rate limit reached for {model} in organization org-sim.");
                Self::new(429, "requests", Some("rate_limit_exceeded"), message)
            }
            503 => Self::overloaded(),
            500.. => Self { status, ..Self::server_error() },
            _ => Self::new(status, INVALID, None, format!("The model `{model}` refuses every request.")),
        }
    }

    /// The reply. A hint when to come back stands in the text and in the headers.
    pub(super) fn reply(&self) -> WireReply {
        let message = self.text();
        let error = Shape { message: &message, r#type: self.kind, param: self.param, code: self.code };
        let mut reply = json_reply(self.status, serde_json::to_vec(&Body { error }).unwrap_or_default());
        if let Some(wait) = self.wait
            && self.hint != Hint::Untold
        {
            reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(millis(wait).div_ceil(1000)));
            if self.hint == Hint::Millis {
                reply.headers.insert("retry-after-ms", HeaderValue::from(millis(wait)));
            }
        }
        reply
    }

    fn text(&self) -> Cow<'_, str> {
        let Some(wait) = self.wait else { return Cow::Borrowed(&self.message) };
        let again = match self.hint {
            Hint::Millis | Hint::Seconds => format!(" Please try again in {}.", go_time(wait)),
            Hint::Untold => String::new(),
        };
        let more = "Visit https://platform.openai.com/account/rate-limits to learn more.";
        Cow::Owned(format!("{}.{again} {more}", self.message))
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Shape<'a>,
}

#[derive(Serialize)]
struct Shape<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

/// A reply with a JSON body.
pub(super) fn json_reply(status: u16, body: Vec<u8>) -> WireReply {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    WireReply { status, headers, body: Bytes::from(body) }
}

/// What a gateway says when the server behind it is gone.
pub(super) fn html_reply() -> WireReply {
    let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\
                \r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    WireReply { status: 502, headers, body: Bytes::from_static(body.as_bytes()) }
}

/// 200 with an error inside, as some gateways report an upstream that failed.
pub(super) fn error_in_200() -> WireReply {
    let body = r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"provider_name":"sim"}}}"#;
    json_reply(200, body.as_bytes().to_vec())
}

/// Whole milliseconds, rounded up, so that whoever waits so long has waited long enough.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A time as OpenAI prints it: `15ms`, `1.378s`, `6m0s`.
pub(super) fn go_time(time: Duration) -> String {
    let ms = millis(time);
    let (seconds, rest) = (ms / 1000, ms % 1000);
    if seconds == 0 {
        return format!("{rest}ms");
    }
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    if seconds < 60 { format!("{seconds}{fraction}s") } else { format!("{}m{}{fraction}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_openai_prints_them() {
        let printed = |nanos| go_time(Duration::from_nanos(nanos));
        assert_eq!(printed(0), "0ms");
        assert_eq!(printed(14_000_001), "15ms");
        assert_eq!(printed(1_378_000_000), "1.378s");
        assert_eq!(printed(20_000_000_000), "20s");
        assert_eq!(printed(360_000_000_000), "6m0s");
        assert_eq!(printed(61_500_000_000), "1m1.5s");
    }

    #[test]
    fn every_status_of_a_failing_model_is_kept() {
        for status in 400..600 {
            assert_eq!(ApiError::of_status(status, "m").reply().status, status);
        }
    }

    #[test]
    fn a_hint_stands_in_text_and_headers() {
        let reply = ApiError::rate_limit("tokens", "Rate limit reached", Duration::from_millis(1378)).reply();
        assert_eq!(reply.headers["retry-after"], "2");
        assert_eq!(reply.headers["retry-after-ms"], "1378");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains("Please try again in 1.378s."));
        assert_eq!(body["error"]["type"], "tokens");
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }

    #[test]
    fn a_hint_can_be_told_in_seconds_or_not_at_all() {
        let error = || ApiError::rate_limit("tokens", "Rate limit reached", Duration::from_millis(1378));
        let seconds = error().telling(Hint::Seconds).reply();
        assert_eq!(
            (&seconds.headers["retry-after"], seconds.headers.get("retry-after-ms")),
            (&"2".parse().unwrap(), None)
        );
        let untold = error().telling(Hint::Untold).reply();
        assert!(!untold.headers.contains_key("retry-after") && !untold.headers.contains_key("retry-after-ms"));
        let body: serde_json::Value = serde_json::from_slice(&untold.body).unwrap();
        let message = "Rate limit reached. Visit https://platform.openai.com/account/rate-limits to learn more.";
        assert_eq!(body["error"]["message"], message);
    }
}
