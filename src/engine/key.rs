//! The key: which request a row makes.
//!
//! 128 bits of BLAKE3 over length-prefixed parts. Whatever changes here makes every user pay for every row again: the
//! tests pin the bytes, and a change needs a new version that can still read the old one.

use serde_json::{Map, Value};

use crate::types::{Endpoint, ImageFile, Key, Row, RowHash};

/// Stands before all parts, so that a later scheme cannot meet this one by chance.
const VERSION: &[u8] = b"overnight key 1";

/// What a row with a request is known by.
#[derive(Clone, Copy)]
pub(super) struct RequestParts<'a> {
    /// Canonical JSON of the row's own id.
    pub id: Option<&'a [u8]>,
    /// Where the first choice is asked.
    pub endpoint: Endpoint,
    /// What is asked there, as compact JSON: of chat, the messages.
    pub payload: &'a str,
    /// Canonical JSON of the params.
    pub params: &'a [u8],
    /// The wire name of the route's first choice.
    pub model: &'a str,
    /// Canonical JSON of the rules that its answer is held against.
    pub answer: Option<&'a [u8]>,
}

/// The key of a row that makes a request.
pub(super) fn request_key(parts: &RequestParts<'_>) -> Key {
    let mut hash = Parts::new(b"request");
    hash.optional(parts.id);
    hash.part(parts.endpoint.name().as_bytes());
    hash.part(parts.payload.as_bytes());
    hash.part(parts.params);
    hash.part(parts.model.as_bytes());
    if let Some(answer) = parts.answer {
        hash.part(b"answer");
        hash.part(answer);
    }
    hash.key()
}

/// The key of a row that cannot be parsed or rendered: its bytes, and what was to be made of them.
pub(super) fn broken_row_key(raw: &[u8], template: &[u8]) -> Key {
    let mut hash = Parts::new(b"broken row");
    hash.part(raw);
    hash.part(template);
    hash.key()
}

/// 16 hex digits that stand for a row without an id of its own.
pub(super) fn content_id(raw: &[u8]) -> String {
    blake3::hash(raw).to_hex()[..16].to_owned()
}

/// 64 bits of a row's bytes, or of its id as canonical JSON.
pub(super) fn row_hash(bytes: &[u8]) -> RowHash {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    RowHash(u64::from_be_bytes(first))
}

/// 64 bits of a row's values in these columns, and of the files that go with it. Null is missing, as in templates.
pub(super) fn used_hash(columns: &[String], row: &Row, files: &[ImageFile]) -> RowHash {
    let mut hash = Parts::new(b"used values");
    for column in columns {
        hash.part(column.as_bytes());
        match row.get(column) {
            None => hash.part(b"none"),
            Some(Value::String(text)) => {
                hash.part(b"text");
                hash.part(text.as_bytes());
            }
            Some(value) => {
                hash.part(b"json");
                hash.part(&canonical_json(value));
            }
        }
    }
    hash.row_hash(files)
}

/// The same where all of a row's bytes count, of which this is the hash.
pub(super) fn whole_row_hash(row: RowHash, files: &[ImageFile]) -> RowHash {
    if files.is_empty() {
        return row;
    }
    let mut hash = Parts::new(b"used row");
    hash.part(&row.0.to_be_bytes());
    hash.row_hash(files)
}

/// 128 bits of any parts, for identities that are not keys.
pub(super) fn identity(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Parts::new(b"identity");
    for part in parts {
        hash.part(part);
    }
    hash.key().0
}

/// JSON with sorted keys and no blanks: equal values, equal bytes.
pub(super) fn canonical_json(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string().into_bytes()
}

/// As [`canonical_json`], for an object.
pub(super) fn canonical_object(map: &Map<String, Value>) -> Vec<u8> {
    canonical_json(&Value::Object(map.clone()))
}

struct Parts(blake3::Hasher);

impl Parts {
    fn new(purpose: &[u8]) -> Self {
        let mut parts = Self(blake3::Hasher::new());
        parts.part(VERSION);
        parts.part(purpose);
        parts
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// 64 bits of the parts and these files.
    fn row_hash(mut self, files: &[ImageFile]) -> RowHash {
        for file in files {
            self.part(&file.hash);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&self.key().0[..8]);
        RowHash(u64::from_be_bytes(first))
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.part(b"none"),
            Some(bytes) => {
                self.part(b"some");
                self.part(bytes);
            }
        }
    }

