//! `overnight report`.

use std::io::Write;
use std::path::Path;

use overnight::job::Job;
use overnight::price::{Listing, Prices};
use overnight::report::{Alternative, Report, to_csv, to_html, to_json, to_markdown};
use overnight::store::Standing;
use overnight::types::{Held, Money, PriceSource};

use super::standing::{ReadError, load, load_with_model, rows_of_job, standing};
use crate::cli::args::{Global, ReportArgs, ReportFormat};
use crate::cli::{fail, print, screen};

/// Providers of models of their own: by a name alone theirs are meant, not those of whoever resells them.
const MAKERS: [&str; 7] = ["openai", "anthropic", "gemini", "qwen", "mistral", "deepseek", "xai"];

/// Writes the report; gives the exit code.
pub fn execute(args: &ReportArgs, global: &Global) -> u8 {
    match run(args, global) {
        Ok(()) => 0,
        Err(error) => fail(&error, error.exit_code(), Some(&args.job), global),
    }
}

fn run(args: &ReportArgs, global: &Global) -> Result<(), ReadError> {
    let job = load(&args.job, &[], global)?;
    let found = standing(&job.state)?.filter(|(_, standing)| !standing.ledger.runs.is_empty());
    let Some((_, standing)) = found else {
        print(&screen::nothing_yet(&job.name, &args.job, global.json));
        return Ok(());
    };
    let source = |provider: &str, model: &str| price_source(&job, &standing, provider, model);
    // Totals that are lost do not tell how many rows there are.
    let rows = Some(rows_of_job(&standing)).filter(|now| now.rows.total > 0);
    let report = Report::new(&job.name, &standing.ledger, standing.at, args.run, &source)?;
    let report = report.with_rows(rows).with_held(held(&standing));
    let report = report.with_what_if(&alternatives(args, global)?);
    let text = match args.format {
        ReportFormat::Json => to_json(&report)?,
        ReportFormat::Table if global.json => to_json(&report)?,
        ReportFormat::Csv => to_csv(&report)?,
        ReportFormat::Markdown => to_markdown(&report),
        ReportFormat::Html => to_html(&report)?,
        ReportFormat::Table => screen::report_text(&report, &args.job),
    };
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        None => print(&text),
        Some(path) => replace(path, &text).map_err(|error| {
            ReadError::Io(format!("cannot write {}: {error}\n  hint: another -o FILE", path.display()))
        })?,
    }
    Ok(())
}

fn alternatives(args: &ReportArgs, global: &Global) -> Result<Vec<Alternative>, ReadError> {
    if args.what_if.is_empty() {
        return Ok(Vec::new());
    }
    let prices = global.prices.as_deref().map_or_else(|| Ok(Prices::default()), Prices::with_file)?;
    let of = |name: &str| match alternative(&prices, name) {
        // What the job calls so comes before who makes one of that name, and what nobody lists may have a price there.
        listed if listed.is_err() || !name.contains('/') => own_model(&args.job, name, global).map_or(listed, Ok),
        listed => listed,
    };
    args.what_if.iter().map(|name| of(name.trim()).map_err(ReadError::Asked)).collect()
}

/// A model of the job itself, on a route or not, where its price is known.
fn own_model(job: &Path, name: &str, global: &Global) -> Option<Alternative> {
    let job = load_with_model(job, name, global).ok()?;
    let model = job.models.iter().find(|model| model.alias == name)?;
    let provider = &job.providers.get(model.provider)?.settings.name;
    let (price, source) = (model.price.clone()?, model.price_source.clone());
    Some(Alternative { name: format!("{provider}/{}", model.wire), price, source })
}

/// A model by its provider's name and its own, or by its own alone where that says which.
fn alternative(prices: &Prices, name: &str) -> Result<Alternative, String> {
    let found: Vec<Listing> = match name.split_once('/') {
        Some((provider, model)) => prices.find(provider, model).into_iter().collect(),
        None => makers_of(prices, name),
    };
    match found.as_slice() {
        [listing] => {
            let price = listing.price.clone().ok_or_else(|| format!("--what-if: the price of {name} is not known"))?;
            Ok(Alternative { name: listing.name(), price, source: listing.source.clone() })
        }
        [] => {
            let nearest = prices.nearest(name);
            let hint = if nearest.is_empty() {
                "`overnight models` lists what is known".to_owned()
            } else {
                format!("nearest: {}", nearest.join(", "))
            };
            Err(format!("--what-if: no price is listed of {name:?}\n  hint: {hint}"))
        }
        several => {
            let names: Vec<String> = several.iter().map(Listing::name).collect();
            Err(format!("--what-if: several providers have {name:?}\n  hint: one of {}", names.join(", ")))
        }
    }
}

/// Those who make a model of this name; where none of them does, all who have one.
fn makers_of(prices: &Prices, model: &str) -> Vec<Listing> {
    let made: Vec<Listing> = MAKERS.iter().filter_map(|maker| prices.find(maker, model)).collect();
    if made.is_empty() { prices.all().filter(|listing| listing.model == model).collect() } else { made }
}

/// How long rows of the last run waited for its models, as far as that was told.
fn held(standing: &Standing) -> Held {
    let told = standing.extra.get("held").cloned().unwrap_or_default();
    serde_json::from_value(told).unwrap_or_default()
}

/// Where a model's price came from when it ran, else where it comes from now. One that the job no longer has was priced
/// when it ran, if its cost is known.
fn price_source(job: &Job, standing: &Standing, provider: &str, model: &str) -> PriceSource {
    let kept = standing.extra.get("price_sources").and_then(|kept| kept.get(format!("{provider}/{model}"))?.as_str());
    if let Some(kept) = kept {
        return kept.parse().unwrap_or_default();
    }
    let found = job.models.iter().find(|known| {
        let theirs = job.providers.get(known.provider);
        known.wire == model && theirs.is_some_and(|theirs| theirs.settings.name == provider)
    });
    let was_priced = || {
        let tallies = standing.ledger.runs.iter().flat_map(|run| &run.totals.tallies);
        let of_model = |id: &overnight::types::TallyId| id.provider == provider && id.model == model;
        tallies.filter(|(id, _)| of_model(id)).any(|(_, tally)| tally.cost_usd > Money::ZERO)
    };
    match found {
        Some(known) => known.price_source.clone(),
        None if was_priced() => PriceSource::JobFile,
        None => PriceSource::Unknown,
    }
}

/// Writes the file beside and renames it, so that nobody reads half a report.
pub(super) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".report.").suffix(".overnight.tmp");
    // A temporary file is private by default; this one becomes the user's, readable as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
