//! The table that a benchmark prints: what was reached, beside what is wanted.

use std::process::ExitCode;

/// A name, and what is measured under it.
pub type Scenario = (&'static str, fn() -> Vec<Figure>);

/// The scenarios that are asked for on the command line; none: all.
pub fn names() -> Vec<String> {
    std::env::args().skip(1).filter(|arg| arg != "--bench").collect()
}

/// Runs the scenarios whose names contain one of these, and prints their figures as they come. The exit code is 1 where
/// something is missed, and 2 where a name is none of theirs: a slip must not pass for a night without a fault.
pub fn table(scenarios: &[Scenario], names: &[String]) -> ExitCode {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let is_one = |part: &&String| scenarios.iter().any(|(name, _)| name.contains(part.as_str()));
    if let Some(slip) = names.iter().find(|part| !is_one(part)) {
        let known: Vec<&str> = scenarios.iter().map(|(name, _)| *name).collect();
        println!("no scenario is called {slip}; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    println!("{:<15} {:<44} {:>12} {:>10}", "scenario", "figure", "reached", "wanted");
    let mut all_met = true;
    for (name, scenario) in scenarios.iter().filter(|(name, _)| wanted(name)) {
        for figure in scenario() {
            all_met &= figure.is_met();
            println!("{name:<15} {figure}");
        }
    }
    ExitCode::from(u8::from(!all_met))
}

/// A part of a whole, as a number.
pub fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// What was reached, and what is wanted.
pub struct Figure {
    what: String,
    reached: f64,
    goal: Goal,
}

pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    #[allow(dead_code, reason = "not every benchmark has such a goal")]
    Below(f64),
    /// Tells how, wants nothing.
    None,
}

impl Figure {
    pub fn new(what: impl Into<String>, reached: f64, goal: Goal) -> Self {
        Self { what: what.into(), reached, goal }
    }

    fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtLeast(least) => self.reached >= least,
            Goal::AtMost(most) => self.reached <= most,
            Goal::Below(most) => self.reached < most,
            Goal::None => true,
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let goal = match self.goal {
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::AtMost(most) => format!("<= {most}"),
            Goal::Below(most) => format!("< {most}"),
            Goal::None => String::new(),
        };
        let verdict = match (&self.goal, self.is_met()) {
            (Goal::None, _) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        write!(f, "{:<44} {:>12} {goal:>10} {verdict}", self.what, (self.reached * 1e4).round() / 1e4)
    }
}
