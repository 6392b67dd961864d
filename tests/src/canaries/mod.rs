//! `cargo xtask canaries`: a site of the real program at its most talkative, filled with made-up people by every way in, under load, faults
//! and crashes; afterwards no file and no output of it may hold anything of them in clear, in any coding.

mod agencies;
mod drive;
mod office;
mod people;
mod scan;
mod workers;

use crate::log_choice::LogKind;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use drive::{Counts, Driver, Kept};
use nix::sys::resource::{Resource, setrlimit};
use office::{SUBJECT, SUBJECT_PAGE};
use people::{COUNT_MAX, Canary, FIELDS};
use scan::{Found, Pattern, Scanner};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::site::{Options as SiteOptions, Site};
use workers::{DETAILS, LISTS, STREAM};

/// People whose records go in one request of each agency.
const PEOPLE_AT_ONCE: usize = 400;
/// Tasks that the worker opens at most.
const OPENED_MAX: usize = 1_000;
const KILLS: usize = 4;
const TOLD_MAX: usize = 30;

/// So many telephone numbers may be met inside of random tokens: with 100 000 people there are some 2 million different ones of 32 digits, in which one
/// or two are to be expected. A leak is met as often as there are people.
const CHANCE_MAX: usize = 8;

/// What is meant for somebody's eyes, and which fields they are entitled to: what a worker's phone is shown at the door, and what residents are told of
/// why their contact was opened. Everything else, receipts and certificates among it, holds nothing of anybody.
const FOR_EYES: [(&str, &[&str]); 5] = [
    (LISTS, &["address"]),
    (STREAM, &["address"]),
    (DETAILS, &["address", "contact_name", "contact_phone", "note", "phone"]),
    (SUBJECT, &["name", "phone"]),
    (SUBJECT_PAGE, &["name", "phone"]),
];

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which log.
    pub log: LogKind,
    /// How many people.
    pub count: u64,
    /// The same seed makes the same people.
    pub seed: u64,
    /// `testkit::site::PROGRAM`, or the one that leaks.
    pub program: &'static str,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// On which log.
    pub log: &'static str,
    /// Canary identities.
    pub identities: u64,
    /// Requests made for them.
    pub requests: u64,
    /// Records that the gateway took.
    pub accepted: u64,
    /// Records that it rejected.
    pub rejected: u64,
    /// Tasks that came of it.
    pub tasks: usize,
    /// Kills under load.
    pub kills: usize,
    /// Codings that are looked for.
    pub codings: usize,
    /// Patterns looked for, and how many of them were found where they were planted.
    pub patterns: usize,
    /// See `patterns`.
    pub planted_found: usize,
    /// What was met in one more line of the site's own log, which names somebody in base64.
    pub planted_line_hits: u64,
    /// Fields met in what went in: all of them, or nothing was looked for.
    pub fields_put_in: usize,
    /// Hits in what is for somebody's eyes, by where it is kept.
    pub shown: BTreeMap<&'static str, u64>,
    /// Receipts of corrections and erasures.
    pub receipts: usize,
    /// Records of all topics.
    pub records: u64,
    /// Files looked through.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was found in clear.
    pub hits: u64,
    /// Telephone numbers whose digits stand inside of tokens or ids, which are random: see `CHANCE_MAX`.
    pub by_chance: BTreeSet<u64>,
    /// The first of them: where, what, in which coding, how often, and at which byte.
    pub told: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// Nothing was found, and it would have been.
    pub fn passes(&self) -> bool {
        let went_in = self.accepted > self.identities && self.rejected > 0 && self.tasks > 0 && self.fields_put_in == FIELDS.len();
        self.hits == 0
            && went_in
            && self.planted_line_hits > 0
            && self.shown.len() == FOR_EYES.len()
            && self.receipts > 5
            && self.by_chance.len() <= CHANCE_MAX
            && self.planted_found == self.patterns
            && self.codings >= 12
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.told {
            writeln!(f, "{told}")?;
        }
        let Report {
            log,
            identities,
            requests,
            accepted,
            rejected,
            tasks,
            receipts,
            kills,
            codings,
            patterns,
            planted_found,
            files,
            bytes,
            ..
        } = self;
        write!(
            f,
            "canaries: log {log}, {identities} identities, {requests} requests, {accepted} records accepted, {rejected} rejected, {tasks} tasks, \
             {receipts} receipts, {kills} kills; {files} files, {} MiB, {} records: {} hits in {codings} codings, and {} numbers in random tokens by chance; planted {planted_found} of {patterns} found, \
             and {} in a line of the log; {} of {} fields went in; shown to whom it is for: {}; {:.0} s",
            bytes >> 20,
            self.records,
            self.hits,
            self.by_chance.len(),
            self.planted_line_hits,
            self.fields_put_in,
            FIELDS.len(),
            self.shown.iter().map(|(place, count)| format!("{place} {count}")).collect::<Vec<_>>().join(", "),
            self.seconds
        )
    }
}

