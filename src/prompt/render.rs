//! The messages of a row.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Environment;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value as Json};

use super::columns::{self, Columns};
use super::context::{Reads, RowContext};
use super::engine;
use super::error::{RenderError, TemplateError};
use super::expr::Expr;
use super::images;
use super::lookups;
use super::settings::PromptSettings;
use super::shapes;
use crate::types::{Endpoint, Form, Payload, Row};

/// Compiles the templates and expressions of one job.
#[derive(Clone, Debug)]
pub struct Templates {
    vars: Arc<Map<String, Json>>,
}

impl Templates {
    /// Templates that know these `[vars]`.
    #[must_use]
    pub fn new(vars: &Map<String, Json>) -> Self {
        Self { vars: Arc::new(vars.clone()) }
    }

    /// Compiles the texts of a task.
    ///
    /// # Errors
    /// Where a text is no template, or calls a filter, test or function that does not exist.
    pub fn prompt(&self, settings: &PromptSettings) -> Result<Prompt, TemplateError> {
        let mut prompt = Prompt {
            environment: engine::environment(),
            system: None,
            texts: Vec::new(),
            images: Vec::new(),
            image_dir: settings.image_dir.clone(),
            vars: Arc::clone(&self.vars),
            reads: Reads::default(),
            columns: Columns::default(),
            required_by: Vec::new(),
        };
        if let Some(source) = &settings.system {
            prompt.system = Some(prompt.compile("system", "system".to_owned(), source)?);
        }
        for (index, (role, source)) in settings.messages.iter().enumerate() {
            let text = prompt.compile(role, format!("messages[{index}]"), source)?;
            prompt.texts.push(text);
        }
        if let Some(source) = &settings.prompt {
            let text = prompt.compile("user", "prompt".to_owned(), source)?;
            prompt.texts.push(text);
        }
        for (index, source) in settings.images.iter().enumerate() {
            let image = prompt.compile("user", format!("images[{index}]"), source)?;
            prompt.images.push(image);
        }
        Ok(prompt)
    }

    /// Compiles what reads a value out of a row: a column's name or a template expression.
    ///
    /// # Errors
    /// Where it can be neither.
    pub fn expr(&self, source: &str) -> Result<Expr, TemplateError> {
        Expr::new(source, Arc::clone(&self.vars))
    }
}

/// What a row is sent as.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// What is asked.
    pub payload: Payload,
    /// The row's own parameters: those of an OpenAI Batch line's body.
    pub params: Map<String, Json>,
    /// The model that an OpenAI Batch line's body names.
    pub model: Option<String>,
    /// The endpoint that an OpenAI Batch line's `url` names.
    pub endpoint: Option<Endpoint>,
}

impl Rendered {
    /// A payload without parameters, model or endpoint of its own.
    pub(super) fn of(payload: Payload) -> Self {
        Self { payload, params: Map::new(), model: None, endpoint: None }
    }
}

/// The compiled texts of a task.
pub struct Prompt {
    environment: Environment<'static>,
    system: Option<Text>,
    texts: Vec<Text>,
    images: Vec<Text>,
    image_dir: PathBuf,
    vars: Arc<Map<String, Json>>,
    reads: Reads,
    pub(super) columns: Columns,
    /// The columns that each text must have, by its name.
    required_by: Vec<(String, BTreeSet<String>)>,
}

