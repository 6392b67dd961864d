//! `oneknock init DIR`: a ready site: configuration, keys, sign-in, policy and a demonstration mandate.

use crate::cli::{Clock, Init, InitKeys};
use crate::commands::mandate::sign;
use crate::failure::Failure;
use crate::keyring;
use domain::mandate::{SIGNATURES_NEEDED, SignerKey, entry_toml};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use keys::{TokensFile, TransitSettings};
use std::fs;
use std::path::Path;

/// The demonstration mandate's id.
pub const MANDATE: &str = "demo-mandate";
/// How long it is in force where no dates are given.
const DAYS: i64 = 30;
const HOURS_OF_A_DAY: i64 = 24;
/// Hours by which China is ahead of UTC: a date alone means midnight there.
const CHINA_HOURS: i8 = 8;

/// Writes the site and says what to do next.
pub fn run(options: &Init) -> Result<(), Failure> {
    write(options)?;
    let dir = options.dir.display();
    println!("A site is ready in {dir}:");
    println!("  oneknock.toml   addresses, log, limits");
    println!("  mandate.toml    {MANDATE}: a DEMONSTRATION mandate for all divisions, sources and fields; not for real data");
    println!("  signers.toml    whose signatures a mandate needs: two of three, here of demonstration signers");
    println!("  signers/        their private keys; real signers keep theirs, each elsewhere, and never here");
    println!("  policy.toml     what makes a visit");
    println!("  tokens.json     who may sign in (mode 0600): the sources' tokens go to the agencies, the worker's to a phone");
    println!("  keys/           the mandate's keys, wrapped: in no topic");
    if options.dir.join("keys.password").exists() {
        println!(
            "  keys.password   the password that opens them (mode 0600): never in the same backup as keys/; without it nothing is opened again"
        );
    }
    println!("Next:");
    println!("  oneknock run --config {dir}/oneknock.toml");
    println!("  oneknock registry import --config {dir}/oneknock.toml --grids G.csv --households H.csv --residents R.csv");
    Ok(())
}

/// Writes the site.
pub fn write(options: &Init) -> Result<(), Failure> {
    let dir = &options.dir;
    for name in ["oneknock.toml", "tokens.json", "keys", "keys.password", "mandate.toml", "signers.toml", "signers", "policy.toml", "log"] {
        if dir.join(name).exists() {
            return Err(Failure::file(&dir.join(name), "there is a site already; expected a directory without one"));
        }
    }
    let (from, until) = dates(options)?;
    fs::create_dir_all(dir).map_err(|error| Failure::file(dir, format!("cannot be made: {error}")))?;
    let made = keyring::init(dir, &options.keys).and_then(|keyring| Ok(keyring.create_mandate(MANDATE)?));
    if let Err(failure) = made {
        // Nothing is under these keys yet, and `init` is to be tried again.
        let _there_or_not = (fs::remove_dir_all(dir.join("keys")), fs::remove_file(dir.join("keys.password")));
        return Err(failure);
    }
    TokensFile::draw().save(&dir.join("tokens.json"))?;
    save(&dir.join("policy.toml"), domain::policy::DEFAULT_TOML)?;
    let signers = draw_signers(dir)?;
    let text = signers.iter().take(SIGNATURES_NEEDED).try_fold(mandate(from, until), |text, key| sign::signed(&text, key));
    save(&dir.join("mandate.toml"), &text.map_err(|error| anyhow::anyhow!("{error}"))?)?;
    // Last: a directory with it is a whole site.
    save(&dir.join("oneknock.toml"), &configuration(options.clock, &keys(&options.keys)?))
}

fn save(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::Failed(anyhow::anyhow!("{}: cannot be written: {error}", path.display())))
}

fn dates(options: &Init) -> Result<(Timestamp, Timestamp), Failure> {
    let (Some(from), Some(until)) = (&options.from, &options.until) else {
        let now = Timestamp::now();
        let from = Timestamp::from_second(now.as_second())?;
        return Ok((from, from.checked_add((DAYS * HOURS_OF_A_DAY).hours())?));
    };
    let (from, until) = (moment("--from", from)?, moment("--until", until)?);
    match from < until {
        true => Ok((from, until)),
        false => Err(Failure::Usage("--until: expected a moment after --from".to_owned())),
    }
}

