//! `overnight sim`.

use std::io;
use std::num::NonZeroUsize;

use overnight::sim::{Sim, SimSettings, serve};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::cli::args::SimArgs;
use crate::cli::{print, print_error};

/// Serves until it is interrupted; gives the exit code.
pub fn execute(args: &SimArgs) -> u8 {
    let settings = match settings(&args.set) {
        Ok(settings) => settings,
        Err(message) => {
            print_error(&message);
            return 2;
        }
    };
    if !args.listen.ip().is_loopback() {
        print_error(&format!(
            "{}: the simulator listens on loopback only\n  hint: --listen 127.0.0.1:8089",
            args.listen
        ));
        return 2;
    }
    match listen(args, settings) {
        Ok(()) => 0,
        Err(error) => {
            print_error(&format!("cannot serve on {}: {error}\n  hint: another --listen address", args.listen));
            1
        }
    }
}

fn listen(args: &SimArgs, settings: SimSettings) -> io::Result<()> {
    // Half of the cores, or one: the others are for whoever calls. On two cores a second thread would only take turns with the caller.
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        let address = listener.local_addr()?;
        print(&format!("the simulator serves http://{address}/v1 (its ledger: http://{address}/_sim/ledger)\n"));
        let stop = async {
            // Without a handler the signal itself ends the process.
            let _ = tokio::signal::ctrl_c().await;
        };
        serve(Sim::new(settings), listener, stop).await
    })
}

/// Lays `a.b=VALUE` pairs into one tree; a value is TOML, else a text.
fn settings(pairs: &[String]) -> Result<SimSettings, String> {
    let mut tree = Map::new();
    for pair in pairs {
        let (key, text) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: KEY=VALUE is expected"))?;
        insert(&mut tree, key, value(text)).map_err(|()| format!("--set {pair}: {key} is no table"))?;
    }
    SimSettings::from_table(&tree).map_err(|wrong| {
        let told = wrong.into_iter().map(|(key, message)| match key {
            Some(key) => format!("--set: {key}: {message}"),
            None => format!("--set: {message}"),
        });
        told.collect::<Vec<_>>().join("\n")
    })
}

fn value(text: &str) -> Value {
    let parsed = toml::from_str::<Map<String, Value>>(&format!("value = {text}"));
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn insert(tree: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), ()> {
    match key.split_once('.') {
        None => {
            tree.insert(key.to_owned(), value);
            Ok(())
        }
        Some((table, rest)) => {
            let below = tree.entry(table).or_insert_with(|| Value::Object(Map::new()));
            insert(below.as_object_mut().ok_or(())?, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_laid_into_one_tree() {
        let pairs = ["latency=200ms", "limits.rpm=300", "faults.server_error=0.1"].map(str::to_owned);
        let settings = settings(&pairs).unwrap();
        assert_eq!(settings.limits.rpm, Some(300));
        assert_eq!(settings.latency.end().as_millis(), 200);
        assert!(super::settings(&["latenzy=1s".to_owned()]).unwrap_err().contains("latenzy"));
    }
}
