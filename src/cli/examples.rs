//! What `overnight help COMMAND` shows below the flags.

pub const RUN: &str = "\
Examples:
  overnight run jobs/tag.toml                    run it; again: go on where it stopped
  overnight run jobs/tag.toml --limit 20         the first 20 rows, to look at answers
  overnight run jobs/tag.toml --sample 100 --model openai/gpt-4o-mini
                                                 100 rows through another model
  overnight run jobs/tag.toml --route tag=small,large
                                                 another route for the task `tag`
  overnight run jobs/tag.toml --set input.path=may.csv --output out/may.jsonl
                                                 the same job over another file
  overnight run jobs/tag.toml -q --json          for cron: one line of JSON at the end

Rows that are done are not sent again, whatever ended the run before. Results are
written when nothing remains; failed rows stand in the errors file.";

pub const BATCH: &str = "\
Examples:
  overnight batch -i requests.jsonl -o results.jsonl --base-url http://localhost:8000/v1
                                                 through a server here; again: go on
  overnight batch -i requests.jsonl -o results.jsonl --model gpt-4o-mini
                                                 all lines to this model of OpenAI's
  overnight batch -i requests.jsonl -o results.jsonl --max-inflight 64 --max-cost 5
  overnight batch -i requests.jsonl -o results.jsonl --error-file errors.jsonl -q --json
  overnight report results.jsonl                 what it cost; the other commands that
                                                 take a JOB take a batch's output, too

Each line's body is sent as it stands, to the endpoint that its url names. What is done
is kept in results.jsonl.overnight/, and lines that are done are not sent again. The
flags of `vllm run-batch` that are for its engine are ignored.";

pub const SIM: &str = "\
Examples:
  overnight sim                                  on http://127.0.0.1:8089/v1
  overnight sim --listen 127.0.0.1:0             on a free port, which it tells
  overnight sim --set latency=200ms --set limits.rpm=300
  overnight sim --set faults.server_error=0.1 --set limit_window=1s

A job uses it with base_url = \"http://127.0.0.1:8089/v1\". A provider with
kind = \"simulated\" needs no server: the simulator runs within the run.";

pub const INIT: &str = "\
Examples:
  overnight init reviews.csv                     writes reviews.toml
  overnight init letters/                        a folder of texts: one file, one row
  overnight init reviews.csv --model ollama/qwen3 -o jobs/tag.toml
  overnight init                                 a tiny sample and a job for it
  overnight init --example                       lists the built-in examples
  overnight init --example tag-csv               unpacks one here

Nothing is overwritten. The job file runs as it is; its comments say what to change.";

pub const SCHEMA: &str = "\
Examples:
  overnight schema > overnight.schema.json
  and as the first line of a job file, for editors with Taplo (Even Better TOML):
  #:schema ./overnight.schema.json";

pub const COMPLETIONS: &str = "\
Examples:
  overnight completions bash > ~/.local/share/bash-completion/completions/overnight
  overnight completions zsh > ~/.zfunc/_overnight
  overnight completions fish > ~/.config/fish/completions/overnight.fish";

pub const MAN: &str = "\
Examples:
  overnight man > ~/.local/share/man/man1/overnight.1
  overnight man run | man -l -";

pub const PLAN: &str = "\
Examples:
  overnight plan jobs/tag.toml                   rows, time and cost, beforehand
  overnight plan jobs/tag.toml --model openai/gpt-4o
                                                 the same through another model
  overnight plan jobs/tag.toml --set 'tasks.tag.prompt=\"...\"' --json
                                                 what a new prompt would send again";

pub const EXPLAIN: &str = "\
Examples:
  overnight explain jobs/tag.toml 17             record 17, as it would be sent
  overnight explain jobs/tag.toml --id r17       the row with this id";

pub const STATUS: &str = "\
Examples:
  overnight status                               all jobs below the working directory
  overnight status jobs/tag.toml --watch         a running job, each second
  overnight status jobs/tag.toml --json | jq .rows";

pub const REPORT: &str = "\
Examples:
  overnight report jobs/tag.toml                 the last run
  overnight report jobs/tag.toml --run all       all nights side by side
  overnight report jobs/tag.toml --format html -o night.html
  overnight report jobs/tag.toml --what-if gpt-4o,qwen-plus
                                                 the same tokens at other list prices
  overnight report jobs/tag.toml --format markdown -o night.md
  overnight report jobs/tag.toml --json | jq .totals.cost_usd";

pub const ERRORS: &str = "\
Examples:
  overnight errors jobs/tag.toml                 what failed, why, and what to do
  overnight export jobs/tag.toml --failed -o failed.csv
                                                 the failed rows themselves, to mend";

pub const RETRY: &str = "\
Examples:
  overnight retry jobs/tag.toml                  all failed rows
  overnight retry jobs/tag.toml --kind timeout,empty --task tag
  overnight retry jobs/tag.toml --kind content_filter --model strong
  overnight retry jobs/tag.toml --kind truncated --set tasks.tag.params.max_tokens=512

Answers are stored under the rows' own keys: the next run pays nothing for them.";

pub const EXPORT: &str = "\
Examples:
  overnight export jobs/tag.toml | jq .content   what is done so far, also while it runs
  overnight export jobs/tag.toml --format csv -o so-far.csv
  overnight export jobs/tag.toml --failed -o failed.jsonl";

pub const COMPARE: &str = "\
Examples:
  overnight compare jobs/tag.toml --models cheap,strong,openai/gpt-4o
                                                 20 rows through each of them
  overnight compare jobs/tag.toml --models cheap,strong --sample 200 --max-cost 1
  overnight compare jobs/tag.toml --models cheap,strong --format markdown -o compare.md
                                                 with the answers side by side

Each model is asked alone, without the task's fallbacks, under the job's own limits.
Nothing is paid twice: not by the same command again, and not by a run of the job
whose first choice is the model. Costs are those of these rows, exactly; those of the
whole job are these, scaled.";

pub const CONTROL: &str = "\
Examples:
  overnight control jobs/tag.toml pause          no more calls; those in flight finish
  overnight control jobs/tag.toml resume
  overnight control jobs/tag.toml drain          as SIGTERM does";

pub const PRUNE: &str = "\
Examples:
  overnight prune jobs/tag.toml --dry-run        what would be forgotten
  overnight prune jobs/tag.toml                  forget it
  overnight prune jobs/tag.toml --set input.path=may.csv
                                                 for a job that is run over this input

An outcome is kept while a row of the input takes it: same id, prompt, params and
model. After a change of the job, run first: prune forgets the answers to the old
prompt. What was paid stays in status and report; archive/ is left alone.";

pub const MODELS: &str = "\
Examples:
  overnight models gpt-4o                        names that hold this text
  overnight models 'openai/*mini*'               names that match this glob
  overnight models qwen/qwen-plus                what a job would find by this name
  overnight models --prices negotiated.json      what a price file of your own lists
  overnight models --format prices > prices.json to change some of them";
