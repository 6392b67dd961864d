//! The command line. Options may stand before or after a command's other words. A command that is not here is not there.

mod registry;

use crate::failure::Failure;
use crate::language::Language;
use crate::logging::LogFormat;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use keys::{Suite, TransitSettings};
pub use registry::{Import, OfWhom, Registry};
use std::path::PathBuf;

/// One household, one knock: arrivals from several agencies become one visit of one household.
#[derive(Debug, Parser)]
#[command(
    name = "oneknock",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 done with rejected rows."
)]
pub struct Cli {
    /// The site's oneknock.toml; its keys also come as ONEKNOCK_<SECTION>_<KEY>.
    #[arg(long, global = true, value_name = "FILE", default_value = "oneknock.toml")]
    pub config: PathBuf,
    /// JSON instead of text, where a command prints a report.
    #[arg(long, global = true)]
    pub json: bool,
    /// How log lines on stderr look; RUST_LOG chooses which.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The process's own command line; ends the process where it is wrong.
    pub fn read() -> Cli {
        Cli::try_parse().unwrap_or_else(|error| without_values(error).exit())
    }
}

/// What stands at a wrong place may be somebody's number or name, and an error may be kept: words with a digit or of another script are not said
/// again.
fn without_values(mut error: clap::Error) -> clap::Error {
    let may_be_somebodys = |text: &str| !text.is_ascii() || text.bytes().any(|byte| byte.is_ascii_digit());
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        if matches!(error.get(kind), Some(ContextValue::String(text)) if may_be_somebodys(text)) {
            error.insert(kind, ContextValue::String("…".to_owned()));
            // A hint how to write it says it again.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// Everything that the program can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process on a made-up city.
    Demo(Demo),
    /// Write a ready site into a directory.
    Init(Init),
    /// Run the roles of a site until SIGTERM.
    Run(Run),
    /// Who lives where.
    #[command(subcommand)]
    Registry(Registry),
    /// Read one configured source until stopped.
    Connect(Connect),
    /// What may be shared, why and until when.
    #[command(subcommand)]
    Mandate(Mandate),
    /// What makes a visit.
    #[command(subcommand)]
    Policy(Policy),
    /// Under which keys personal data is sealed; never the keys themselves.
    #[command(subcommand)]
    Keys(Keys),
    /// Who opened personal data, and whether the record of it is whole.
    #[command(subcommand)]
    Audit(Audit),
    /// For ops teams: flows, positions and decisions, never people.
    #[command(subcommand)]
    Ops(Ops),
}

/// `oneknock demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Households of the city.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=200_000))]
    pub households: u32,
    /// Events per second that the agencies send.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub rate: u32,
    /// The same seed makes the same city and the same journeys.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The inbox's port; gateway and ops take the two that follow. Otherwise 8080, or others that are free.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_533))]
    pub port: Option<u16>,
    /// Stop after so many seconds; otherwise at Ctrl-C.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Keep the site in this directory; otherwise it is gone at the end.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG. Help and errors are English.
    #[arg(long, value_enum)]
    pub lang: Option<Language>,
}

/// `oneknock init`
#[derive(Debug, Args)]
pub struct Init {
    /// The directory; it may hold no site yet.
    pub dir: PathBuf,
    /// "events" goes by the times in the events: for replays and historic files.
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    pub clock: Clock,
    /// First day of the demonstration mandate, or a moment in RFC 3339.
    #[arg(long, value_name = "DATE", requires = "until")]
    pub from: Option<String>,
    /// The day after its last, or a moment.
    #[arg(long, value_name = "DATE", requires = "from")]
    pub until: Option<String>,
    /// Where its keys are.
    #[command(flatten)]
    pub keys: InitKeys,
}

/// `oneknock init`: the keys.
#[derive(Clone, Debug, Default, Args)]
pub struct InitKeys {
    /// aes: AES-256-GCM and HMAC-SHA-256; sm: SM4-GCM and HMAC-SM3.
    #[arg(long, default_value_t = Suite::Aes)]
    pub suite: Suite,
    /// A service that speaks Vault's transit keeps the keys, in place of a password: its address.
    #[arg(long, value_name = "URL", requires = "keys_token_file")]
    pub keys_address: Option<String>,
    /// The transit engine's mount there; no other site's.
    #[arg(long, value_name = "PATH", default_value = "transit")]
    pub keys_mount: String,
    /// The file (mode 0600) with the token for it.
    #[arg(long, value_name = "FILE", requires = "keys_address")]
    pub keys_token_file: Option<PathBuf>,
}

