//! The job, made ready to work on rows: templates compiled, routes and params laid out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::RunError;
use super::asking::Asking;
use super::key::{canonical_json, canonical_object, identity};
use crate::job::{Job, JobError};
use crate::prompt::{Expr, Prompt, PromptSettings, Templates};
use crate::source::Input;

/// One model of a task's route.
pub(super) struct Choice {
    /// Its index among the plan's models, and so among the upstreams.
    pub upstream: usize,
    /// The model's params under the task's.
    pub params: Arc<Map<String, Value>>,
    /// Their canonical JSON, for keys.
    canonical: Vec<u8>,
    /// How it is asked for the task's answer.
    pub asking: Arc<Asking>,
}

impl Choice {
    fn new(upstream: usize, params: Map<String, Value>, asking: Asking) -> Self {
        let canonical = canonical_object(&params);
        Self { upstream, canonical, params: Arc::new(params), asking: Arc::new(asking) }
    }

    /// Canonical JSON of the params under a row's own.
    pub fn params_key(&self, own: &Map<String, Value>) -> Cow<'_, [u8]> {
        if own.is_empty() {
            return Cow::Borrowed(&self.canonical);
        }
        let mut params = (*self.params).clone();
        params.extend(own.clone());
        Cow::Owned(canonical_object(&params))
    }
}

/// A task, ready to render rows.
pub(super) struct ReadyTask {
    pub name: Arc<str>,
    pub prompt: Prompt,
    pub route: Vec<Choice>,
    /// Every model of the plan with this task's params, in its order, for rows that name one; empty where rows may not.
    pub overrides: Vec<Choice>,
    /// The columns that a row's request may be made of, sorted; `None`: any that it has.
    pub used: Option<Vec<String>>,
    /// Canonical JSON of the rules for its answers, for keys.
    pub answer_key: Option<Vec<u8>>,
    /// The templates' texts, for the keys of rows that they cannot render.
    pub template_text: Vec<u8>,
}

/// The job, ready to work on rows.
pub(super) struct Plan {
    pub job: Job,
    pub tasks: Vec<ReadyTask>,
    /// The job's models that some route uses, by their index there.
    pub models: Vec<usize>,
    pub task_type: Expr,
    pub id: Option<Expr>,
    pub filter: Option<Expr>,
    /// Where rows ask what stands in files beside them: they are never matched by number, as a row stays what it is when such
    /// a file changes. A number of this process, which no order on disk has.
    unmatched: Option<u64>,
    /// The job whose keys rows have, where it is not this one: a retry may ask otherwise than the job as written.
    pub keyed_by: Option<Box<Self>>,
    /// Where it is one of the plans of a comparison.
    pub compared: Option<Compared>,
}

/// One of the plans of a comparison. All of them have the job's tasks once for each model, so that one run asks them all;
/// this one reads rows for one model.
pub(super) struct Compared {
    /// The job with its tasks once.
    pub job: Box<Job>,
    /// Where the tasks of this plan's model begin.
    pub first_task: usize,
}

impl ReadyTask {
    /// The models to ask, in order: the one that the row names, then the task's.
    pub fn choices(&self, own: Option<usize>) -> impl Iterator<Item = &Choice> {
        let of_task = self.route.iter().filter(move |choice| Some(choice.upstream) != own);
        own.map(|model| &self.overrides[model]).into_iter().chain(of_task)
    }

    /// Every model that some row of the task may ask.
    pub fn all_choices(&self) -> impl Iterator<Item = &Choice> {
        self.route.iter().chain(&self.overrides)
    }
}

impl Plan {
    /// Compiles all that the job says in templates and expressions.
    pub fn new(job: Job) -> Result<Self, RunError> {
        let templates = Templates::new(&job.vars);
        let mut problems = Vec::new();
        let mut compiled = Vec::new();
        for task in &job.tasks {
            match templates.prompt(&task.prompt) {
                Ok(prompt) => compiled.push(prompt),
                Err(error) => problems.push(job.problem(&format!("tasks.{}", task.name), error.to_string())),
            }
        }
        let mut expr = |key: &str, source: &str| {
            templates.expr(source).map_err(|error| problems.push(job.problem(key, error.to_string()))).ok()
        };
        let task_type = expr("input.task", &job.task);
        let id = job.id.as_deref().map(|source| expr("input.id", source));
        let filter = job.filter.as_deref().map(|source| expr("input.where", source));
        let (Some(task_type), true) = (task_type, problems.is_empty()) else {
            return Err(RunError::Job(JobError { problems }));
        };
        let models = used_models(&job);
        let tasks: Vec<ReadyTask> =
            job.tasks.iter().zip(compiled).map(|(task, prompt)| ready_task(&job, &models, task, prompt)).collect();
        let unmatched = tasks.iter().any(|task| task.prompt.reads_files()).then(|| fastrand::u64(..));
        Ok(Self {
            tasks,
            models,
            task_type,
            id: id.flatten(),
            filter: filter.flatten(),
            unmatched,
            keyed_by: None,
            compared: None,
            job,
        })
    }

