//! The command line, with the flags of `vllm run-batch` that are for its engine: whoever has such a command goes on with it.
//!
//! They are known by name, and by whether a value follows, so that nothing else passes unnoticed. They stand in no help.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::args::Args;
use super::environment;

const BATCH: &str = "batch";

/// Flags with a value.
const VALUED: &str = "
    additional-config all2all-backend allowed-local-media-path api-server-count attention-backend attention-config block-size
    chat-template chat-template-content-format code-revision collect-detailed-traces compilation-config config-format
    convert cp-kv-cache-interleave-size cpu-offload-gb data-parallel-address data-parallel-backend data-parallel-rank
    data-parallel-rpc-port data-parallel-size data-parallel-size-local data-parallel-start-rank dbo-decode-token-threshold
    dbo-prefill-token-threshold dcp-kv-cache-interleave-size decode-context-parallel-size default-chat-template-kwargs
    default-mm-loras device diffusion-config distributed-executor-backend download-dir dtype ec-transfer-config eplb-config
    eplb-step-interval eplb-window-size expert-placement-strategy generation-config gpu-memory-utilization
    guided-decoding-backend hf-config-path hf-overrides hf-token host io-processor-plugin kernel-config kv-cache-dtype
    kv-cache-memory-bytes kv-cache-metrics-sample kv-events-config kv-offloading-backend kv-offloading-size
    kv-transfer-config limit-mm-per-prompt load-format logits-processor-pattern logprobs-mode
    long-prefill-token-threshold lora-dtype lora-extra-vocab-size mamba-block-size mamba-cache-dtype
    mamba-ssm-cache-dtype master-addr master-port max-cpu-loras max-cudagraph-capture-size max-log-len max-logprobs
    max-long-partial-prefills max-lora-rank max-loras max-model-len max-num-batched-tokens max-num-partial-prefills
    max-num-seqs max-parallel-loading-workers max-prompt-adapter-token max-prompt-adapters max-seq-len-to-capture
    media-io-kwargs mm-encoder-attn-backend mm-encoder-tp-mode mm-processor-cache-gb mm-processor-cache-type
    mm-processor-kwargs mm-shm-cache-max-object-size-mb model-impl model-loader-extra-config ngram-prompt-lookup-max
    ngram-prompt-lookup-min nnodes node-rank num-gpu-blocks-override num-lookahead-slots num-redundant-experts
    num-scheduler-steps num-speculative-tokens optimization-level otlp-traces-endpoint output-tmp-dir
    override-attention-dtype override-generation-config override-neuron-config override-pooler-config
    performance-mode pipeline-parallel-size pooler-config port preemption-mode prefill-context-parallel-size prefix-caching-hash-algo
    profiler-config pt-load-map-location qlora-adapter-name-or-path quantization reasoning-parser
    reasoning-parser-plugin response-role revision rope-scaling rope-theta runner safetensors-load-strategy
    scheduler-cls scheduler-delay-factor scheduling-policy seed show-hidden-metrics-for-version speculative-config
    speculative-disable-by-batch-size speculative-draft-tensor-parallel-size speculative-max-model-len speculative-model
    speculative-model-quantization stream-interval structured-outputs-config swap-space task tensor-parallel-size
    tokenizer tokenizer-mode tokenizer-pool-size tokenizer-revision tool-call-parser tool-parser-plugin ubatch-size url
    video-pruning-rate weight-transfer-config worker-cls worker-extension-cls";

/// Flags with one value or more.
const LISTS: &str = "
    allowed-media-domains cudagraph-capture-sizes ignore-patterns logits-processors lora-modules served-model-name";

/// Flags that are on or off; the value of some may be written out.
const SWITCHES: &str = "
    aggregate-engine-logging async-scheduling calculate-kv-scales cudagraph-metrics data-parallel-external-lb
    data-parallel-hybrid-lb disable-async-output-proc disable-cascade-attn disable-chunked-mm-input
    disable-custom-all-reduce disable-hybrid-kv-cache-manager disable-log-requests disable-log-stats
    disable-mm-preprocessor-cache disable-nccl-for-dp-synchronization disable-sliding-window
    enable-auto-tool-choice enable-chunked-prefill enable-dbo enable-eplb enable-expert-parallel
    enable-force-include-usage enable-layerwise-nvtx-tracing enable-log-requests enable-lora enable-lora-bias
    enable-metrics enable-mfu-metrics enable-mm-embeds enable-prefix-caching enable-prompt-adapter enable-prompt-embeds
    enable-prompt-tokens-details enable-sleep-mode enforce-eager engine-use-ray eplb-log-balancedness
    exclude-tools-when-tool-choice-none fully-sharded-loras guided-decoding-disable-additional-properties
    guided-decoding-disable-any-whitespace guided-decoding-disable-fallback interleave-mm-strings kv-cache-metrics
    kv-sharing-fast-prefill mm-encoder-only multi-step-stream-outputs ray-workers-use-nsight skip-mm-profiling
    skip-tokenizer-init trust-remote-code trust-request-chat-template use-tqdm-on-load use-v2-block-manager
    worker-use-ray";

