//! The flags of `overnight batch`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;

use super::Night;
use crate::cli::environment::of_max_inflight;

// `vllm run-batch` has the same flags, where it has them; its engine's are ignored.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "this is what --help prints")]
pub struct BatchArgs {
    /// The OpenAI Batch file: a line each with custom_id, method, url and body; `-` is standard input
    #[arg(long, short, value_name = "FILE", env = "OVERNIGHT_INPUT_FILE", hide_env = true)]
    pub input_file: PathBuf,
    /// Where the output goes, a line each in the order of the input; replaced whole, when nothing remains
    #[arg(long, short, value_name = "FILE", env = "OVERNIGHT_OUTPUT_FILE", hide_env = true)]
    pub output_file: PathBuf,
    /// Where the lines of failed rows go; without it they stand in the output
    #[arg(long, value_name = "FILE", env = "OVERNIGHT_ERROR_FILE", hide_env = true)]
    pub error_file: Option<PathBuf>,
    /// The server, as in http://localhost:8000/v1; default: OPENAI_BASE_URL, else OpenAI itself
    #[arg(long, value_name = "URL", env = "OVERNIGHT_BASE_URL", hide_env = true)]
    pub base_url: Option<String>,
    /// Send all lines to this model, whatever they name; without a server also as in groq/llama-3.1-8b-instant
    #[arg(long, value_name = "MODEL", env = "OVERNIGHT_MODEL", hide_env = true)]
    pub model: Option<String>,
    /// The variable that holds the key; default: OPENAI_API_KEY where it is set
    #[arg(long, value_name = "NAME", env = "OVERNIGHT_API_KEY_ENV", hide_env = true)]
    pub api_key_env: Option<String>,
    /// Calls in flight at most; default 256, and less while the server is slower for it
    #[arg(long, alias = "concurrency", value_name = "N", env = of_max_inflight(), hide_env = true)]
    pub max_inflight: Option<usize>,
    /// Requests a minute at most
    #[arg(long, value_name = "N", env = "OVERNIGHT_RPM", hide_env = true)]
    pub rpm: Option<u64>,
    /// Tokens a minute at most, input and output together
    #[arg(long, value_name = "N", env = "OVERNIGHT_TPM", hide_env = true)]
    pub tpm: Option<u64>,
    /// Only the first N lines; the output goes to a .partial file
    #[arg(long, value_name = "N", env = "OVERNIGHT_LIMIT", hide_env = true)]
    pub limit: Option<NonZeroU64>,
    /// Send nothing that could cost more than this: USD for the run, or as in 25/day or 500/month
    #[arg(long, value_name = "USD", allow_negative_numbers = true, env = "OVERNIGHT_MAX_COST", hide_env = true)]
    pub max_cost: Option<String>,
    /// Any key of a job file, as in --set retry.max_attempts=2; can be given more than once
    #[arg(long, value_name = "KEY=VALUE", env = "OVERNIGHT_SET", hide_env = true)]
    pub set: Vec<String>,
    /// Send nothing: tell rows, tokens, cost and time
    #[arg(long, env = "OVERNIGHT_DRY_RUN", hide_env = true, value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    #[command(flatten)]
    pub night: Night,
}
