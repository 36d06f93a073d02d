//! Answers that are more than text: the columns that a schema makes of them, and the words that ask for them.

/// What an answer is told with that breaks the task's rules; the reason follows. The simulator knows it by these words, as
/// a model would.
pub const NOT_VALID: &str = "Your answer is not valid: ";

/// What stands right before a schema in a prompt.
pub const SCHEMA_FOLLOWS: &str = "JSON schema:\n";

/// What result columns the answers of a job have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerColumns {
    /// One for each top-level property of the tasks' schemas, in their order.
    pub columns: Vec<AnswerColumn>,
    /// Whether some task answers otherwise than with properties, and so under `content`.
    pub content: bool,
}

/// A property as a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerColumn {
    /// The property's name.
    pub name: String,
    /// What values it has, null beside them.
    pub kind: AnswerType,
}

/// The type that a schema gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerType {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Bool,
    /// A list of such values.
    List(Box<Self>),
    /// An object with these properties.
    Object(Vec<AnswerColumn>),
    /// No single type: any JSON.
    Json,
}

impl Default for AnswerColumns {
    /// Those of answers that are texts.
    fn default() -> Self {
        Self { columns: Vec::new(), content: true }
    }
}

impl AnswerColumns {
    /// Those of all tasks together. `None` stands for a task whose answers have no properties.
    pub fn of(tasks: impl IntoIterator<Item = Option<Vec<AnswerColumn>>>) -> Self {
        let mut all = Self { columns: Vec::new(), content: false };
        for task in tasks {
            match task {
                None => all.content = true,
                Some(columns) => columns.into_iter().for_each(|column| all.add(column)),
            }
        }
        all
    }

    fn add(&mut self, column: AnswerColumn) {
        match self.columns.iter_mut().find(|one| one.name == column.name) {
            Some(same) => same.kind = std::mem::replace(&mut same.kind, AnswerType::Json).or(column.kind),
            None => self.columns.push(column),
        }
    }
}

impl AnswerType {
    /// The type of values that have one of these.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Integer | Self::Number, Self::Integer | Self::Number) => Self::Number,
            _ => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: AnswerType) -> AnswerColumn {
        AnswerColumn { name: name.to_owned(), kind }
    }

    #[test]
    fn columns_of_several_tasks_are_all_of_theirs_once() {
        let one = vec![column("tags", AnswerType::Json), column("score", AnswerType::Integer)];
        let other = vec![column("score", AnswerType::Number), column("tags", AnswerType::Text)];
        let both = AnswerColumns::of([Some(one.clone()), Some(other)]);
        assert_eq!(both.columns, [column("tags", AnswerType::Json), column("score", AnswerType::Number)]);
        assert!(!both.content);
        assert_eq!(AnswerColumns::of([Some(one.clone()), None]), AnswerColumns { columns: one, content: true });
        assert_eq!(AnswerColumns::of([None]), AnswerColumns::default());
    }
}
