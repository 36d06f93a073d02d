//! The texts of `[tasks.X]` as checked: files are read, line ends are LF.

use std::path::PathBuf;

/// What a task says to its model. All empty: the row itself holds `messages`, or `prompt` (and `system`), or is an OpenAI
/// Batch line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptSettings {
    /// Template of the system message.
    pub system: Option<String>,
    /// Template of the user message.
    pub prompt: Option<String>,
    /// Role and template of each message, instead of `system` and `prompt`.
    pub messages: Vec<(String, String)>,
    /// Templates of paths or addresses of images, for the last user message.
    pub images: Vec<String>,
    /// Where paths of images start.
    pub image_dir: PathBuf,
}
