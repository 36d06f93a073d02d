//! `overnight init`.

use std::path::{Component, Path, PathBuf};

use overnight::job::{self, JobArgs};

use crate::cli::args::{Global, InitArgs};
use crate::cli::starter::{Data, NewFile, choose, create_all, example, example_names, job_file, look, sample};
use crate::cli::{fail, print};

/// Writes a job file; gives the exit code.
pub fn execute(args: &InitArgs, global: &Global) -> u8 {
    let made = match args.example.as_deref() {
        Some(name) => unpack(name),
        None => make(args),
    };
    match made {
        Ok(made) => {
            tell(&made, global);
            0
        }
        Err((code, message)) => fail(&message, code, None, global),
    }
}

/// What was written, and what is to be known about it.
struct Made {
    job: PathBuf,
    about: String,
}

fn unpack(name: &str) -> Result<Made, (u8, String)> {
    let Some(files) = example(name) else { return Err((2, no_example(name))) };
    create_all(&files).map_err(|message| (1, message))?;
    let job = files.into_iter().next().map(|file| file.path).unwrap_or_default();
    Ok(Made { about: "a built-in example, simulated: its answers are invented".to_owned(), job })
}

fn no_example(name: &str) -> String {
    let names = example_names();
    let list: Vec<String> = names.iter().map(|(name, about)| format!("  {name:<18}{about}")).collect();
    let problem = match name {
        "" => "--example takes a name".to_owned(),
        name => format!("no example is called {name:?}"),
    };
    format!("{problem}; there are:\n{}", list.join("\n"))
}

fn make(args: &InitArgs) -> Result<Made, (u8, String)> {
    let (data_path, extra) = match &args.data {
        Some(path) => (path.clone(), None),
        None => (PathBuf::from("sample.csv"), Some(sample(Path::new("sample.csv")))),
    };
    let stem = stem(&data_path);
    let job = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{stem}.toml")));
    // The job file last: what stands there decides whether anything is written at all, so it is checked with the rest.
    if job.symlink_metadata().is_ok() {
        let hint = "hint: -o names another file";
        return Err((1, format!("{}: is there already, and nothing is overwritten\n  {hint}", job.display())));
    }
    create_all(extra.as_slice()).map_err(|message| (1, message))?;
    let data = look(&data_path).map_err(|error| (3, error.to_string()))?;
    check(&data, &data_path)?;
    let env = |name: &str| std::env::var(name).ok();
    let choice = choose(args.model.as_deref(), &env);
    let command = format!("overnight run {}", job.display());
    let path = seen_from(&job, &data_path).map_err(|error| (1, error))?;
    let content = job_file(&data, &choice, &path, &stem, &command);
    create_all(&[NewFile { path: job.clone(), content }]).map_err(|message| (1, message))?;
    let about = format!("model {}: {}", choice.model, choice.reason);
    let about = match job::load(&JobArgs { job_file: job.clone(), ..JobArgs::default() }, &env) {
        Ok(_) => about,
        Err(error) => format!("{about}\nbefore it runs:\n{error}"),
    };
    Ok(Made { job, about })
}

fn check(data: &Data, path: &Path) -> Result<(), (u8, String)> {
    if data.text.is_some() || data.own_prompt {
        return Ok(());
    }
    let hint = "hint: it needs at least one row and a column besides its id";
    Err((3, format!("{}: no column to make a prompt of\n  {hint}", path.display())))
}

/// `reviews` of `data/reviews.csv.gz`.
fn stem(path: &Path) -> String {
    let settled = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = settled.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if settled.is_dir() { name } else { name.split('.').next().unwrap_or_default().to_owned() };
    if name.is_empty() { "job".to_owned() } else { name }
}

/// The data's path from the job file's folder, with `..` where needed.
fn seen_from(job: &Path, data: &Path) -> Result<String, String> {
    let folder = job.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: cannot be made: {error}", folder.display()))?;
    let failed = |path: &Path, error: std::io::Error| format!("{}: cannot be found: {error}", path.display());
    let from = folder.canonicalize().map_err(|error| failed(folder, error))?;
    let to = data.canonicalize().map_err(|error| failed(data, error))?;
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(common)).collect();
    if path.as_os_str().is_empty() { Ok(".".to_owned()) } else { Ok(path.display().to_string()) }
}

fn tell(made: &Made, global: &Global) {
    let job = made.job.display().to_string();
    if global.json {
        let line = serde_json::json!({ "job_file": job, "about": made.about });
        print(&format!("{line}\n"));
    } else if !global.quiet {
        print(&format!("wrote {job}\n{}\nnext: overnight run {job}\n", made.about));
    }
}
