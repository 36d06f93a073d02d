//! A pruning as text.

use overnight::engine::Pruning;

use super::lines::Lines;
use super::words::{count, counted};

/// What was forgotten, as text for standard output, line break at the end included.
pub fn pruning_text(pruning: &Pruning) -> String {
    let mut text = Lines(String::new());
    let (job, gone) = (&pruning.job, pruning.forgotten);
    text.whole(&match (gone.outcomes, pruning.dry_run) {
        (0, _) => format!("{job}: nothing to forget"),
        (_, true) => format!("{job}: what would be forgotten; nothing was changed"),
        (_, false) => format!("{job}: forgotten; what was paid stays in the report"),
    });
    if gone.outcomes > 0 {
        let with =
            if gone.attempts > 0 { format!(" and {}", counted(gone.attempts, "attempt")) } else { String::new() };
        text.add("no row takes", &format!("{}{with}", counted(gone.outcomes, "outcome")));
    }
    let without = match pruning.without_outcome {
        0 => String::new(),
        rows => format!("; {} without one, to be sent by the next run", counted(rows, "row")),
    };
    text.add("kept", &format!("{}{without}", counted(pruning.kept, "outcome")));
    let (before, after) = (pruning.bytes_before, pruning.bytes_after);
    text.add(
        "results.log",
        &match gone.outcomes {
            0 => format!("{} bytes", count(before)),
            _ => format!("{} bytes before, {} after", count(before), count(after)),
        },
    );
    text.0
}

#[cfg(test)]
mod tests {
    use overnight::engine::Forgotten;

    use super::*;

    #[test]
    fn says_what_is_gone_what_stays_and_what_will_be_sent() {
        let forgotten = Forgotten { outcomes: 1_200, attempts: 1 };
        let pruning = Pruning {
            job: "tag".to_owned(),
            dry_run: false,
            rows: 11,
            without_outcome: 1,
            kept: 10,
            forgotten,
            bytes_before: 65_000,
            bytes_after: 700,
        };
        insta::assert_snapshot!(pruning_text(&pruning), @r"
        tag: forgotten; what was paid stays in the report
        no row takes     1,200 outcomes and 1 attempt
        kept             10 outcomes; 1 row without one, to be sent by the next run
        results.log      65,000 bytes before, 700 after
        ");
        let nothing = Forgotten { outcomes: 0, attempts: 0 };
        let pruning = Pruning { without_outcome: 0, forgotten: nothing, bytes_after: 65_000, ..pruning };
        insta::assert_snapshot!(pruning_text(&pruning), @r"
        tag: nothing to forget
        kept             10 outcomes
        results.log      65,000 bytes
        ");
    }
}
