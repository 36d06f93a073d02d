//! Puts the bytes of image files where a request names them.
//!
//! Until then a row holds their hashes alone: bytes are read for calls that go out, not for rows that wait.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::types::{Failure, FailureKind, ImageFile};

/// The body with these files as `data:` addresses.
///
/// # Errors
/// Where a file cannot be read any more, or is not the one that the row was known by.
pub(super) async fn inline(mut body: Vec<u8>, images: &[ImageFile]) -> Result<Vec<u8>, Failure> {
    for image in images {
        let reference = format!("\"{}\"", image.reference());
        if memmem::find(&body, reference.as_bytes()).is_none() {
            // The same image stood there before.
            continue;
        }
        let wrong = |what: String| Failure::new(FailureKind::Template, format!("{}: {what}", image.path.display()));
        let bytes = tokio::fs::read(&image.path).await;
        let bytes = bytes.map_err(|error| wrong(format!("cannot be read any more: {error}")))?;
        if *blake3::hash(&bytes).as_bytes() != image.hash {
            return Err(wrong("the image has changed since its row was read: the next run sends it anew".to_owned()));
        }
        let mut url = format!("\"data:{};base64,", image.media);
        STANDARD.encode_string(&bytes, &mut url);
        url.push('"');
        body = replaced(&body, reference.as_bytes(), url.as_bytes());
    }
    Ok(body)
}

fn replaced(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len() + new.len());
    let mut from = 0;
    for at in memmem::find_iter(body, old) {
        whole.extend_from_slice(&body[from..at]);
        whole.extend_from_slice(new);
        from = at + old.len();
    }
    whole.extend_from_slice(&body[from..]);
    whole
}
