//! Lines of text with labels, as a summary, a report and a status have them.

/// Lines with a label before them.
pub(super) struct Lines(pub(super) String);

impl Lines {
    pub(super) fn whole(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn add(&mut self, label: &str, line: &str) {
        self.whole(format!("{label:<16} {line}").trim_end());
    }
}
