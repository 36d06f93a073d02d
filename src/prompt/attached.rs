//! What stands in messages beside text, for those who count tokens: the bytes of a picture are no text.

use serde_json::Value as Json;

use crate::types::Attached;

/// Counts the parts of these messages that are no text.
pub(super) fn within<'a>(messages: impl IntoIterator<Item = &'a Json>) -> Attached {
    let contents = messages.into_iter().filter_map(|message| message.get("content")?.as_array());
    let mut attached = Attached::default();
    for part in contents.flatten() {
        match part.get("type").and_then(Json::as_str) {
            None | Some("text" | "input_text" | "output_text" | "refusal") => {}
            Some("image_url" | "input_image" | "image") => {
                attached.images += 1;
                attached.image_bytes += bytes(part);
            }
            Some(_) => {
                attached.others += 1;
                attached.other_bytes += bytes(part);
            }
        }
    }
    attached
}

/// The bytes of all texts in a part: an address, or what it holds itself.
fn bytes(part: &Json) -> u64 {
    match part {
        Json::String(text) => text.len() as u64,
        Json::Array(items) => items.iter().map(bytes).sum(),
        Json::Object(fields) => fields.values().map(bytes).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}
