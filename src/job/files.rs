//! Finds and reads the job file and the config for all jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{self, JobArgs};
use super::batch;
use super::made::MadeJob;
use super::merge::{lay, restrict_config};
use super::problem::{Problem, Problems};
use super::tree::{Origin, Source, Spot, Table, parse};

/// Both files and the flags in one tree.
pub(super) struct Gathered {
    pub(super) tree: Table,
    /// The job file, absolute.
    pub(super) file: PathBuf,
    /// The job file as a whole, for what is missing in it.
    pub(super) spot: Spot,
}

/// Reads the files and lays them over one another. `None` where one cannot be read: what it would say is not known.
pub(super) fn gather(args: &JobArgs, problems: &Problems) -> Option<Gathered> {
    let whole = |error: &std::io::Error| {
        let message = format!("cannot find the working directory: {error}");
        problems.add(Problem { message, ..Problem::default() });
    };
    let working_dir = std::env::current_dir().map_err(|error| whole(&error)).ok()?;
    let named = working_dir.join(&args.job_file);
    let batch = if args.made.is_none() { batch::job_file_of(&named) } else { None };
    let file = settled(batch.as_deref().unwrap_or(&named));
    let source = source_of(&file, batch.as_deref().unwrap_or(&args.job_file));
    let (job, spot) = match &args.made {
        Some(made) => (made.tree(&source.dir, problems), MadeJob::spot(&source.dir)),
        None => (read(&file, &source, problems), Spot { origin: source, position: None }),
    };
    let mut tree = match config_path(args, &file, &working_dir) {
        Some(path) => {
            let config = read(&path, &source_of(&path, path.strip_prefix(&working_dir).unwrap_or(&path)), problems);
            shared_part(config?, problems)
        }
        None => Table::default(),
    };
    lay(&mut tree, job?);
    if batch::is_job_file(&file) {
        for model in args.model.iter().chain(&args.models) {
            batch::offer(model.trim(), &mut tree, &Spot::flag("--model", &working_dir));
        }
    }
    args::apply(args, &mut tree, &working_dir, problems);
    Some(Gathered { tree, file, spot })
}

/// The file with its folder's one true name: `./jobs/../jobs/tag.toml` is the same job as `jobs/tag.toml`. A file that is
/// a link keeps its own name, as its paths start from where it is found.
fn settled(file: &Path) -> PathBuf {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, file.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

fn source_of(file: &Path, shown: &Path) -> Arc<Source> {
    let dir = file.parent().map(Path::to_owned).unwrap_or_default();
    Arc::new(Source { from: Origin::File(shown.to_owned()), dir, called: None })
}

fn config_path(args: &JobArgs, job_file: &Path, working_dir: &Path) -> Option<PathBuf> {
    if let Some(config) = &args.config {
        return Some(working_dir.join(config));
    }
    let mut candidates = job_file.ancestors().skip(1).map(|dir| dir.join("overnight.toml"));
    candidates.find(|candidate| candidate != job_file && candidate.is_file())
}

fn shared_part(mut config: Table, problems: &Problems) -> Table {
    let mut found = Vec::new();
    restrict_config(&mut config, &mut found);
    problems.add_all(found);
    config
}

fn read(file: &Path, source: &Arc<Source>, problems: &Problems) -> Option<Table> {
    let spot = Spot { origin: source.clone(), position: None };
    let text = match read_text(file) {
        Ok(text) => text,
        Err(message) => {
            problems.add(Problem::new(&spot, "", message));
            return None;
        }
    };
    parsed(&text, source, problems)
}

fn parsed(text: &str, source: &Arc<Source>, problems: &Problems) -> Option<Table> {
    parse(text, source).map_err(|found| problems.add_all(found)).ok()
}

/// A text file, without a byte order mark.
///
/// # Errors
/// A message, without the file's name.
pub(super) fn read_text(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
