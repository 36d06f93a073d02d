//! Images that rows name: an address is passed on, a file is known by its bytes, which whoever sends it reads.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Value as Json, json};

use super::error::RenderError;
use super::render::raw;
use crate::types::{Form, ImageFile, Payload};

/// Larger ones are refused by every provider.
const MAX_BYTES: u64 = 20_000_000;
/// So many first bytes tell what sort of image a file holds.
const HEAD: u64 = 12;

/// An image as it stands in a message.
pub(super) enum Image {
    /// `http:`, `https:` or `data:`.
    Url(String),
    File(ImageFile),
}

/// The image that a text names; none where the text is empty. `what`: the text's name. Paths start at `dir`.
pub(super) fn find(what: &str, named: &str, dir: &Path) -> Result<Option<Image>, RenderError> {
    if named.is_empty() {
        return Ok(None);
    }
    let scheme = named.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if scheme.is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https" | "data")) {
        return Ok(Some(Image::Url(named.to_owned())));
    }
    file(what, &dir.join(named)).map(|file| Some(Image::File(file)))
}

fn file(what: &str, path: &Path) -> Result<ImageFile, RenderError> {
    let (what, shown) = (what.to_owned(), path.display().to_string());
    let wrong = |message: String| RenderError::Image { what: what.clone(), path: shown.clone(), message };
    let size = size(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if size > MAX_BYTES {
        return Err(RenderError::ImageTooLarge { what, path: shown, bytes: size });
    }
    let (head, hash) = read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let unknown = || wrong("is no image that models take (PNG, JPEG, GIF, WebP)".to_owned());
    let media = media(&head).ok_or_else(unknown)?;
    Ok(ImageFile { path: path.to_owned(), hash, media, bytes: size })
}

fn size(path: &Path) -> io::Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(io::Error::other("it is no file")) }
}

/// The first bytes, and the hash of all.
fn read(path: &Path) -> io::Result<(Vec<u8>, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head)?;
    let mut hash = blake3::Hasher::new();
    hash.update(&head);
    hash.update_reader(file)?;
    Ok((head, *hash.finalize().as_bytes()))
}

/// By the content, as names lie.
fn media(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("image/webp"),
        _ => None,
    }
}