/// Runs it. `progress` hears what is being done.
///
/// # Errors
/// The site does not start or come to rest, or answers what it must not.
pub async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    ensure!((100..=COUNT_MAX).contains(&options.count), "--count: expected 100 to {COUNT_MAX}");
    let began = Instant::now();
    let scanner = Scanner::new()?;
    let people: Vec<Canary> = (0..options.count).map(|index| Canary::new(options.seed, index)).collect();
    // As a machine that keeps dumps: whether there are any is the program's own affair.
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, hard, hard)?;

    let (log, _kafka) = options.log.start().await?;
    let talk = Some("text");
    let mut site = Site::start(SiteOptions { program: options.program, talk, ..SiteOptions::of_today(log) }).await?;
    let home = site.dir().parent().context("a folder around the site")?.to_owned();
    let (inputs, answers) = (drive::inputs(&site), home.join("answers"));
    let kept = Kept::new(answers.clone())?;
    configure(&site, options.log, &inputs.join("drop"))?;
    site.restart().await?;

    let mut report = Report { log: options.log.as_str(), identities: options.count, kills: KILLS, ..Report::default() };
    let mut counts = Counts::default();
    let paths = write_inputs(&inputs, &people)?;
    let [grids, households, residents] = &paths;
    let import = ["registry", "import", "--yes", "--grids", grids, "--households", households, "--residents", residents];
    let code = Driver::new(&site, &kept)?.command(&import).await?;
    ensure!(code == Some(3), "the import must end with rejected rows, and ended with {code:?}");
    progress("the registry is imported");

    let chunks: Vec<&[Canary]> = people.chunks(PEOPLE_AT_ONCE.min(people.len() / (KILLS + 1))).collect();
    for (at, chunk) in chunks.iter().enumerate() {
        let driver = Driver::new(&site, &kept)?;
        if (at + 1) * (KILLS + 1) / chunks.len() > at * (KILLS + 1) / chunks.len() && at + 1 < chunks.len() {
            // Killed while it works on them: nobody knows what of it was taken, and all is sent again.
            let mut lost = Counts::default();
            let _ = tokio::time::timeout(Duration::from_millis(20), driver.arrivals(chunk, &mut lost)).await;
            site.talk_as(if at.is_multiple_of(2) { "json" } else { "text" });
            site.kill9();
            site.restart().await?;
        }
        let driver = Driver::new(&site, &kept)?;
        driver.arrivals(chunk, &mut counts).await?;
        driver.oddities(&chunk[0], &mut counts).await?;
        driver.scrape().await?;
        if at.is_multiple_of(25) {
            progress(&format!("{} of {} people have arrived", (at + 1) * chunk.len(), people.len()));
        }
    }
    let driver = Driver::new(&site, &kept)?;
    driver.too_much(&people[0]).await?;
    driver.command(&["connect", "--source", "lines", "--once"]).await?;
    driver.command(&["connect", "--source", "rows", "--once"]).await?;
    site.closed_ledger().await?;
    let round = driver.workers(&people, OPENED_MAX.min(people.len() / 4)).await?;
    report.tasks = round.tasks;
    progress("workers have been round");
    driver.spoil_a_record().await?;
    driver.commands(&people[0]).await?;
    driver.subject(&round.household).await?;
    driver.with_a_full_disk(&people[0], &round).await?;
    report.receipts = driver.rights(&people, &import).await?;
    progress("residents have asked: now the mandate ends");
    driver.scrape().await?;
    driver.end_of_the_mandate(&people[0], &round.task_id).await?;
    driver.scrape().await?;
    report.records = driver.dump().await?;
    progress("all is said: now the process is aborted, and everything looked through");
    site.abort().await?;
    (report.requests, report.accepted, report.rejected) = (counts.requests, counts.accepted, counts.rejected);

    let mut put_in = Found::new();
    for path in files_below(&inputs)?.iter().filter(|path| !is_reject(path)) {
        scanner.file(path, &mut put_in)?;
    }
    report.fields_put_in = put_in.keys().map(|pattern| pattern.field).collect::<BTreeSet<_>>().len();
    let plain = |name: &str| FIELDS.iter().position(|field| field.name == name);
    // What never stands in a file of input is put in by requests alone.
    report.fields_put_in += usize::from(!put_in.keys().any(|pattern| Some(pattern.field) == plain("note")));
    look_through(&scanner, &home, &inputs, &mut report)?;
    (report.patterns, report.planted_found) = plant(&scanner)?;
    report.planted_line_hits = plant_in_the_log(&scanner, &home.join("said"), &people[0])?;
    report.codings = scanner.patterns().map(|(pattern, _)| pattern.coding).collect::<BTreeSet<_>>().len();
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// More contacts and questions an hour than a person has, a file drop, and on Kafka a client that tells all it does.
fn configure(site: &Site, log: LogKind, folder: &Path) -> Result<()> {
    let mut config: toml::Table = std::fs::read_to_string(site.config())?.parse()?;
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = config.entry(section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().map(|section| section.insert(key.to_owned(), value))
    };
    set("gateway", "lookups_per_hour", 1_000_000.into());
    set("inbox", "contact_reads_per_hour", 1_000_000.into());
    for (name, format) in [("lines", "ndjson"), ("rows", "csv")] {
        let path = folder.join(name).display().to_string();
        let source = [("kind", "files"), ("path", &path), ("format", format), ("event", "checkpoint"), ("source", "checkpoint-bureau")];
        set(
            "sources",
            name,
            source.map(|(key, value)| (key.to_owned(), toml::Value::from(value))).into_iter().collect::<toml::Table>().into(),
        );
    }
    if log == LogKind::Kafka {
        set("log", "kafka", toml::Table::from_iter([("debug".to_owned(), "broker,topic,msg,protocol,consumer".into())]).into());
    }
    Ok(std::fs::write(site.config(), config.to_string())?)
}

