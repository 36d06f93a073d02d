//! Embeddings: lists of numbers, or their bytes as base64 text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::Error;
use serde_json::value::{RawValue, to_raw_value};

use super::{ReplyError, ReplyView, WireUsage, Word, no_error, told};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Box<RawValue>>,
    #[serde(default)]
    data: Option<Vec<Item>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    model: Option<Word>,
    #[serde(default)]
    service_tier: Option<Word>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: usize,
    embedding: Box<RawValue>,
}

/// Of several inputs in one request the vectors stand in a list, in the order of the inputs.
pub(super) fn read(body: &[u8]) -> Result<ReplyView, ReplyError> {
    let body: Body = super::parse(body)?;
    no_error(body.error)?;
    let mut items = body.data.unwrap_or_default();
    items.sort_by_key(|item| item.index);
    let mut vectors = items.into_iter().map(|item| numbers(item.embedding)).collect::<Result<Vec<_>, _>>()?;
    let embedding = match vectors.len() {
        0 => return Err(ReplyError::Nothing("data")),
        1 => vectors.pop(),
        _ => Some(to_raw_value(&vectors)?),
    };
    let (usage, billing) = told(body.usage, body.model, body.service_tier);
    Ok(ReplyView { embedding: embedding.filter(|vector| vector.get() != "[]"), usage, billing, ..ReplyView::default() })
}

/// A list as received; from base64 the numbers that it stands for.
fn numbers(embedding: Box<RawValue>) -> Result<Box<RawValue>, serde_json::Error> {
    match embedding.get().as_bytes().first() {
        Some(b'"') => {
            let bytes = STANDARD.decode(serde_json::from_str::<String>(embedding.get())?);
            let bytes = bytes.map_err(|error| serde_json::Error::custom(format!("embedding: {error}")))?;
            let (numbers, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(serde_json::Error::custom("embedding: its bytes are no whole numbers of 32 bits"));
            }
            to_raw_value(&numbers.iter().map(|number| f32::from_le_bytes(*number)).collect::<Vec<_>>())
        }
        Some(b'[') => Ok(embedding),
        _ => Err(serde_json::Error::custom("embedding: neither a list nor base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(data: &str) -> String {
        let usage = r#""usage":{"prompt_tokens":8,"total_tokens":8}"#;
        format!(r#"{{"object":"list","data":{data},"model":"text-embedding-3-small",{usage}}}"#)
    }

    fn embedding(data: &str) -> Option<String> {
        read(body(data).as_bytes()).unwrap().embedding.map(|vector| vector.get().to_owned())
    }

    #[test]
    fn reads_a_vector_as_received_and_its_tokens() {
        let data = r#"[{"object":"embedding","embedding":[0.0023064255,-0.009327292,-1e-05],"index":0}]"#;
        assert_eq!(embedding(data).as_deref(), Some("[0.0023064255,-0.009327292,-1e-05]"));
        let usage = read(body(data).as_bytes()).unwrap().usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (8, 0));
    }

    #[test]
    fn base64_becomes_numbers_and_several_vectors_a_list() {
        // 0.5 and -2.0 as 32 bits each, the low byte first.
        assert_eq!(embedding(r#"[{"embedding":"AAAAPwAAAMA=","index":0}]"#).as_deref(), Some("[0.5,-2.0]"));
        let two = r#"[{"embedding":[2],"index":1},{"embedding":[1],"index":0}]"#;
        assert_eq!(embedding(two).as_deref(), Some("[[1],[2]]"));
    }

    #[test]
    fn tells_apart_what_is_no_vector() {
        assert!(matches!(read(body("[]").as_bytes()), Err(ReplyError::Nothing("data"))));
        assert!(matches!(read(br#"{"choices":[]}"#), Err(ReplyError::Nothing("data"))));
        assert!(matches!(read(br#"{"error":{"code":429}}"#), Err(ReplyError::Error(_))));
        for wrong in ["\"AAA=\"", "\"?\"", "null", "{}"] {
            let data = format!(r#"[{{"embedding":{wrong},"index":0}}]"#);
            assert!(matches!(read(body(&data).as_bytes()), Err(ReplyError::Malformed(_))), "{wrong}");
        }
        assert_eq!(embedding(r#"[{"embedding":[],"index":0}]"#), None);
    }
}
