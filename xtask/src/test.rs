//! `cargo xtask test`: one part after the other, each timed. It stops at the first that fails and says of every part
//! whether it passed, failed or was not reached.

use crate::command::{cargo, run as run_command};
use crate::parts::Parts;
use crate::{demo, deploy, setup};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::Instant;

/// What all builds of the tests have in common. The same packages and features in each of them, or else cargo builds
/// the dependencies again with another set of features.
pub const BUILD: [&str; 5] = ["--profile", "ci", "--workspace", "--features", "oneknock/tls"];

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Runs only tests whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Runs only this part, after set-up: fmt, build, clippy, test, deploy or demo.
    #[arg(long)]
    only: Option<String>,
}

type Part<'a> = (&'static str, Box<dyn Fn(&Parts) -> Result<()> + 'a>);

/// Runs it.
pub fn run(args: &Args) -> Result<()> {
    let parts: Vec<Part> = vec![
        ("fmt", Box::new(|_| run_command(cargo().args(["fmt", "--all", "--check"])))),
        ("build", Box::new(|_| run_command(cargo().arg("build").args(BUILD).arg("--all-targets")))),
        ("clippy", Box::new(|_| run_command(&mut clippy()))),
        ("test", Box::new(|found| run_command(found.export(&mut tests(args.filter.as_deref()))))),
        ("deploy", Box::new(|_| deploy::run())),
        ("demo", Box::new(|_| demo::run())),
    ];
    if let Some(only) = &args.only
        && !parts.iter().any(|(name, _)| name == only)
    {
        bail!("no part is named {only}; there are {}", parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    }
    let chosen = parts.into_iter().filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name));

    let mut report = Vec::new();
    let mut failure = None;
    let began = Instant::now();
    let found = setup::all();
    report.push(line("setup", if found.is_ok() { "ok" } else { "FAILED" }, Some(began)));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            failure = Some(("setup", error));
            Parts::default()
        }
    };
    for (name, part) in chosen {
        if failure.is_some() {
            report.push(line(name, "not run", None));
            continue;
        }
        println!("\n== {name}");
        let began = Instant::now();
        let done = part(&found);
        report.push(line(name, if done.is_ok() { "ok" } else { "FAILED" }, Some(began)));
        failure = done.err().map(|error| (name, error));
    }
    println!("\n{}", report.join("\n"));
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    match failure {
        Some((name, error)) => bail!("{name} failed after {minutes:.1} min: {error:#}"),
        None => {
            println!("xtask test: everything passed in {minutes:.1} min");
            Ok(())
        }
    }
}

fn tests(filter: Option<&str>) -> Command {
    let mut tests = cargo();
    tests.arg("test").args(BUILD);
    if let Some(filter) = filter {
        tests.args(["--", filter]);
    }
    tests
}

fn clippy() -> Command {
    let mut clippy = cargo();
    clippy.arg("clippy").args(BUILD).args(["--all-targets", "--", "-D", "warnings"]);
    clippy
}

fn line(name: &str, state: &str, began: Option<Instant>) -> String {
    match began {
        Some(began) => format!("{name:<8} {state:<8} {:>5.1} min", began.elapsed().as_secs_f64() / 60.0),
        None => format!("{name:<8} {state}"),
    }
}
