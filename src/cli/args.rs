//! The command line as typed.

mod models;
mod report;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use overnight::engine::Subset;

pub use models::{ModelsArgs, ModelsFormat};
pub use report::{ReportArgs, ReportFormat};

use super::environment::of_format;
use super::examples;
use super::screen::ProgressMode;

mod batch;
mod compare;
mod control;
mod night;

pub use batch::BatchArgs;
pub use compare::{CompareArgs, CompareFormat};
pub use control::{ControlArgs, ControlWord};
pub use night::{LockedMode, Night};

/// Batch job runner for offline LLM workloads.
///
/// A job file says which rows to read, which model each task type gets, under which limits and with which fallbacks.
/// `overnight run JOB` does it, survives anything, and says what it cost; the same command goes on where it stopped.
#[derive(Debug, Parser)]
#[command(name = "overnight", version, max_term_width = 100, after_help = AFTER_HELP, disable_help_flag = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: Global,
}

const AFTER_HELP: &str = "\
Long flags can be set in the environment too: OVERNIGHT_CONCURRENCY=64, OVERNIGHT_JSON=1.

Exit codes:
  0    nothing remains, and no row failed in this run
  1    unexpected failure (I/O, full disk, checkpoint); the same command goes on
  2    usage
  3    the job file, its config, its key variables or the input is not valid; nothing was sent
  4    nothing remains, and rows failed in this run
  5    stopped by a limit of its own (budget, deadline, max failures); the same command goes on
  6    a route has no model left (bad key, quota gone, unknown model, long outage)
  7    another run holds this job's lock (--if-locked skip: 0)
  130  interrupted (143: terminated); the same command goes on
  141  the reader of `--output -` is gone; the same command goes on";

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print help; `overnight help COMMAND` tells more, with examples
    #[arg(long, short, global = true, action = clap::ArgAction::HelpShort)]
    pub help: Option<bool>,
    /// Defaults for all jobs, instead of the overnight.toml found upward from the job file
    #[arg(long, global = true, value_name = "FILE", env = "OVERNIGHT_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// A file of list prices that come before those that are built in
    #[arg(long, global = true, value_name = "FILE", env = "OVERNIGHT_PRICES", hide_env = true)]
    pub prices: Option<PathBuf>,
    /// Print the summary as one JSON object on one line
    #[arg(long, global = true, env = "OVERNIGHT_JSON", hide_env = true, value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// No progress, no logs, and no summary unless something is wrong; --json still prints
    #[arg(long, short, global = true, env = "OVERNIGHT_QUIET", hide_env = true, value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Tell each failed attempt too
    #[arg(long, short, global = true, env = "OVERNIGHT_VERBOSE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub verbose: bool,
    /// How progress is shown
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "HOW",
        env = "OVERNIGHT_PROGRESS",
        hide_env = true
    )]
    pub progress: ProgressMode,
    /// How log lines are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "OVERNIGHT_LOG_FORMAT",
        hide_env = true
    )]
    pub log_format: LogFormat,
    /// When colours are used
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        env = "OVERNIGHT_COLOR",
        hide_env = true
    )]
    pub color: ColorMode,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorMode {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

// Deferred: a command's flags are built when it is called, and take no time when another one is. What stands as a doc comment
// on the struct of its flags, or on one flattened into it, would then be told in place of the command's own first line.
/// What to do.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Run a job, or go on with it where it stopped
    #[command(after_long_help = examples::RUN)]
    Run(Box<RunArgs>),
    /// Check everything and send nothing: rows left and why, tokens, cost and time
    #[command(after_long_help = examples::PLAN)]
    Plan(PlanArgs),
    /// How one row is routed and rendered, and what is on record of it
    #[command(after_long_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// How far a job is, also while it runs
    #[command(after_long_help = examples::STATUS)]
    Status(StatusArgs),
    /// What was done and what it cost, by model, provider and task
    #[command(after_long_help = examples::REPORT)]
    Report(ReportArgs),
    /// Failed rows by kind, model and task, with an example each and what to do about it
    #[command(after_long_help = examples::ERRORS)]
    Errors(ErrorsArgs),
    /// Send failed rows again
    ///
    /// With --model or --set too, the answers count for the job as written.
    #[command(after_long_help = examples::RETRY)]
    Retry(RetryArgs),
    /// Write results from what is done so far
    #[command(after_long_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Send an OpenAI Batch file to any server; again: go on where it stopped
    #[command(after_long_help = examples::BATCH)]
    Batch(Box<BatchArgs>),
    /// The same sample of rows through several models: cost, latency, agreement, and what the whole job would take
    ///
    /// Answers are kept: the same command goes on where it stopped, and a run that asks the same pays nothing for them.
    #[command(after_long_help = examples::COMPARE)]
    Compare(CompareArgs),
    /// Steer a running job: pause, resume or drain
    #[command(after_long_help = examples::CONTROL)]
    Control(ControlArgs),
    /// What is known of models: context, prices, their source and date
    #[command(after_long_help = examples::MODELS)]
    Models(ModelsArgs),
    /// Forget what no row of the input needs any more; what was paid stays in the report
    #[command(after_long_help = examples::PRUNE)]
    Prune(PruneArgs),
    /// Look at data and write a job file that runs
    #[command(after_long_help = examples::INIT)]
    Init(InitArgs),
    /// Serve the simulator: an OpenAI-compatible server with latency, limits and faults
    #[command(after_long_help = examples::SIM)]
    Sim(SimArgs),
    /// Print the JSON Schema of the job file, for editors
    #[command(after_long_help = examples::SCHEMA)]
    Schema,
    /// Print shell completions
    #[command(after_long_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Print the man page, in roff
    #[command(after_long_help = examples::MAN)]
    Man(ManArgs),
}

