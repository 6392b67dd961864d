//! `cargo xtask`: sets up the parts that the tests need and runs everything that must pass.
//! Knows how to run programs and nothing of OneKnock's own types, so that it builds in seconds.
//! A new command is a file of its own, with an `Args` and a `run`.

mod command;
mod demo;
mod deploy;
mod kill;
mod latency;
mod parts;
mod paths;
mod setup;
mod shared;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Set-up and checks of the OneKnock workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetches what the tests need into .tools: Kafka, Apicurio, Chromium, checkers. Quick when all is there.
    Setup,
    /// Sets up, then runs every check and every test.
    Test(test::Args),
    /// Runs the suite over a folder of real and hostile data outside the repository.
    TestShared(shared::Args),
    /// Kills the whole process at random moments under load: nothing may be lost or doubled. `--log embedded|kafka --count N [--seed S] [--json]`
    #[command(disable_help_flag = true)]
    Kill(kill::Args),
    /// Times an event from the gateway's 202 to the worker's stream. `--rate 200 [--seconds 30] [--log embedded|kafka] [--flip-zones N] [--json]`
    #[command(disable_help_flag = true)]
    Latency(kill::Args),
    /// Drains 1 million events from one local Kafka node through the router. `[--events N] [--seed S] [--json]`; `--core`: the pure core alone; `--loops`: the two loops alone; `--sealing`: the share of tokens and sealing
    #[command(disable_help_flag = true)]
    Bench(kill::Args),
    /// Loads the identifier table, cold and from its cache. `--entries N [--json]`
    #[command(disable_help_flag = true)]
    Table(kill::Args),
    /// Simulates whole sites with faults, one from each seed. `--seeds N [--seed S] [--json]`
    #[command(disable_help_flag = true)]
    Sim(kill::Args),
    /// Plays deliberate bugs until the simulation finds them. `[--only NAME] [--seed S] [--json]`
    #[command(disable_help_flag = true)]
    Mutants(kill::Args),
    /// Simulates a large city on the pure core. `--households N --days D [--seed S] [--json]`
    #[command(disable_help_flag = true)]
    City(kill::Args),
    /// Changes a log of reads in every way its holder could: each must be found. `[--count N] [--seed S] [--null-control] [--json]`
    #[command(disable_help_flag = true)]
    Tamper(kill::Args),
    /// Ends a mandate and tries to open every sealed value in every file that is left. `--values N [--null-control] [--json]`
    #[command(disable_help_flag = true)]
    End(kill::Args),
    /// Asks everything as everybody, and compares with a table of its own. `--requests N [--seed S] [--leave-out RULE] [--json]`
    #[command(disable_help_flag = true)]
    Matrix(kill::Args),
    /// Fills a site with made-up people by every way in, under faults: no file or output may hold them in clear. `--count N [--seed S] [--null-control] [--json]`
    #[command(disable_help_flag = true)]
    Canaries(kill::Args),
    /// Tells histories twice, the second time of people from elsewhere: nothing but the tokens may differ. `--pairs N [--seed S] [--null-control RULE] [--json]`
    #[command(disable_help_flag = true)]
    Swap(kill::Args),
    /// Checks compose file, manifests, image, topics, alerts and dashboard under deploy/.
    Deploy,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::Test(args) => test::run(&args),
        Task::TestShared(args) => shared::run(&args),
        Task::Kill(args) => kill::run(&args),
        Task::Latency(args) => latency::run(&args),
        Task::Bench(args) => kill::measure("bench", &args),
        Task::Table(args) => kill::measure("table", &args),
        Task::Sim(args) => kill::check("sim", &args),
        Task::Mutants(args) => kill::check("mutants", &args),
        Task::City(args) => kill::check("city", &args),
        Task::Tamper(args) => kill::check("tamper", &args),
        Task::End(args) => kill::check("end", &args),
        Task::Matrix(args) => kill::check("matrix", &args),
        Task::Canaries(args) => kill::canaries(&args),
        Task::Swap(args) => kill::check("swap", &args),
        Task::Deploy => deploy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