/// Short names that stand for nothing else here.
const SHORT: [(&str, &str); 21] = [
    ("-tp", "tensor-parallel-size"),
    ("-pp", "pipeline-parallel-size"),
    ("-dp", "data-parallel-size"),
    ("-dpn", "data-parallel-rank"),
    ("-dpr", "data-parallel-start-rank"),
    ("-dpl", "data-parallel-size-local"),
    ("-dpa", "data-parallel-address"),
    ("-dpp", "data-parallel-rpc-port"),
    ("-dpb", "data-parallel-backend"),
    ("-dph", "data-parallel-hybrid-lb"),
    ("-dpe", "data-parallel-external-lb"),
    ("-dcp", "decode-context-parallel-size"),
    ("-pcp", "prefill-context-parallel-size"),
    ("-ep", "enable-expert-parallel"),
    ("-ac", "attention-config"),
    ("-cc", "compilation-config"),
    ("-sc", "speculative-config"),
    ("-asc", "api-server-count"),
    ("-n", "nnodes"),
    ("-r", "node-rank"),
    ("-O", LEVEL),
];
/// `-O3` is `-O 3`, and `-O.mode=3` a part of another flag.
const LEVEL: &str = "optimization-level";
/// To us `-q` means quiet; with a value it is theirs.
const QUIET: &str = "-q";
const QUANTIZATION: &str = "quantization";

/// Parses the command line; ends the process with a word where it is wrong. With the flags of another program's engine,
/// where some were given.
pub fn parse() -> (Args, Vec<String>) {
    let arguments = all_spelled_out(std::env::args_os().collect());
    let mut command = with_flags(Args::command(), &arguments);
    let matches = command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| error.exit());
    environment::check(&matches, &mut command).unwrap_or_else(|error| error.exit());
    let ignored = matches.subcommand_matches(BATCH).map(given).unwrap_or_default();
    let args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut Args::command()));
    let mut args = args.unwrap_or_else(|error| error.exit());
    environment::settle(&mut args, &matches);
    (args, ignored)
}

/// The command line, where it is one of `batch` with its flags as they stand in the tables.
fn all_spelled_out(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(command) = arguments.iter().position(|argument| argument == BATCH) else { return arguments };
    let mut of_batch = arguments.split_off(command + 1).into_iter().peekable();
    while let Some(argument) = of_batch.next() {
        // A batch takes flags alone: what follows is a value.
        let has_value = of_batch.peek().is_some_and(|next| !next.as_encoded_bytes().starts_with(b"-"));
        let theirs = argument == QUIET && has_value;
        arguments.push(if theirs { format!("--{QUANTIZATION}").into() } else { spelled_out(argument) });
    }
    arguments
}

/// The flag as it stands in the tables: vLLM takes `_` for `-`, `--no-` before a switch, and a key behind a dot.
fn spelled_out(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
    if let Some((_, long)) = SHORT.iter().find(|(short, _)| *short == name) {
        return format!("--{long}{value}").into();
    }
    if let Some(level) = text.strip_prefix("-O") {
        return if level.starts_with('.') {
            "--compilation-config=.".into()
        } else {
            format!("--{LEVEL}={level}").into()
        };
    }
    let Some(name) = name.strip_prefix("--") else { return argument };
    let name = name.split_once('.').map_or(name, |(name, _)| name).replace('_', "-");
    let switch = name.strip_prefix("no-").filter(|name| SWITCHES.split_whitespace().any(|switch| switch == *name));
    format!("--{}{value}", switch.unwrap_or(&name)).into()
}

/// With all of them where the command line may be one of `batch`: the others start sooner without.
fn with_flags(command: Command, arguments: &[OsString]) -> Command {
    if !arguments.iter().any(|argument| argument == BATCH) {
        return command;
    }
    let valued = VALUED.split_whitespace().map(|name| flag(name).num_args(1).allow_negative_numbers(true));
    let lists = LISTS.split_whitespace().map(|name| flag(name).num_args(1..));
    let switches = SWITCHES.split_whitespace().map(|name| flag(name).num_args(0..=1).default_missing_value(""));
    let flags: Vec<Arg> = valued.chain(lists).chain(switches).collect();
    command.mut_subcommand(BATCH, |batch| batch.args(flags))
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append).hide(true)
}

/// Those of them that were given, in the order of the command line.
fn given(batch: &ArgMatches) -> Vec<String> {
    let names = [VALUED, LISTS, SWITCHES].into_iter().flat_map(str::split_whitespace);
    let mut given: Vec<(usize, String)> =
        names.filter_map(|name| Some((batch.indices_of(name)?.min()?, format!("--{name}")))).collect();
    given.sort();
    given.into_iter().map(|(_, flag)| flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(line: &str) -> String {
        let arguments = all_spelled_out(line.split(' ').map(OsString::from).collect());
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn short_forms_are_spelled_out_behind_the_command_alone() {
        let same = ["-q batch -i a -o b -q", "batch -q -i a", "run -q -O3 x", "batch -i - -o ./-q"];
        for line in same {
            assert_eq!(spelled(line), line);
        }
        assert_eq!(spelled("batch -q awq -i a"), "batch --quantization awq -i a");
        assert_eq!(
            spelled("batch -O3 -O 2 -O=1"),
            "batch --optimization-level=3 --optimization-level 2 --optimization-level=1"
        );
        assert_eq!(
            spelled("batch -O.mode=3 -tp=4 -dpl 2"),
            "batch --compilation-config=. --tensor-parallel-size=4 --data-parallel-size-local 2"
        );
        assert_eq!(
            spelled("batch --speculative_config.model=x --no-enable-lora"),
            "batch --speculative-config=x --enable-lora"
        );
    }
}