// Which rows a command is about, and what it reads and writes instead of what the job says.
#[derive(Clone, Debug, clap::Args)]
pub struct Part {
    /// Read this instead of the job's input.path; `-` is standard input
    #[arg(long, value_name = "PATH", env = "OVERNIGHT_INPUT", hide_env = true)]
    pub input: Option<PathBuf>,
    /// Write results here instead of to the job's output.path; `-`: lines to standard output as rows end, no files
    #[arg(long, value_name = "PATH", env = "OVERNIGHT_OUTPUT", hide_env = true)]
    pub output: Option<PathBuf>,
    /// Only the first N records; results go to a .partial file
    #[arg(long, value_name = "N", env = "OVERNIGHT_LIMIT", hide_env = true)]
    pub limit: Option<NonZeroU64>,
    /// Only N rows from all over the input, the same ones each time; results go to a .partial file
    #[arg(long, value_name = "N", env = "OVERNIGHT_SAMPLE", hide_env = true)]
    pub sample: Option<NonZeroUsize>,
    /// Only the rows of this task; results go to a .partial file
    #[arg(long, value_name = "TASK", env = "OVERNIGHT_TASK", hide_env = true)]
    pub task: Option<String>,
    /// Only the rows for which this expression is true; results go to a .partial file
    #[arg(long = "where", value_name = "EXPR", env = "OVERNIGHT_WHERE", hide_env = true)]
    pub filter: Option<String>,
    /// A task's whole route, fallbacks included; can be given more than once
    #[arg(long = "route", value_name = "TASK=MODEL[,FALLBACK...]", env = "OVERNIGHT_ROUTE", hide_env = true)]
    pub routes: Vec<String>,
    /// Send nothing that could cost more than this: USD for the run, or as in 25/day or 500/month
    #[arg(long, value_name = "USD", allow_negative_numbers = true, env = "OVERNIGHT_MAX_COST", hide_env = true)]
    pub max_cost: Option<String>,
}

impl Part {
    pub fn subset(&self) -> Subset {
        Subset {
            limit: self.limit.map(NonZeroU64::get),
            sample: self.sample.map(NonZeroUsize::get),
            task: self.task.clone(),
            filter: self.filter.clone(),
        }
    }
}

// What is asked otherwise than the job says; of a retry the answers count for the job as written.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Changes {
    /// First choice of all tasks: an alias from [models], or provider/model; fallbacks stay
    #[arg(long, value_name = "MODEL", env = "OVERNIGHT_MODEL", hide_env = true)]
    pub model: Option<String>,
    /// Any key of the job file, as in --set input.format=csv; can be given more than once
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
    /// Calls in flight at most, all providers together, instead of the job's run.concurrency
    #[arg(long, value_name = "N", env = "OVERNIGHT_CONCURRENCY", hide_env = true)]
    pub concurrency: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    #[command(flatten)]
    pub part: Part,
    #[command(flatten)]
    pub changes: Changes,
    /// Send nothing: the same as `overnight plan`
    #[arg(long, env = "OVERNIGHT_DRY_RUN", hide_env = true, value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    #[command(flatten)]
    pub night: Night,
}