/// Adds images to the last user message.
pub(super) fn add(payload: Payload, images: Vec<Image>) -> Result<Payload, RenderError> {
    if images.is_empty() {
        return Ok(payload);
    }
    if payload.form() != Form::Messages {
        return Err(RenderError::NoPlaceForImages("the row asks otherwise than in messages"));
    }
    let mut messages: Vec<Json> = serde_json::from_str(payload.json().get()).unwrap_or_default();
    let last = messages.iter_mut().rev().find(|message| message["role"] == "user");
    let last = last.ok_or(RenderError::NoPlaceForImages("there is no user message to add them to"))?;
    let mut parts = match last["content"].take() {
        Json::Array(parts) => parts,
        Json::Null => Vec::new(),
        text => vec![json!({ "type": "text", "text": text })],
    };
    let (mut attached, mut files) = (payload.attached(), Vec::new());
    for image in images {
        let url = match image {
            Image::Url(url) => url,
            Image::File(file) => {
                let reference = file.reference();
                files.push(file);
                reference
            }
        };
        attached.images += 1;
        attached.image_bytes += url.len() as u64;
        parts.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    last["content"] = parts.into();
    Ok(Payload::messages(raw(&messages, "images")?).with(attached, files))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Map;

    use super::*;
    use crate::prompt::{PromptSettings, Rendered, Templates};
    use crate::types::{FailureKind, Row};

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nbytes of a picture";

    fn render(dir: &Path, fields: Json) -> Result<Rendered, RenderError> {
        let settings = PromptSettings {
            prompt: Some("What is this?".to_owned()),
            images: vec!["{{ photo | default('') }}".to_owned(), "{{ other | default('') }}".to_owned()],
            image_dir: dir.to_owned(),
            ..PromptSettings::default()
        };
        let Json::Object(fields) = fields else { panic!("no row") };
        Templates::new(&Map::new()).prompt(&settings).unwrap().render(&Row::new(fields), Form::Messages)
    }

    fn content(rendered: &Rendered) -> Json {
        let messages: Json = serde_json::from_str(rendered.payload.json().get()).unwrap();
        messages[0]["content"].clone()
    }

    #[test]
    fn addresses_are_passed_on_and_an_empty_text_is_no_image() {
        let dir = Path::new("nowhere");
        for url in ["https://e.example/a.png", "HTTP://e.example/a.png", "data:image/png;base64,AA=="] {
            let rendered = render(dir, json!({"photo": format!(" {url}\n")})).unwrap();
            let part = json!({"type": "image_url", "image_url": {"url": url}});
            assert_eq!(content(&rendered), json!([{"type": "text", "text": "What is this?"}, part]));
            assert_eq!(rendered.payload.attached().images, 1);
        }
        assert_eq!(content(&render(dir, json!({})).unwrap()), "What is this?");
    }

    #[test]
    fn files_stand_by_their_bytes_whatever_they_are_called() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jpg"), PNG).unwrap();
        fs::write(dir.path().join("b"), PNG).unwrap();
        let json_of = |fields| render(dir.path(), fields).unwrap().payload.json().get().to_owned();
        let named = json_of(json!({"photo": "a.jpg"}));
        assert!(named.contains("overnight-image:image/png:") && !named.contains("a.jpg"), "{named}");
        assert_eq!(json_of(json!({"photo": "b"})), named);
        let payload = render(dir.path(), json!({"photo": "a.jpg", "other": "b"})).unwrap().payload;
        assert_eq!((payload.images().len(), payload.file_bytes()), (2, 72));
        fs::write(dir.path().join("b"), [PNG, b"!"].concat()).unwrap();
        assert_ne!(json_of(json!({"photo": "b"})), named);
    }

    #[test]
    fn each_sort_is_known_by_its_content() {
        for (head, sort) in [
            (&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"[..], "image/jpeg"),
            (b"GIF89a\x01\0\x01\0\0\0", "image/gif"),
            (b"RIFF\x10\0\0\0WEBP", "image/webp"),
            (PNG, "image/png"),
        ] {
            assert_eq!(media(&head[..head.len().min(12)]), Some(sort));
        }
        assert_eq!(media(b"RIFF\x10\0\0\0WAVE"), None);
        assert_eq!(media(b""), None);
    }

    #[test]
    fn a_file_that_cannot_be_sent_is_told_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "no picture").unwrap();
        let large = File::create(dir.path().join("large.png")).unwrap();
        large.set_len(MAX_BYTES + 1).unwrap();
        let told = |name: &str| {
            let error = render(dir.path(), json!({"photo": name})).unwrap_err();
            let path = dir.path().join(name).display().to_string();
            assert!(error.to_string().starts_with(&format!("images[0]: {path}: ")), "{error}");
            (error.kind(), error.to_string())
        };
        assert!(told("none.png").1.contains("cannot be read: No such file"));
        assert!(told(".").1.contains("it is no file"));
        let (kind, message) = told("a.txt");
        assert!(kind == FailureKind::Template && message.ends_with("(PNG, JPEG, GIF, WebP)"), "{message}");
        assert_eq!(told("large.png").0, FailureKind::TooLarge);
    }

    #[test]
    fn images_go_to_the_last_user_message_and_need_one() {
        let image = || vec![Image::Url("https://e.example/a.png".to_owned())];
        let payload = |messages: Json| Payload::messages(raw(&messages, "messages").unwrap());
        let talk = json!([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"}]);
        let added = add(payload(talk), image()).unwrap();
        let messages: Json = serde_json::from_str(added.json().get()).unwrap();
        assert_eq!(messages[0]["content"], "a");
        assert_eq!(messages[1]["content"][1]["type"], "image_url");
        let alone = add(payload(json!([{"role": "system", "content": "a"}])), image());
        assert!(matches!(alone, Err(RenderError::NoPlaceForImages(_))));
    }
}