impl InitKeys {
    /// The key service, where one was named.
    pub fn service(&self) -> Result<Option<TransitSettings>, Failure> {
        let (Some(address), Some(token_file)) = (&self.keys_address, &self.keys_token_file) else { return Ok(None) };
        if !crate::config::is_guarded(address) {
            let expected = "expected an https:// URL, or an http:// one of this machine";
            return Err(Failure::Usage(format!("--keys-address: {expected}")));
        }
        let token_file = std::path::absolute(token_file)?;
        Ok(Some(TransitSettings { address: address.clone(), mount: self.keys_mount.clone(), token_file }))
    }
}

/// What "now" is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// The log's append time.
    Wall,
    /// The newest time of observation.
    Events,
}

/// `oneknock run`
#[derive(Debug, Args)]
pub struct Run {
    /// The roles, separated by commas; all by default.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Role::Gateway, Role::Router, Role::Inbox, Role::Ops])]
    pub role: Vec<Role>,
}

/// A role of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes events from agencies.
    Gateway,
    /// Decides about visits.
    Router,
    /// Shows visits to grid workers.
    Inbox,
    /// Shows flows to the ops team.
    Ops,
}

/// `oneknock connect`
#[derive(Debug, Args)]
pub struct Connect {
    /// The source: a table [sources.NAME] of oneknock.toml.
    #[arg(long, value_name = "NAME")]
    pub source: String,
    /// Read what is there, and end.
    #[arg(long)]
    pub once: bool,
}

/// `oneknock mandate …`
#[derive(Debug, Subcommand)]
pub enum Mandate {
    /// All mandates that the log holds.
    List,
    /// For a signer, once: draw a private key into a new file, and print its public part for the site's signers.toml.
    Signer {
        /// The signer's name.
        name: String,
        /// The new file of the private key; nobody but the signer should be able to read it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// For a signer: sign a mandate's file. Two of the site's three signers must have signed it as it is.
    Sign {
        /// The mandate.
        file: PathBuf,
        /// The signer's private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Put a signed mandate into force; a higher version of one that is there renews it.
    Open {
        /// The mandate.
        file: PathBuf,
    },
    /// Take nothing for a mandate and show nothing of it, until it is resumed.
    Suspend {
        /// The mandate.
        id: String,
    },
    /// Go on with a suspended mandate.
    Resume {
        /// The mandate.
        id: String,
    },
    /// End a mandate for good: its keys are destroyed, nothing that they sealed opens any more, and a signed certificate says so.
    End {
        /// The mandate.
        id: String,
        /// Wait at most so many seconds until what is queued for it is decided.
        #[arg(long, value_name = "N", default_value_t = 60)]
        drain_seconds: u64,
    },
    /// Print the certificate of a mandate's end again; exit code 1 where it was altered.
    Certificate {
        /// The mandate.
        id: String,
    },
}

/// `oneknock keys …`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Each mandate's suite and versions of its wrapping key, and what does not open.
    List,
    /// Seal what comes under another key from now on; what was sealed still opens, and tokens stay as they are.
    Rotate {
        /// The mandate.
        #[arg(long, value_name = "ID")]
        mandate: String,
    },
}

/// `oneknock policy …`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Say whether a policy file can be applied, and all that is wrong with it, by line; exit code 2 where something is.
    Check {
        /// The file.
        file: PathBuf,
        /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
        #[arg(long, value_enum)]
        lang: Option<Language>,
    },
    /// Put a policy into force.
    Apply {
        /// The file.
        file: PathBuf,
        /// Also where it would make more visits than policy.visits_max of oneknock.toml; nothing is counted then.
        #[arg(long)]
        yes: bool,
        /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
        #[arg(long, value_enum)]
        lang: Option<Language>,
    },
    /// Say how many visits more or fewer a policy would have made, by grid and level. Reads the log, and changes nothing.
    WhatIf(WhatIf),
}

/// `oneknock policy what-if`
#[derive(Debug, Args)]
pub struct WhatIf {
    /// The policy to be compared with the one in force.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// First day of the time that is compared, or a moment in RFC 3339.
    #[arg(long, value_name = "DATE")]
    pub from: String,
    /// The day after its last, or a moment.
    #[arg(long, value_name = "DATE")]
    pub to: String,
    /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
    #[arg(long, value_enum)]
    pub lang: Option<Language>,
}

/// `oneknock audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check every line of the log of reads against every signed head; exit code 1 where one does not fit.
    Verify(Verify),
    /// Print every published checkpoint, for an auditor to keep.
    Checkpoints,
    /// Who opened one household's or one person's data, when and how.
    Subject(Subject),
}

/// `oneknock audit verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The folder of the log of reads; otherwise the site's.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The public key, as `audit-verifier` beside the site's keys has it. With --dir, neither site nor log is needed.
    #[arg(long)]
    pub key: Option<String>,
    /// Checkpoints that were kept elsewhere, as `oneknock audit checkpoints` prints them.
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Option<PathBuf>,
}