    /// The job's model that an upstream stands for.
    pub fn model(&self, upstream: usize) -> &crate::job::Model {
        &self.job.models[self.models[upstream]]
    }

    /// The task of a row of this type; `None`: no route.
    pub fn task_for(&self, task_type: Option<&str>) -> Option<usize> {
        match &self.compared {
            None => self.job.task_for(task_type),
            Some(Compared { job, first_task }) => Some(job.task_for(task_type)? + first_task),
        }
    }

    /// The upstream of the model with this alias or full name.
    pub fn model_named(&self, name: &str) -> Option<usize> {
        let model = self.job.model_for(name)?;
        self.models.iter().position(|used| *used == model)
    }

    /// What decides which row makes which request: while it stays, rows are matched by their number.
    pub fn identity(&self, input: &Input) -> [u8; 16] {
        self.identity_with(&input.fingerprint())
    }

    /// The same with an input of this fingerprint.
    pub fn identity_with(&self, input: &[u8]) -> [u8; 16] {
        let job = self.keyed_by.as_ref().map_or(&self.job, |plan| &plan.job).identity();
        match self.unmatched {
            None => identity(&[input, &job]),
            Some(number) => identity(&[input, &job, &number.to_le_bytes()]),
        }
    }

    /// Whether rows may be matched by their number at all.
    pub fn is_matched_by_number(&self) -> bool {
        self.unmatched.is_none()
    }
}

/// It stands in keys: its form is that of the first version, and what that did not know comes behind it where it is used.
fn template_text(task: &crate::job::Task) -> Vec<u8> {
    let PromptSettings { system, prompt, messages, images, image_dir: _ } = &task.prompt;
    let asked = format!("PromptSettings {{ system: {system:?}, prompt: {prompt:?}, messages: {messages:?} }}");
    let images = if images.is_empty() { String::new() } else { format!(" images: {images:?}") };
    format!("{} {asked}{images}", task.name).into_bytes()
}

fn used_models(job: &Job) -> Vec<usize> {
    if job.allow_overrides {
        return (0..job.models.len()).collect();
    }
    let used: BTreeSet<usize> = job.tasks.iter().flat_map(|task| task.route.iter().copied()).collect();
    used.into_iter().collect()
}

fn ready_task(job: &Job, models: &[usize], task: &crate::job::Task, prompt: Prompt) -> ReadyTask {
    let params_on = |model: usize| {
        let mut params = job.models[model].params.clone();
        params.extend(task.params.clone());
        params
    };
    let choice = |&model: &usize| {
        let upstream = models.iter().position(|used| *used == model).unwrap_or_default();
        let params = params_on(model);
        let asking = Asking::new(job, task, &job.models[model], &params);
        Choice::new(upstream, params, asking)
    };
    let overrides = if job.allow_overrides { models.iter().map(choice).collect() } else { Vec::new() };
    let own: &[&str] = if job.allow_overrides { &["model", "params"] } else { &[] };
    let mut used = prompt.used_columns();
    if let Some(used) = &mut used {
        used.extend(own.iter().map(|column| (*column).to_owned()));
    }
    ReadyTask {
        used: used.map(|used| used.into_iter().collect()),
        name: task.name.as_str().into(),
        answer_key: task.answer.as_ref().map(|answer| canonical_json(&answer.rules.written())),
        template_text: template_text(task),
        route: task.route.iter().map(choice).collect(),
        overrides,
        prompt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_keys_of_broken_rows_is_pinned() {
        let prompt = PromptSettings { prompt: Some("Tag {{ \"x\" }}".to_owned()), ..PromptSettings::default() };
        let mut task = crate::job::Task {
            name: "tag".to_owned(),
            prompt,
            params: Map::new(),
            route: Vec::new(),
            fallback_after: None,
            max_cost: None,
            answer: None,
        };
        let pinned = r#"tag PromptSettings { system: None, prompt: Some("Tag {{ \"x\" }}"), messages: [] }"#;
        assert_eq!(String::from_utf8(template_text(&task)).unwrap(), pinned);
        task.prompt.images = vec!["{{ a }}".to_owned()];
        assert_eq!(String::from_utf8(template_text(&task)).unwrap(), format!(r#"{pinned} images: ["{{{{ a }}}}"]"#));
    }
}
