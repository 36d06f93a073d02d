//! `overnight man`.

use clap::{Command, CommandFactory};

use crate::cli::args::{Args, ManArgs};
use crate::cli::{print, print_error};

/// Prints a man page; gives the exit code.
pub fn execute(args: &ManArgs) -> u8 {
    let mut whole = Args::command();
    whole.build();
    let Some(command) = args.command.as_ref().map_or(Some(&whole), |name| whole.find_subcommand(name)) else {
        let names: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
        let name = args.command.as_deref().unwrap_or_default();
        print_error(&format!("no command is called {name:?}\n  hint: one of {}", names.join(", ")));
        return 2;
    };
    let mut page = Vec::new();
    match clap_mangen::Man::new(command.clone()).render(&mut page) {
        Ok(()) => {
            print(&String::from_utf8_lossy(&page));
            0
        }
        Err(error) => {
            print_error(&format!("cannot make the man page: {error}"));
            1
        }
    }
}