/// `oneknock audit subject`
#[derive(Debug, Args)]
pub struct Subject {
    /// The household; otherwise an identifier of the person (ID number, passport, permit, phone or plate) in one line of standard input.
    #[arg(long)]
    pub household: Option<String>,
    /// The mandate; needed where keys of several are here.
    #[arg(long, value_name = "ID")]
    pub mandate: Option<String>,
    /// Also opens reasons that readers gave in their own words: they may name people.
    #[arg(long)]
    pub reasons: bool,
    /// Also writes a page for the person who asked.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `oneknock ops …`
#[derive(Debug, Subcommand)]
pub enum Ops {
    /// Every topic, how much it holds and how it is kept.
    Topics,
    /// How far each group of consumers has got.
    Lag,
    /// The newest records of a topic.
    Tail {
        /// The topic.
        topic: String,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 10)]
        count: usize,
        /// Of this partition alone.
        #[arg(long)]
        partition: Option<i32>,
        /// Go on with what comes, until stopped.
        #[arg(long, short)]
        follow: bool,
    },
    /// Why an event did or did not lead to a visit, without personal data.
    Trace {
        /// The event's id: 32 hexadecimal digits.
        event_id: String,
        /// Language of what is printed; otherwise that of LC_ALL, LC_MESSAGES or LANG.
        #[arg(long, value_enum)]
        lang: Option<Language>,
    },
    /// Dead letters.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Whether every accepted event has its decision; exit code 1 where not.
    Ledger,
    /// What stands in the way of the site's work, and what to do about it; exit code 1 where something does.
    Doctor,
}

/// `oneknock ops dlq …`
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// How many, where, and why.
    List,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_other_words() {
        let lines = [
            "oneknock --config a.toml ops --json tail t",
            "oneknock ops tail t --json --config a.toml",
            "oneknock ops --config a.toml tail --json t",
            "oneknock --json ops tail t --config a.toml",
        ];
        for line in lines {
            let cli = parse(line);
            assert_eq!(cli.config, PathBuf::from("a.toml"), "{line}");
            assert!(cli.json, "{line}");
            assert!(matches!(cli.command, Command::Ops(Ops::Tail { ref topic, .. }) if topic == "t"), "{line}");
        }
        for line in ["oneknock policy apply --config a.toml p.toml", "oneknock policy apply p.toml --config a.toml"] {
            let cli = parse(line);
            assert!(
                matches!(cli.command, Command::Policy(Policy::Apply { ref file, yes: false, .. }) if file.ends_with("p.toml")),
                "{line}"
            );
        }
        let cli = parse("oneknock policy what-if --from 2026-01-01 --json --to 2026-02-01 --policy p.toml --config a.toml");
        assert!(matches!(cli.command, Command::Policy(Policy::WhatIf(WhatIf { ref to, .. })) if to == "2026-02-01"));
        for line in [
            "oneknock init --clock events --from 2016-10-01 --until 2016-11-01 d",
            "oneknock init d --clock events --until 2016-11-01 --from 2016-10-01",
        ] {
            assert!(matches!(parse(line).command, Command::Init(Init { clock: Clock::Events, .. })), "{line}");
        }
    }

    #[test]
    fn roles_are_a_list_and_all_by_default() {
        let Command::Run(run) = parse("oneknock run --role gateway,router").command else { panic!("run") };
        assert_eq!(run.role, [Role::Gateway, Role::Router]);
        let Command::Run(run) = parse("oneknock run").command else { panic!("run") };
        assert_eq!(run.role.len(), 4);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in
            ["oneknock", "oneknock fly", "oneknock run --role cook", "oneknock demo --rate 0", "oneknock ops trace", "oneknock init"]
        {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }

    #[test]
    fn an_error_says_which_option_and_not_whose_number_stood_there() {
        let said = |words: &[&str]| without_values(Cli::try_parse_from(words).unwrap_err()).to_string();
        for words in [
            ["oneknock", "registry", "erase", "11010519491231002X"],
            ["oneknock", "registry", "erase", "--lang=闫某某"],
            ["oneknock", "registry", "--13800138000", ""],
            ["oneknock", "audit", "13800138000", ""],
            ["oneknock", "audit", "subject", "-13800138000"],
        ] {
            let said = said(&words);
            assert!(said.contains('…') && !said.contains("1949") && !said.contains("13800138") && !said.contains('闫'), "{said}");
        }
        assert!(said(&["oneknock", "registry", "erase", "--lang=闫某某"]).contains("--lang"));
        // The null control: an ordinary slip is named.
        assert!(said(&["oneknock", "registry", "erase", "--hosehold"]).contains("--hosehold"));
    }
}
