//! The built-in examples: jobs with their data, as they stand in `jobs/`.

use std::path::{Path, PathBuf};

use super::files::NewFile;

/// A job file and the data that it reads; paths as in `jobs/`.
struct Example {
    name: &'static str,
    job: &'static str,
    data: &'static [(&'static str, &'static str)],
}

const QUICKSTART: (&str, &str) = ("data/quickstart.csv", include_str!("../../../jobs/data/quickstart.csv"));
const TICKETS: (&str, &str) = ("data/tickets.csv", include_str!("../../../jobs/data/tickets.csv"));

const TEXTS: &[(&str, &str)] = &[
    (
        "data/texts/moby-dick-chapter-124-the-needle.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-124-the-needle.txt"),
    ),
    (
        "data/texts/moby-dick-chapter-33-the-specksnyder.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-33-the-specksnyder.txt"),
    ),
    (
        "data/texts/moby-dick-chapter-42-the-whiteness-of-the-whale.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-42-the-whiteness-of-the-whale.txt"),
    ),
    (
        "data/texts/moby-dick-chapter-46-surmises.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-46-surmises.txt"),
    ),
    (
        "data/texts/moby-dick-chapter-65-the-whale-as-a-dish.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-65-the-whale-as-a-dish.txt"),
    ),
    (
        "data/texts/moby-dick-chapter-67-cutting-in.txt",
        include_str!("../../../jobs/data/texts/moby-dick-chapter-67-cutting-in.txt"),
    ),
];

const EXAMPLES: [Example; 7] = [
    Example { name: "quickstart", job: include_str!("../../../jobs/quickstart.toml"), data: &[QUICKSTART] },
    Example { name: "summarize-folder", job: include_str!("../../../jobs/summarize-folder.toml"), data: TEXTS },
    Example { name: "tag-csv", job: include_str!("../../../jobs/tag-csv.toml"), data: &[TICKETS] },
    Example { name: "extract", job: include_str!("../../../jobs/extract.toml"), data: &[TICKETS] },
    Example { name: "translate", job: include_str!("../../../jobs/translate.toml"), data: &[QUICKSTART] },
    Example { name: "nightly", job: include_str!("../../../jobs/nightly.toml"), data: &[TICKETS] },
    Example { name: "reference", job: include_str!("../../../jobs/reference.toml"), data: &[TICKETS] },
];

/// The names of all examples, each with the first line of its job file.
pub fn example_names() -> Vec<(&'static str, &'static str)> {
    EXAMPLES.iter().map(|example| (example.name, about(example.job))).collect()
}

fn about(job: &'static str) -> &'static str {
    let line = job.lines().next().unwrap_or_default().trim_start_matches("# ");
    line.find(['.', ':', ',']).map_or(line, |end| &line[..end])
}

/// The files of an example, the job file first.
pub fn example(name: &str) -> Option<Vec<NewFile>> {
    let example = EXAMPLES.iter().find(|example| example.name == name)?;
    let job = NewFile { path: PathBuf::from(format!("{name}.toml")), content: example.job.to_owned() };
    let data = example.data.iter().map(|(path, text)| NewFile { path: path.into(), content: (*text).to_owned() });
    Some(std::iter::once(job).chain(data).collect())
}

/// The sample for those who have no data at hand.
pub fn sample(path: &Path) -> NewFile {
    NewFile { path: path.to_owned(), content: TICKETS.1.to_owned() }
}
