//! Values read out of rows: `input.id`, `input.task`, `input.where`.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, Expression, Value};
use serde_json::{Map, Value as Json};

use super::columns::{self, Columns};
use super::context::{Reads, RowContext};
use super::engine::{self, GLOBALS};
use super::error::{RenderError, TemplateError};
use super::values::{self, Misses};
use crate::types::Row;

/// Expressions borrow their environment, so that they share one that stays.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(engine::environment);

/// A column's name, or a template expression such as `meta.ticket.id` or `lang == 'en'`.
///
/// A column of exactly the name that was written wins over the expression. An expression that needs a column (or a key
/// in one) that the row lacks, or has as null, has no value and is not true, whatever else stands in it; `default` and
/// `is defined` say otherwise: `score | default(0) < 5`.
pub struct Expr {
    source: String,
    /// `None`: it can only be a column's name, as it is no expression (`Review Text`) or nothing but a name.
    compiled: Option<Expression<'static, 'static>>,
    vars: Arc<Map<String, Json>>,
    reads: Reads,
    pub(super) columns: Columns,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.source).finish()
    }
}

impl Expr {
    pub(super) fn new(source: &str, vars: Arc<Map<String, Json>>) -> Result<Self, TemplateError> {
        let told = |error: minijinja::Error| engine::template_error("expression", source, &error);
        let mut expr = Self {
            source: source.to_owned(),
            compiled: None,
            vars,
            reads: Reads::default(),
            columns: Columns::default(),
        };
        match LANGUAGE.compile_expression_owned(source.to_owned()) {
            Ok(compiled) => {
                let variables = compiled.undeclared_variables(false);
                let eval = |context| compiled.eval(context).map(drop);
                expr.columns = columns::probe(&variables, &expr.vars, eval).map_err(told)?;
                // The engine lets a name alone be undefined, and no value comes of it.
                let name = source.trim();
                if expr.columns.used.contains(name) && variables.contains(name) {
                    expr.columns.required.insert(name.to_owned());
                }
                expr.reads.add(source, &variables);
                expr.compiled = (!is_columns_name(source, &variables)).then_some(compiled);
            }
            Err(_) if could_be_a_column(source) => {
                expr.columns.used.insert(source.to_owned());
                expr.columns.required.insert(source.to_owned());
            }
            Err(error) => return Err(told(error)),
        }
        Ok(expr)
    }

    /// As it was written: a column of this name wins over the expression.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The columns without which the expression never has a value, where no column has its very name.
    #[must_use]
    pub fn required_columns(&self) -> BTreeSet<String> {
        self.columns.required.clone()
    }

    /// The value for a row; `None` where it is null or needs what the row lacks.
    ///
    /// # Errors
    /// Where the expression fails otherwise, such as by adding a number to a text.
    pub fn value(&self, row: &Row) -> Result<Option<Json>, RenderError> {
        if row.fields().contains_key(&self.source) {
            return Ok(row.get(&self.source).cloned());
        }
        Ok(self.eval(row)?.map(|value| values::to_json(&value)))
    }

    /// The value as text: strings as they are, everything else as compact JSON.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn text(&self, row: &Row) -> Result<Option<String>, RenderError> {
        Ok(self.value(row)?.map(|value| match value {
            Json::String(text) => text,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
        }))
    }

    /// Whether the value is true: not empty, not 0, not false, not missing. Any text but the empty one is true.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn is_true(&self, row: &Row) -> Result<bool, RenderError> {
        if row.fields().contains_key(&self.source) {
            let value = row.get(&self.source).map(|json| values::to_template(json, &"".into(), &Misses::default()));
            return Ok(value.is_some_and(|value| value.is_true()));
        }
        Ok(self.eval(row)?.is_some_and(|value| value.is_true()))
    }

    fn eval(&self, row: &Row) -> Result<Option<Value>, RenderError> {
        let Some(compiled) = &self.compiled else { return Ok(None) };
        let context = RowContext::new(row, &self.reads, &self.vars);
        match compiled.eval(context.value()) {
            Ok(value) => Ok((!value.is_undefined() && !value.is_none()).then_some(value)),
            Err(_) if context.missed() => Ok(None),
            Err(error) => Err(context.error(&format!("`{}`", self.source), &error, row)),
        }
    }
}

/// Whether an expression is a column's name alone. Such ones are the most, and are asked of every row.
fn is_columns_name(source: &str, variables: &HashSet<String>) -> bool {
    variables.contains(source) && !["row", "vars"].contains(&source) && !GLOBALS.contains(&source)
}

/// Whether a text that is no expression can be meant as a column's name: nothing in it looks like an operator.
fn could_be_a_column(source: &str) -> bool {
    !source.trim().is_empty() && !source.contains(|c: char| "=<>!|()[]{}\"'+*/%~,".contains(c))
}
