//! What overnight promises, tested from outside: the real binary and the library's public API, against the simulator.
//!
//! - `again`: failed rows sent again by `retry`, and what a change of the job sends again
//! - `appended`: inputs that changed behind some row, matched by number as far as that, and what comes of it
//! - `architecture`: the layer table against the code
//! - `badinput`: inputs as people have them
//! - `bill_of_a_night`: the report is the provider's bill to the last digit, with faults, fallbacks, a budget and kills
//! - `bills`: real usage objects of each family of providers, and what they cost
//! - `batch`: OpenAI Batch files through any server, killed, gone on with, and what becomes of each line
//! - `budget`: what it needs, what a plan says of it, and that no run goes over it
//! - `cli`: exit codes, streams, errors with place and hint
//! - `compare`: rows through several models, told exactly, paid once, and apart from the job's own runs
//! - `cron`: exit codes, silence, locks, limits of its own and steering, in the environment that cron gives
//! - `daily`: requests a day, over all invocations of it
//! - `dedupe`: requests that are the same, sent once
//! - `disk`: a full disk stops the run, and room lets it go on
//! - `docs`: what the documents say of commands, keys, defaults, kinds and exit codes is so
//! - `endpoints`: completions, embeddings and responses, from the job file to the results
//! - `export`: what is done so far, written out; results to a pipe
//! - `formatdown`: a form of answer that a model does not take, and what is asked instead
//! - `formats`: data sets in and out as files of each format
//! - `hedge`: a second call beside one that takes far too long
//! - `images`: what they are known by, and rows whose image cannot be sent
//! - `incremental`: what is sent again after a change
//! - `init`: from data or an example to a job file that runs; help, completions, man page
//! - `jobs`: the examples of `jobs/`, the reference job and the schema
//! - `keep`: answers that outlast a change of the job
//! - `kill`: SIGKILL at random moments, then the same command: every row ends once, and the bill is told
//! - `kinds`: every failure by its kind
//! - `lanes`: rows of a task that waits hold up no rows of another, however many there are
//! - `limits`: rates, windows and cooldowns, through the whole engine on paused time
//! - `lock`: one writer for each state directory
//! - `longrows`: rows over a model's context, and answers at their limit
//! - `models`: what is known of models, listed; price files and borrowed prices in a run and its report
//! - `night`: a run of the library on paused time, with simulators without sockets
//! - `outage`: servers that are out for a while: rows wait or go elsewhere, and none fails by it
//! - `overrides`: rows that carry a model and params of their own
//! - `plan`: what a run would do and all about one row, told without a call or a file
//! - `process`: a run as a process of its own: started, waited for, signalled, killed
//! - `prune`: what no row needs any more is forgotten, what was paid is not, killed at any instant
//! - `removal`: models that leave the run
//! - `report`: report, status and errors, against the files and the simulator's own ledger
//! - `resume`: damaged on disk, then the same command: only what is gone is sent again
//! - `retry`: what follows from a failure
//! - `roundtrip`: what is written reads back the same, in every format
//! - `run`: a job from its file to its results, and again
//! - `scenarios`: hundreds of nights by chance, each run to its end, with every promise checked after each run
//! - `secrets`: keys stand in no file and on no screen
//! - `signals`: SIGINT, SIGTERM and SIGHUP drain, a second one cuts, and the same command goes on
//! - `tail`: the last rows of a job: what fails them, and what is waited for
//! - `totals`: the report equals the bill
//! - `truth`: what must hold of results, log and bill, however often a job was interrupted
//! - `validate`: answers that must fit a schema or a rule, and what follows from those that do not
//! - `weather`: runs through bad weather: what several providers do to a job, on paused time
//! - `world`: a folder with a job in it, the binary, and a simulator to talk to

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unchecked_time_subtraction)]

mod again;
mod appended;
mod architecture;
mod badinput;
mod batch;
mod bill_of_a_night;
mod bills;
mod budget;
mod cli;
mod compare;
mod cron;
mod daily;
mod dedupe;
mod disk;
mod docs;
mod endpoints;
mod export;
mod formatdown;
mod formats;
mod hedge;
mod images;
mod incremental;
mod init;
mod jobs;
mod keep;
mod kill;
mod kinds;
mod lanes;
mod limits;
mod lock;
mod longrows;
mod models;
mod night;
mod outage;
mod overrides;
mod plan;
mod process;
mod prune;
mod removal;
mod report;
mod resume;
mod retry;
mod roundtrip;
mod run;
mod scenarios;
mod secrets;
mod signals;
mod tail;
mod totals;
mod truth;
mod validate;
mod weather;
mod world;
