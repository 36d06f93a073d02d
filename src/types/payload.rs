//! What a request asks, apart from its model and params.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::value::RawValue;

/// The shape of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A list of chat messages.
    Messages,
    /// A text, or what else stands in its place (`prompt` of completions, `input` of embeddings).
    Text,
    /// The `input` of a response, in that endpoint's own words.
    Input,
}

/// What a request asks, as it stands in keys: files are named by their content.
#[derive(Clone, Debug)]
pub struct Payload {
    form: Form,
    json: Arc<RawValue>,
    images: Arc<[ImageFile]>,
    attached: Attached,
}

/// What stands in a payload beside its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Images, in whichever way they are given.
    pub images: u64,
    /// Bytes of the payload that name or hold them.
    pub image_bytes: u64,
    /// Other parts that are no text: sounds, documents.
    pub others: u64,
    /// Bytes of the payload that name or hold those.
    pub other_bytes: u64,
}

/// An image in a file, known by its bytes. They are read when the request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// The hash of its bytes.
    pub hash: [u8; 32],
    /// Its media type, by its content.
    pub media: &'static str,
    /// Its size.
    pub bytes: u64,
}

impl ImageFile {
    /// What stands in the payload in place of the file's bytes.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("overnight-image:{}:{}", self.media, blake3::Hash::from_bytes(self.hash).to_hex())
    }
}

impl Payload {
    /// A payload of this form without attachments.
    #[must_use]
    pub fn new(form: Form, json: impl Into<Arc<RawValue>>) -> Self {
        Self { form, json: json.into(), images: Arc::default(), attached: Attached::default() }
    }

    /// Chat messages without attachments.
    #[must_use]
    pub fn messages(json: impl Into<Arc<RawValue>>) -> Self {
        Self::new(Form::Messages, json)
    }

    /// The same with what stands in it beside text, and the files among that.
    #[must_use]
    pub fn with(self, attached: Attached, images: Vec<ImageFile>) -> Self {
        Self { attached, images: images.into(), ..self }
    }

    /// The same attachments in other messages: those of a conversation that goes on.
    #[must_use]
    pub fn with_messages(&self, json: impl Into<Arc<RawValue>>) -> Self {
        Self { json: json.into(), ..self.clone() }
    }

    /// Its form.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// It as compact JSON.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// The files of its images.
    #[must_use]
    pub fn images(&self) -> &[ImageFile] {
        &self.images
    }

    /// What stands in it beside text.
    #[must_use]
    pub fn attached(&self) -> Attached {
        self.attached
    }

    /// The bytes of its text.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        (self.json.get().len() as u64).saturating_sub(self.attached.image_bytes + self.attached.other_bytes)
    }

    /// The bytes of its files as they are sent.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.images.iter().map(|image| image.bytes.div_ceil(3) * 4).sum()
    }
}
