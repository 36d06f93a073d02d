//! `overnight batch`: an OpenAI Batch file is a job like any other, made from flags.

use std::io;
use std::path::Path;

use overnight::engine::{BatchContents, RunError, RunOptions, Subset, look_at_batch};
use overnight::job::{Batch, JobArgs};
use overnight::source::SourceError;
use tempfile::NamedTempFile;

use super::{plan, run};
use crate::cli::args::{BatchArgs, Global};
use crate::cli::fail;

/// Sends the file; gives the exit code. `ignored`: flags of another program's engine.
pub fn execute(args: &BatchArgs, ignored: &[String], global: &Global) -> u8 {
    let output = args.output_file.as_path();
    let prepared = usage(args).map_err(|message| (message, 2)).and_then(|()| prepare(args, global));
    let Prepared { job, contents, spool } = match prepared {
        Ok(prepared) => prepared,
        Err((message, code)) => return fail(&message, code, Some(output), global),
    };
    let subset = Subset { limit: args.limit.map(Into::into), ..Subset::default() };
    let code = if args.dry_run {
        plan::load_and_tell(&job, output, &subset, global)
    } else {
        let warnings = [repeated(&contents), not_ours(ignored).filter(|_| !global.quiet)];
        let warnings = warnings.into_iter().flatten().collect();
        run::load_and_run(&job, output, RunOptions { subset, warnings, ..RunOptions::default() }, &args.night, global)
    };
    drop(spool);
    code
}

/// What can be told of the command line alone.
fn usage(args: &BatchArgs) -> Result<(), String> {
    if args.output_file == Path::new("-") {
        return Err("-o -: the output is a file, as what is done is kept beside it".to_owned());
    }
    if args.output_file.file_name().is_none() {
        return Err(format!("-o {}: names no file", args.output_file.display()));
    }
    for file in [&args.input_file, &args.output_file] {
        if file.to_str().is_some_and(|file| file.starts_with("http://") || file.starts_with("https://")) {
            return Err(format!("{}: only files are read and written", file.display()));
        }
    }
    Ok(())
}

/// A batch that is ready to run.
struct Prepared {
    job: JobArgs,
    contents: BatchContents,
    /// What standard input said, until a run keeps it.
    spool: Option<NamedTempFile>,
}

/// Looks at the file and makes a job of it; an error with its exit code.
fn prepare(args: &BatchArgs, global: &Global) -> Result<Prepared, (String, u8)> {
    let spool = if args.input_file == Path::new("-") { Some(spool().map_err(|message| (message, 1))?) } else { None };
    let file = spool.as_ref().map_or(args.input_file.as_path(), NamedTempFile::path);
    let shown = if spool.is_some() { "stdin".into() } else { args.input_file.to_string_lossy() };
    let contents = look_at_batch(file, &shown).map_err(|error| (words(&error), error.exit_code()))?;
    if spool.is_some() && contents.lines == 0 {
        return Err((nothing_piped(args), 3));
    }
    if contents.lines > 0 && contents.models.is_empty() && args.model.is_none() {
        let message = format!("{}: no line names a model (body.model)", args.input_file.display());
        return Err((format!("{message}\n  hint: is it an OpenAI Batch file? --model names one for all lines"), 3));
    }
    let batch = Batch {
        input: file.to_owned(),
        spooled: spool.is_some(),
        output: args.output_file.clone(),
        errors: args.error_file.clone(),
        base_url: args.base_url.clone(),
        api_key_env: args.api_key_env.clone(),
        model: args.model.clone(),
        named: contents.models.clone(),
        rpm: args.rpm,
        tpm: args.tpm,
    };
    let job = batch.job(&|name| std::env::var(name).ok()).map_err(|message| (message, 3))?;
    let job = JobArgs {
        // Nothing is kept.
        input: spool.as_ref().filter(|_| args.dry_run).map(|spool| spool.path().to_owned()),
        set: args.set.clone(),
        concurrency: args.max_inflight,
        max_cost: args.max_cost.clone(),
        prices: global.prices.clone(),
        ..job
    };
    Ok(Prepared { job, contents, spool })
}

/// A file without a line is somebody's data. A pipe without one is a command that failed, and what it said before is kept.
fn nothing_piped(args: &BatchArgs) -> String {
    let hint = "did the command before the pipe fail? nothing was sent, and what is there stays as it is";
    format!("-i -: standard input holds no line for {}\n  hint: {hint}", args.output_file.display())
}

/// Why the file cannot be read, without the keys that a job file would have.
fn words(error: &RunError) -> String {
    match error {
        RunError::Input(SourceError::NotFound { file }) => format!("-i {file}: no such file or folder"),
        RunError::Input(SourceError::NotRegular { file }) => {
            format!("-i {file}: not a regular file, and can be read only once\n  hint: pipe it in with -i -")
        }
        RunError::Input(SourceError::Clash { file, extension, .. }) => {
            format!("-i {file}: {extension} by its name\n  hint: an OpenAI Batch file is JSONL, a request a line")
        }
        other => other.to_string(),
    }
}

/// Standard input as a file: it is gone through more than once.
fn spool() -> Result<NamedTempFile, String> {
    let told = |error: io::Error| format!("cannot keep standard input: {error}");
    let mut file = NamedTempFile::new().map_err(told)?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(told)?;
    Ok(file)
}

fn repeated(contents: &BatchContents) -> Option<String> {
    let (lines, verb) = match contents.repeated {
        0 => return None,
        1 => ("1 line has".to_owned(), "it is"),
        lines => (format!("{lines} lines have"), "they are"),
    };
    let examples = contents.examples.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
    Some(format!("{lines} the custom_id of a line before ({examples}); {verb} sent and answered like the others"))
}

fn not_ours(ignored: &[String]) -> Option<String> {
    let flags = ignored.join(", ");
    (!ignored.is_empty()).then(|| format!("ignored, as they are for the server's own command line: {flags}"))
}