#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    #[command(flatten)]
    pub part: Part,
    #[command(flatten)]
    pub changes: Changes,
}

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// The row's record number, from 1 over all files
    #[arg(value_name = "ROW", required_unless_present = "id")]
    pub row: Option<u64>,
    /// The row's id, as in results, instead of ROW
    #[arg(long, value_name = "ID", env = "OVERNIGHT_ID", hide_env = true)]
    pub id: Option<String>,
    /// Read this instead of the job's input.path; `-` is standard input
    #[arg(long, value_name = "PATH", env = "OVERNIGHT_INPUT", hide_env = true)]
    pub input: Option<PathBuf>,
    /// First choice of all tasks: an alias from [models], or provider/model; fallbacks stay
    #[arg(long, value_name = "MODEL", env = "OVERNIGHT_MODEL", hide_env = true)]
    pub model: Option<String>,
    /// The route of one task
    #[arg(long = "route", value_name = "TASK=MODEL[,FALLBACK...]", env = "OVERNIGHT_ROUTE", hide_env = true)]
    pub routes: Vec<String>,
    /// Any key of the job file: --set input.path=x.csv
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// Only tell what would be forgotten
    #[arg(long, env = "OVERNIGHT_DRY_RUN", hide_env = true, value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// Any key of the job file, as it was run
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
    /// What to do while a run holds this job's lock
    #[arg(long, value_enum, default_value_t, value_name = "HOW", env = "OVERNIGHT_IF_LOCKED", hide_env = true)]
    pub if_locked: LockedMode,
}

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The job file; without it, a line for each job below the working directory that has run
    #[arg(value_name = "JOB")]
    pub job: Option<PathBuf>,
    /// Tell JOB again each second, until it no longer runs
    #[arg(long, env = "OVERNIGHT_WATCH", hide_env = true, value_parser = FalseyValueParser::new())]
    pub watch: bool,
}

#[derive(Debug, clap::Args)]
pub struct ErrorsArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct RetryArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// Only failures of these kinds; `truncated`: answers that stopped at the output limit
    #[arg(
        long = "kind",
        value_name = "KIND[,KIND...]",
        value_delimiter = ',',
        env = "OVERNIGHT_KIND",
        hide_env = true
    )]
    pub kinds: Vec<String>,
    /// Only rows of this task
    #[arg(long, value_name = "TASK", env = "OVERNIGHT_TASK", hide_env = true)]
    pub task: Option<String>,
    #[command(flatten)]
    pub changes: Changes,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The job file
    #[arg(value_name = "JOB")]
    pub job: PathBuf,
    /// How rows are written; without it: by the ending of FILE, else jsonl
    #[arg(long, value_enum, value_name = "FORMAT", env = of_format::<ExportAs>(), hide_env = true)]
    pub format: Option<ExportAs>,
    /// Where to; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// The original records of failed rows, as a valid input file
    #[arg(long, env = "OVERNIGHT_FAILED", hide_env = true, value_parser = FalseyValueParser::new())]
    pub failed: bool,
    /// Any key of the job file, as it was run
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
}

/// How rows are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportAs {
    /// Result lines, as in the results file: rows that succeeded
    Jsonl,
    /// A line for every row that ended
    Csv,
    /// The same as a Parquet file
    Parquet,
    /// An OpenAI Batch output file: every row that ended
    OpenaiBatch,
}

#[derive(Debug, clap::Args)]
pub struct SimArgs {
    /// Where to listen, on loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089", env = "OVERNIGHT_LISTEN", hide_env = true)]
    pub listen: SocketAddr,
    /// A key of the simulator, as in a job's [providers.X.simulate]: --set latency=200ms --set limits.rpm=300
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// A file, or a folder of files; without it a tiny sample is written too
    #[arg(value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// The model, as provider/model; default: by the keys in the environment, else Ollama, else simulated (sim/any)
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// The job file to write; default: by the data's name, here
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Unpack this built-in example here instead; without a name they are listed
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "",
        conflicts_with_all = ["data", "model", "output"])]
    pub example: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The page of this command instead of the whole
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn a_command_says_of_itself_what_the_list_of_commands_says_of_it() {
        let listed = Args::command();
        let mut built = Args::command();
        built.build();
        for one in listed.get_subcommands() {
            let of_itself = built.find_subcommand(one.get_name()).unwrap();
            let told = |command: &clap::Command| {
                [command.get_about(), command.get_long_about()].map(|about| about.map(ToString::to_string))
            };
            assert_eq!(told(of_itself), told(one), "{}", one.get_name());
        }
    }
}
