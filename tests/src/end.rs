//! `cargo xtask end`: a mandate's end against whoever holds every file that survives it: the site's log, caches and logs, and seven days of
//! backups. The attacker scans bytes and knows the shape of a sealed value; it takes every file of keys and every password that it finds. It
//! asks the program nothing, least of all whether a mandate has ended.

mod attacker;

use anyhow::{Context, Result, ensure};
pub use attacker::{Attacker, Found};
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::site::register::Register;
use testkit::site::{LogChoice, MANDATE, Options, Site, numbers, until};

/// Days of backups.
const DAYS: u64 = 7;
/// The longest time from the command to its certificate.
const SECONDS_MAX: f64 = 60.0;
/// Records of one request.
const POSTED: u64 = 4_000;
/// How long the router may take for all of it.
const ROUTED_WITHIN: Duration = Duration::from_secs(3_600);
/// What no backup holds: keys, and what opens them.
const NEVER_IN_A_BACKUP: [&str; 2] = ["keys", "keys.password"];

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Sealed values that were asked for.
    pub asked: u64,
    /// Different sealed values in the site's files before the end.
    pub values: u64,
    /// Copies of them in the site's files and in all backups.
    pub copies: u64,
    /// Files of both, and their bytes.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Copies that opened before the end: all of them, or the attacker is none.
    pub opened_before: u64,
    /// Different ones in the same files after the end: the attacker still finds them.
    pub values_after: u64,
    /// Their copies.
    pub copies_after: u64,
    /// And how many of them open.
    pub opened_after: u64,
    /// Wrapped secrets of the mandate that still stand in any file.
    pub secrets_left: u64,
    /// From the start of `mandate end` to its certificate.
    pub seconds: f64,
    /// The longest that may take.
    pub seconds_max: f64,
    /// Not part of the bar, but said: copies that open for whoever has a copy of the folder of keys (which no backup may hold) and the password
    /// of the site, which outlives a mandate.
    pub opened_with_a_copy_of_the_keys: u64,
}

impl Report {
    /// All opened before, none does now, in time.
    pub fn passes(&self) -> bool {
        self.values >= self.asked
            // A backup of a running site may have a page that was being written: one copy in a million may be torn.
            && self.opened_before >= self.copies - self.copies / 1_000_000
            && self.values_after >= self.asked
            && (self.opened_after, self.secrets_left) == (0, 0)
            && self.seconds < self.seconds_max
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { values, copies, files, opened_before, opened_after, secrets_left, seconds, seconds_max, .. } = self;
        write!(
            f,
            "{values} sealed values, {copies} copies in {files} files of the site and {DAYS} days of backups ({} MB): {opened_before} opened \
             before the end, {opened_after} open after it (mark 0), {secrets_left} wrapped secrets are left; {seconds:.1} s to the certificate \
             (mark {seconds_max:.0}). With a forbidden copy of the keys and the site's password: {}",
            self.bytes >> 20,
            self.opened_with_a_copy_of_the_keys
        )
    }
}

/// Makes a site with so many sealed values and ends its mandate. `null_control`: the file of keys is put back after the end, so that all of
/// it must be found open.
///
/// # Errors
/// The site does not do what it must before the end.
pub async fn run(values: u64, null_control: bool) -> Result<Report> {
    let mut site = Site::start(Options::of_today(LogChoice::Embedded)).await?;
    let backups = tempfile::Builder::new().prefix("oneknock-backups-").tempdir()?;
    // An address and a contact of each household; an address of each event, whose copy stands in the task that comes of it.
    fill(&site, values.div_ceil(3), backups.path()).await?;
    let everything = [site.dir(), backups.path().to_owned()];
    // What was answered is in the log's files, also while the process runs.
    back_up(&site.dir(), &backups.path().join(format!("day-{DAYS}")), &NEVER_IN_A_BACKUP)?;
    let forbidden = tempfile::Builder::new().prefix("oneknock-forbidden-").tempdir()?;
    back_up(&site.dir().join("keys"), &forbidden.path().join("keys"), &[])?;

    let attacker = Attacker::with_all_keys_of(&everything)?;
    let (own, all) = (attacker.scan(&everything[..1])?, attacker.scan(&everything)?);
    let begun = Instant::now();
    let said = site.command(&["mandate", "end", MANDATE]).await?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(said.code == Some(0) && site.dir().join(format!("certificates/{MANDATE}.json")).is_file(), "mandate end: {said:?}");
    site.kill9();
    if null_control {
        back_up(&forbidden.path().join("keys"), &site.dir().join("keys"), &[])?;
    }
    let after = attacker.with_keys_of(&everything)?.scan(&everything)?;
    let secrets_left = attacker.secrets_in(&everything)?;
    // The copy of the keys, beside what survives.
    let with_copy = [&everything[..], &[forbidden.path().to_owned()]].concat();
    let copied = attacker.with_keys_of(&with_copy)?.scan(&everything)?;
    Ok(Report {
        asked: values,
        values: own.different,
        copies: all.copies,
        files: after.files,
        bytes: after.bytes,
        opened_before: all.opened,
        values_after: after.different,
        copies_after: after.copies,
        opened_after: after.opened,
        secrets_left,
        seconds,
        seconds_max: SECONDS_MAX,
        opened_with_a_copy_of_the_keys: copied.opened,
    })
}

/// A register and arrivals, with a backup after each part.
async fn fill(site: &Site, count: u64, backups: &Path) -> Result<()> {
    let mut register = Register::of_two_grids();
    (0..count).for_each(|at| register.household(&format!("h{at}"), if at % 2 == 0 { "g1" } else { "g2" }));
    let report = site.import(&register).await?;
    ensure!(report["households"]["published"] == count, "{report}");
    let parts = DAYS - 1;
    for day in 0..parts {
        let mut left = (count * day / parts)..(count * (day + 1) / parts);
        while !left.is_empty() {
            let some: Vec<_> = left.by_ref().take(usize::try_from(POSTED)?).map(passage).collect();
            let posted = site.client.post("checkpoint", &some).await?;
            ensure!(posted.results.iter().all(|result| result["status"] == "accepted"), "status {}", posted.status);
        }
        back_up(&site.dir(), &backups.join(format!("day-{}", day + 1)), &NEVER_IN_A_BACKUP)?;
    }
    let routed = async || {
        let ledger = site.ledger().await?;
        Ok(if ledger.closed && ledger.accepted == count { Ok(()) } else { Err(format!("{ledger:?}")) })
    };
    until("the visits", ROUTED_WITHIN, routed).await
}

/// Somebody whom nobody knows, on the way to an address that nobody knows.
pub fn passage(at: u64) -> serde_json::Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = events::Millis(i64::try_from(since.as_millis()).unwrap_or_default());
    json!({
        "id": format!("c{at}"), "observed_at": events::time::format(now), "checkpoint": "G60-118", "direction": "in", "resident_id": numbers::resident_id(at),
        "destination": {"division": "330106", "grid": "g1", "address": format!("河边新村{at}号")},
    })
}

/// Copies a folder as it is, while it may be written to; but for these names in it.
pub fn back_up(from: &Path, to: &Path, but: &[&str]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if but.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            back_up(&entry.path(), &target, &[])?;
        } else if let Err(error) = std::fs::copy(entry.path(), &target) {
            // What a running process has taken away meanwhile was not to be had.
            ensure!(error.kind() == std::io::ErrorKind::NotFound, "{}: {error}", entry.path().display());
        }
    }
    Ok(())
}
