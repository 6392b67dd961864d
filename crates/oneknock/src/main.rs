//! The one binary: reads the command line, and alone knows all roles. It decides nothing about visits.

mod changes;
mod cli;
mod commands;
mod config;
mod crash;
mod demo;
mod failure;
mod keyring;
mod language;
mod logging;
mod memory;
mod oidc;
mod reconnect;
mod roles;
mod site;

use cli::{Cli, Command};
use failure::Failure;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// How long threads that still hang in the log's client are waited for once a command is done.
const LEFTOVERS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    crash::keep_memory_to_ourselves();
    crash::tell_panics_by_their_place();
    memory::settle();
    let cli = Cli::read();
    let level = match cli.command {
        Command::Run(_) | Command::Connect(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    logging::start(cli.log_format, level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("oneknock: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(command(cli));
    runtime.shutdown_timeout(LEFTOVERS);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Negative | Failure::Refused | Failure::Rejected) {
                eprintln!("oneknock: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}

async fn command(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Demo(options) => demo::run(options).await,
        Command::Init(options) => commands::init::run(&options),
        Command::Run(options) => commands::run::run(&cli.config, &options.role).await,
        Command::Registry(command) => commands::registry::run(&cli.config, command, cli.json).await,
        Command::Connect(options) => commands::connect::run(&cli.config, &options).await,
        Command::Mandate(command) => commands::mandate::run(&cli.config, command, cli.json).await,
        Command::Keys(command) => commands::keys::run(&cli.config, &command, cli.json).await,
        Command::Policy(cli::Policy::Check { file, lang }) => commands::policy::check(&file, lang, cli.json),
        Command::Policy(cli::Policy::Apply { file, yes, lang }) => commands::policy::apply(&cli.config, &file, yes, lang).await,
        Command::Policy(cli::Policy::WhatIf(options)) => commands::policy::what_if(&cli.config, &options, cli.json).await,
        Command::Audit(command) => commands::audit::run(&cli.config, command, cli.json).await,
        Command::Ops(command) => commands::ops::run(&cli.config, command, cli.json).await,
    }
}