fn write_inputs(folder: &Path, people: &[Canary]) -> Result<[String; 3]> {
    std::fs::create_dir_all(folder)?;
    agencies::drop_files(&folder.join("drop"), &people[..people.len() / 20])?;
    let mut paths = Vec::new();
    for (name, text) in people::register(people) {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        paths.push(path.display().to_string());
    }
    paths.try_into().map_err(|_| anyhow::anyhow!("three files make three paths"))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_reject(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".rejects.csv")
}

/// Every file but what was put in.
fn look_through(scanner: &Scanner, home: &Path, inputs: &Path, report: &mut Report) -> Result<()> {
    for path in files_below(home)? {
        if path.starts_with(inputs) && !is_reject(&path) {
            continue;
        }
        let place = path.strip_prefix(home).unwrap_or(&path).display().to_string();
        let eyes = place.strip_prefix("answers/").and_then(|answer| FOR_EYES.iter().find(|(for_eyes, _)| *for_eyes == answer));
        let mut found = Found::new();
        report.bytes += scanner.file(&path, &mut found)?;
        report.files += 1;
        let names: BTreeMap<Pattern, &str> = found.keys().map(|pattern| (*pattern, FIELDS[pattern.field].name)).collect();
        for (pattern, (count, first)) in found {
            let name = names[&pattern];
            if let Some(digits) = pattern.by_chance {
                report.by_chance.insert(digits);
                continue;
            }
            if let Some((answer, fields)) = eyes
                && fields.contains(&name)
            {
                *report.shown.entry(answer).or_default() += count;
                continue;
            }
            report.hits += count;
            if report.told.len() < TOLD_MAX {
                report.told.push(format!("{place}: {name} as {}, {count} times, first at byte {first}", pattern.coding));
            }
        }
    }
    Ok(())
}

/// Every pattern, with digits behind it as a value has, in a file of its own: which must be found there.
fn plant(scanner: &Scanner) -> Result<(usize, usize)> {
    let folder = tempfile::tempdir()?;
    let (mut planted, mut met) = (0, 0);
    for (pattern, bytes) in scanner.patterns() {
        let path = folder.path().join("planted");
        let (before, after): (&[u8], &[u8]) = if pattern.coding == "reversed" { (b" 54321", b" ") } else { (b" ", b"12345 ") };
        std::fs::write(&path, [b"a line of a log".as_slice(), before, bytes, after, b"and more"].concat())?;
        let mut found = Found::new();
        scanner.file(&path, &mut found)?;
        planted += 1;
        met += usize::from(found.contains_key(&pattern));
    }
    Ok((planted, met))
}

/// The site's log again, with one more line, as a careless program would write it.
fn plant_in_the_log(scanner: &Scanner, said: &Path, one: &Canary) -> Result<u64> {
    let line = format!("DEBUG connectors: taken record={}\n", BASE64_STANDARD.encode(format!("{{\"phone\":\"{}\"}}", one.phone)));
    std::fs::File::options().append(true).open(said)?.write_all(line.as_bytes())?;
    let mut found = Found::new();
    scanner.file(said, &mut found)?;
    Ok(found.iter().filter(|(pattern, _)| pattern.by_chance.is_none()).map(|(_, (count, _))| count).sum())
}