/// A date, which means midnight in China, or a moment in RFC 3339.
pub fn moment(option: &str, text: &str) -> Result<Timestamp, Failure> {
    let expected = || Failure::Usage(format!("{option}: expected a date such as 2026-01-31, or a moment in RFC 3339"));
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let date: Date = text.parse().map_err(|_| expected())?;
    let china = TimeZone::fixed(Offset::constant(CHINA_HOURS));
    Ok(date.to_zoned(china).map_err(|_| expected())?.timestamp())
}

/// Three signers for demonstrations: their public keys, and in a folder of their own the private ones.
fn draw_signers(dir: &Path) -> Result<Vec<SignerKey>, Failure> {
    let folder = dir.join("signers");
    keys::files::create_directory(&folder).map_err(anyhow::Error::from)?;
    let note = "The private keys of this site's demonstration signers: whoever holds two of them can sign any mandate.\n\
                For real data each signer draws a key of their own, on a machine of their own (`oneknock mandate signer NAME --key FILE`),\n\
                and gives away the public part alone, for signers.toml. Then this folder is deleted.\n";
    save(&folder.join("README"), note)?;
    let mut public =
        "# Two of these three must sign a mandate (`oneknock mandate sign`). Public keys; a change counts from the next start on.\n"
            .to_owned();
    let mut drawn = Vec::new();
    for number in 1..=3 {
        let name = format!("demo-signer-{number}");
        let key = sign::draw(&name, &folder.join(format!("{name}.key")))?;
        public.push_str(&format!("\n{}", entry_toml(key.name(), &key.public_key())));
        drawn.push(key);
    }
    save(&dir.join("signers.toml"), &public)?;
    Ok(drawn)
}

fn mandate(from: Timestamp, until: Timestamp) -> String {
    format!(
        r#"# A DEMONSTRATION mandate: it allows everything, and every page says so. Real data needs a real one.
id = "{MANDATE}"
version = 1
title = "Demonstration mandate (not for real data)"
legal_basis = "none: demonstration with made-up data"
issued_by = "oneknock init"
demonstration = true
purposes = ["demonstration"]
# "*" is all.
sources = ["*"]
fields = ["*"]
divisions = ["*"]
max_households = 1000000
# From, inclusive; until, exclusive.
valid_from = "{from}"
valid_until = "{until}"
"#
    )
}