/// One message of the task.
struct Text {
    role: String,
    /// Its name in errors, and in the environment.
    name: String,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Prompt {
    fn compile(&mut self, role: &str, name: String, source: &str) -> Result<Text, TemplateError> {
        let told = |error: minijinja::Error| engine::template_error(&name, source, &error);
        self.environment.add_template_owned(name.clone(), source.to_owned()).map_err(told)?;
        let template = self.environment.get_template(&name).map_err(told)?;
        let variables = template.undeclared_variables(false);
        let render = |context| template.render(context).map(drop);
        let columns = columns::probe(&variables, &self.vars, render).map_err(told)?;
        self.required_by.push((name.clone(), columns.required.clone()));
        self.columns.extend(columns);
        if variables.contains("row") {
            match lookups::in_row(source) {
                Some(columns) => self.columns.used.extend(columns),
                None => self.columns.any = true,
            }
        }
        self.reads.add(source, &variables);
        Ok(Text { role: role.to_owned(), name })
    }

    /// The columns without which no row can be rendered, `row["X"]` included: not the ones that the templates provide for
    /// with `default` or `is defined`. Empty where the row holds its own messages.
    #[must_use]
    pub fn required_columns(&self) -> BTreeSet<String> {
        self.columns.required.clone()
    }

    /// The first text that no row can be rendered for without this column, by its key in the task's table.
    #[must_use]
    pub fn text_with(&self, column: &str) -> Option<&str> {
        let text = self.required_by.iter().find(|(_, required)| required.contains(column));
        text.map(|(name, _)| name.as_str())
    }

    /// All columns that what some row asks may be made of; `None`: any that a row has.
    #[must_use]
    pub fn used_columns(&self) -> Option<BTreeSet<String>> {
        if self.columns.any {
            return None;
        }
        let own = if self.texts.is_empty() { &shapes::COLUMNS[..] } else { &[] };
        Some(self.columns.used.iter().cloned().chain(own.iter().map(|name| (*name).to_owned())).collect())
    }

    /// Makes what a row asks, in this form.
    ///
    /// A system text that is blank for the row is left out. Without a prompt in the task, the row's own shape counts:
    /// `messages` before an OpenAI Batch line before `prompt`.
    ///
    /// # Errors
    /// Where the row lacks a column that is needed, a user message is blank, there is no prompt at all, or one that does not
    /// have this form.
    pub fn render(&self, row: &Row, form: Form) -> Result<Rendered, RenderError> {
        let context = RowContext::new(row, &self.reads, &self.vars);
        let rendered = self.asked(row, &context, form)?;
        if self.images.is_empty() {
            return Ok(rendered);
        }
        let mut found = Vec::new();
        for image in &self.images {
            found.extend(images::find(&image.name, self.text(image, &context, row)?.trim(), &self.image_dir)?);
        }
        Ok(Rendered { payload: images::add(rendered.payload, found)?, ..rendered })
    }

    /// Whether what is asked depends on files beside the row.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        !self.images.is_empty()
    }

    fn asked(&self, row: &Row, context: &RowContext, form: Form) -> Result<Rendered, RenderError> {
        let system = match &self.system {
            Some(text) => Some(self.text(text, context, row)?).filter(|text| !text.trim().is_empty()),
            None => None,
        };
        if self.texts.is_empty() {
            return shapes::render(row, system.as_deref(), form);
        }
        let mut contents = Vec::with_capacity(self.texts.len());
        for text in &self.texts {
            let rendered = self.text(text, context, row)?;
            if text.role == "user" && rendered.trim().is_empty() {
                return Err(RenderError::Empty { what: text.name.clone() });
            }
            contents.push(rendered);
        }
        if form == Form::Text {
            return text_alone(&contents.concat(), "prompt");
        }
        let system = system.as_deref().map(|content| Message { role: "system", content });
        let texts = self.texts.iter().zip(&contents);
        let texts = texts.map(|(text, content)| Message { role: &text.role, content });
        plain(&system.into_iter().chain(texts).collect::<Vec<_>>())
    }

    fn text(&self, text: &Text, context: &RowContext, row: &Row) -> Result<String, RenderError> {
        let rendered = self.environment.get_template(&text.name).and_then(|template| template.render(context.value()));
        rendered.map_err(|error| context.error(&text.name, &error, row))
    }
}

/// Messages without parameters or a model of their own.
fn plain<M: Serialize>(messages: &[M]) -> Result<Rendered, RenderError> {
    Ok(Rendered::of(Payload::messages(raw(messages, "prompt")?)))
}

/// A text for endpoints that know no messages.
pub(super) fn text_alone(text: &str, column: &str) -> Result<Rendered, RenderError> {
    Ok(Rendered::of(Payload::new(Form::Text, raw(text, column)?)))
}

/// The messages of a prompt without templates.
pub(super) fn plain_prompt(system: Option<&str>, prompt: &str) -> Result<Rendered, RenderError> {
    let system = system.map(|content| Message { role: "system", content });
    let user = Message { role: "user", content: prompt };
    plain(&system.into_iter().chain([user]).collect::<Vec<_>>())
}

pub(super) fn raw<V: Serialize + ?Sized>(value: &V, column: &str) -> Result<Box<RawValue>, RenderError> {
    to_raw_value(value)
        .map_err(|error| RenderError::BadMessages { column: column.to_owned(), message: error.to_string() })
}