    fn key(&self) -> Key {
        let mut first = [0; 16];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        Key(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts<'a>(id: Option<&'a [u8]>, payload: &'a str) -> RequestParts<'a> {
        let endpoint = Endpoint::Chat;
        RequestParts { id, endpoint, payload, params: b"{\"temperature\":0}", model: "qwen-plus", answer: None }
    }

    #[test]
    fn keys_are_pinned() {
        let messages = r#"[{"role":"user","content":"hi"}]"#;
        insta::assert_snapshot!(request_key(&parts(Some(br#""r17""#), messages)), @"f82dd2ff7dfe63d21be536e852c05b0e");
        insta::assert_snapshot!(request_key(&parts(None, messages)), @"3abe6217fa81f5a0f77862e228ce911f");
        let vector = RequestParts { endpoint: Endpoint::Embeddings, ..parts(None, r#""hi""#) };
        insta::assert_snapshot!(request_key(&vector), @"87245de8bbdeabb7318449bb9a6d9021");
        let ruled = RequestParts { answer: Some(br#"{"one_of":["a"]}"#), ..parts(None, messages) };
        insta::assert_snapshot!(request_key(&ruled), @"79c5a5a7f8c82e7f83420d4472a7cf8c");
        insta::assert_snapshot!(broken_row_key(b"{oops", b"Tag {{ x }}"), @"2490e8b398400c2647ae263847bb7f22");
        insta::assert_snapshot!(content_id(b"{\"a\":1}"), @"d59b6562d7c9b121");
    }

    #[test]
    fn used_values_are_those_of_the_columns_named() {
        let hash = |columns: &[&str], row: Value| {
            let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
            used_hash(&columns, &Row::new(row.as_object().unwrap().clone()), &[])
        };
        let pinned = hash(&["a", "b"], json!({"a": "x", "b": {"q": 1, "p": [2]}, "c": 3}));
        insta::assert_snapshot!(format!("{:016x}", pinned.0), @"be898c3a7f786c3d");
        assert_eq!(pinned, hash(&["a", "b"], json!({"b": {"p": [2], "q": 1}, "a": "x", "c": "other"})));
        assert_ne!(pinned, hash(&["a", "b"], json!({"a": "x", "b": {"q": 1, "p": [3]}})));
        assert_eq!(hash(&["a"], json!({"a": null})), hash(&["a"], json!({})));
        assert_ne!(hash(&["a"], json!({"a": "1"})), hash(&["a"], json!({"a": 1})));
        assert_ne!(hash(&["a", "b"], json!({"a": "1"})), hash(&["a", "b"], json!({"b": "1"})));
    }

    #[test]
    fn each_part_makes_a_difference() {
        let keys = [
            request_key(&parts(None, "[]")),
            request_key(&parts(Some(br#""1""#), "[]")),
            request_key(&parts(Some(b"1"), "[]")),
            request_key(&parts(None, "[1]")),
            request_key(&RequestParts { params: b"{}", ..parts(None, "[]") }),
            request_key(&RequestParts { model: "gpt", ..parts(None, "[]") }),
            request_key(&RequestParts { endpoint: Endpoint::Embeddings, ..parts(None, "[]") }),
            request_key(&RequestParts { answer: Some(b"{}"), ..parts(None, "[]") }),
            request_key(&RequestParts { answer: Some(b"{\"max_chars\":3}"), ..parts(None, "[]") }),
            broken_row_key(b"[]", b""),
            broken_row_key(b"", b"[]"),
        ];
        let distinct: std::collections::BTreeSet<Key> = keys.into_iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn params_are_the_same_in_any_order() {
        let one = json!({"b": {"y": 1, "x": [2, {"q": 1, "p": 2}]}, "a": null});
        let other = json!({"a": null, "b": {"x": [2, {"p": 2, "q": 1}], "y": 1}});
        assert_eq!(canonical_json(&one), canonical_json(&other));
        assert_eq!(canonical_json(&one), br#"{"a":null,"b":{"x":[2,{"p":2,"q":1}],"y":1}}"#);
    }
}