/// The section of the keys.
fn keys(options: &InitKeys) -> Result<String, Failure> {
    let suite = format!("\"{}\"", options.suite);
    let suite = format!(r#"suite = {suite:<26} # of new mandates: "aes" is AES-256-GCM and HMAC-SHA-256, "sm" is SM4-GCM and HMAC-SM3"#);
    Ok(match options.service()? {
        None => format!(
            r#"[keys]
kind = "file"                      # or "transit": a key service that speaks Vault's transit, with address, mount and token_file
file = "./keys"
password_file = "./keys.password"  # mode 0600; or the password itself in ONEKNOCK_KEYS_PASSWORD
{suite}"#
        ),
        Some(TransitSettings { address, mount, token_file }) => format!(
            r#"[keys]
kind = "transit"                   # a key service that speaks Vault's transit; or "file", under a password
file = "./keys"                    # what it wrapped
address = {address:?}
mount = {mount:?}
token_file = {token_file:?}
{suite}"#
        ),
    })
}

fn configuration(clock: Clock, keys: &str) -> String {
    let (clock, max_age_days, max_future_minutes) = match clock {
        Clock::Wall => ("wall", 30, 10),
        Clock::Events => ("events", 0, 0),
    };
    format!(
        r#"# A site of OneKnock. Every key also comes as ONEKNOCK_<SECTION>_<KEY>; paths are relative to this file.

[log]
kind = "embedded"                  # or "kafka"
dir = "./log"                      # embedded: belongs to one process at a time
bootstrap = "127.0.0.1:9092"       # kafka: first addresses; librdkafka's own properties go under [log.kafka]
partitions = 12                    # of every topic that is created; the same number everywhere, for good
schema_registry = ""               # Confluent-compatible URL; empty: built-in ids

[gateway]
listen = "127.0.0.1:8081"          # for agencies; put TLS in front
max_age_days = {max_age_days:<19} # older events are too_old; 0: no limit
max_future_minutes = {max_future_minutes:<13} # from further ahead: in_future; 0: no limit
lookups_per_hour = 3600            # questions about screenings that one source may ask within an hour

[router]
clock = {clock:<26} # "wall": the log's time of append; "events": observed_at, for replays and historic files
cache = "./cache"                  # may be deleted at any time

[inbox]
listen = "127.0.0.1:8080"          # for grid workers; put TLS in front
contact_reads_per_hour = 120       # contacts that one person may open within an hour; who opens more is stopped, and supervisors see it

[ops]
listen = "127.0.0.1:8082"          # metrics, health, reports; on the embedded log also for this site's other commands

[site]
mandate = "./mandate.toml"         # published where the log holds none
policy = "./policy.toml"

[mandates]
signers = "./signers.toml"         # two of the three must have signed a mandate

[policy]
visits_max = 1000                  # `policy apply` asks for --yes where a policy would make more visits than so many; 0: it never asks

{keys}

[audit]
dir = "./audit"                    # who opened whose address and contact

[auth]
tokens = "./tokens.json"
# [auth.oidc]                      # and whoever this OpenID provider vouches for
# issuer = "https://id.example"
# audience = "oneknock"

# One table for each source that `oneknock connect --source NAME` reads.
# [sources.toll]
# kind = "files"
# path = "./drop/toll"
# format = "ndjson"                # or "csv"
# event = "highway"                # or "checkpoint", "telecom"
# source = "highway-authority"     # its name in tokens.json
"#,
        clock = format!("\"{clock}\"")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path, clock: Clock, dates: Option<(&str, &str)>) -> Init {
        let text = |text: &str| text.to_owned();
        Init {
            dir: dir.to_owned(),
            clock,
            from: dates.map(|dates| text(dates.0)),
            until: dates.map(|dates| text(dates.1)),
            keys: InitKeys::default(),
        }
    }

    #[test]
    fn a_site_can_be_read_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        write(&options(&site, Clock::Events, Some(("2016-10-01", "2016-11-01T00:00:00Z")))).unwrap();

        let config = crate::config::load(&site.join("oneknock.toml")).unwrap();
        assert_eq!((config.max_age_days, config.max_future_minutes), (0, 0));
        assert_eq!(config.clock, domain::Clock::Events);
        let mandate = domain::mandate::from_toml(&fs::read_to_string(config.mandate.as_ref().unwrap()).unwrap()).unwrap();
        assert_eq!((mandate.id.as_str(), mandate.version, mandate.demonstration), (MANDATE, 1, true));
        assert_eq!(events::time::format(mandate.valid_from), "2016-09-30T16:00:00Z");
        assert_eq!(events::time::format(mandate.valid_until), "2016-11-01T00:00:00Z");
        assert!(mandate.max_households >= 1_000_000);
        assert!(keyring::open(&config).unwrap().mandate(MANDATE).is_some());
        assert_eq!(TokensFile::read(&config.tokens).unwrap().sources.len(), 3);

        let again = write(&options(&site, Clock::Wall, None)).unwrap_err();
        assert_eq!(again.code(), 2);
        assert!(again.to_string().contains("oneknock.toml"), "{again}");
    }

    #[test]
    fn thirty_days_by_default_with_the_contracts_limits() {
        let dir = tempfile::tempdir().unwrap();
        write(&options(dir.path(), Clock::Wall, None)).unwrap();
        let config = crate::config::load(&dir.path().join("oneknock.toml")).unwrap();
        assert_eq!((config.max_age_days, config.max_future_minutes), (30, 10));
        let mandate = domain::mandate::from_toml(&fs::read_to_string(config.mandate.unwrap()).unwrap()).unwrap();
        assert_eq!(mandate.valid_until.0 - mandate.valid_from.0, 30 * events::time::DAY_MS);
    }

    #[test]
    fn dates_that_mean_nothing_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (dates, named) in
            [(("yesterday", "2016-11-01"), "--from"), (("2016-10-01", "soon"), "--until"), (("2016-10-01", "2016-10-01"), "--until")]
        {
            let failure = write(&options(dir.path(), Clock::Wall, Some(dates))).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(failure.to_string().contains(named), "{failure}");
        }
    }
}
