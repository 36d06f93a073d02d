//! `${NAME}` and keys: from the process's environment, then from `env_file`, which never enters the process.

use std::collections::HashMap;
use std::path::Path;

use super::problem::{Problem, Problems};
use super::tree::Spot;

/// Where variables are looked up.
pub(super) struct Environment<'a> {
    process: &'a dyn Fn(&str) -> Option<String>,
    file: HashMap<String, String>,
    /// Whether a key may be missing.
    pub(super) keys_optional: bool,
}

impl<'a> Environment<'a> {
    /// The process's environment alone.
    pub(super) fn of_process(process: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { process, file: HashMap::new(), keys_optional: false }
    }

    /// Adds what a dotenv file says. Its lines are never quoted in a problem: they hold keys.
    pub(super) fn read_file(&mut self, path: &Path, spot: &Spot, problems: &Problems) {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) => {
                problems.add(Problem::new(spot, "env_file", format!("cannot read {}: {error}", path.display())));
                return;
            }
        };
        for pair in dotenvy::from_read_iter(file) {
            let Ok((name, value)) = pair else {
                let message = format!("{} has a line that is not NAME=value", path.display());
                let problem = Problem::new(spot, "env_file", message);
                problems.add(problem.with_hint("values with spaces need quotes: NAME=\"two words\""));
                return;
            };
            self.file.insert(name, value);
        }
    }

    /// A variable's value; an empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let own = (self.process)(name).filter(|value| !value.is_empty());
        own.or_else(|| self.file.get(name).filter(|value| !value.is_empty()).cloned())
    }

    /// The text with each `${NAME}` replaced.
    ///
    /// # Errors
    /// What is wrong, one message for each place.
    pub(super) fn expand(&self, text: &str) -> Result<String, Vec<String>> {
        let (mut out, mut wrong, mut rest) = (String::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                wrong.push("`${` without its `}`".to_owned());
                rest = "";
                break;
            };
            match self.get(name) {
                Some(value) => out.push_str(&value),
                None if is_variable_name(name) => wrong.push(format!("environment variable {name} is not set")),
                None => wrong.push(format!("`${{{name}}}` does not name an environment variable")),
            }
            rest = behind;
        }
        out.push_str(rest);
        if wrong.is_empty() { Ok(out) } else { Err(wrong) }
    }
}

/// Letters, digits and `_`, no digit first.
pub(super) fn is_variable_name(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
