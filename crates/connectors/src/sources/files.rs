//! The file drop: NDJSON or CSV files that grow, or come into a folder. UTF-8 or GB18030.
//!
//! A position moves only after what it passes is durable in the log, and rejected rows in their file: a restart neither skips nor repeats,
//! and where a process dies between the two, the events' ids make the repeat harmless. Rejected rows go to `NAME.rejects.csv` beside the
//! file, without any value.

mod position;
mod row;
mod split;

pub use split::{Format, RECORD_BYTES_MAX};

use super::{Mode, SourceError, Summary};
use crate::appender::Appender;
use crate::gateway::Site;
use crate::intake::{Context, Fields, NotTaken, Refusal, RefusalCode, prepare};
use crate::now::now_ms;
use crate::rejects::{self, Rejects};
use events::SourceKind;
use position::{FilePosition, Positions};
use row::Row;
use serde::{Deserialize, Deserializer};
use split::Piece;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After the log or the keys went away.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// A last line without its end is taken when the file has not changed for so long, in milliseconds.
const QUIET_MS: u128 = 10_000;
/// Bytes read at once.
const CHUNK_BYTES: usize = 2 * RECORD_BYTES_MAX;
/// Records appended at once.
const BATCH_RECORDS: usize = 2_000;

/// `kind = "files"` of `[sources.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file or a folder.
    pub path: PathBuf,
    /// How records are written.
    pub format: Format,
    /// The kind of event.
    #[serde(deserialize_with = "event_kind")]
    pub event: SourceKind,
    /// The source's name in tokens.json.
    pub source: String,
    /// The mandate of records that name none.
    #[serde(default)]
    pub mandate: Option<String>,
}

fn event_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SourceKind, D::Error> {
    let text = String::deserialize(deserializer)?;
    SourceKind::parse(&text).ok_or_else(|| serde::de::Error::custom("expected checkpoint, highway or telecom"))
}

/// Reads until there is nothing more, or until it is stopped. `state_dir` keeps `source-NAME.json`, how far each file has been read.
///
/// # Errors
/// [`SourceError`]; while following, a log or keys that are away or a folder that cannot be read is tried again.
pub async fn run(
    name: &str,
    config: &Config,
    site: Site,
    state_dir: &Path,
    mode: Mode,
    shutdown: CancellationToken,
) -> Result<Summary, SourceError> {
    std::fs::create_dir_all(state_dir).map_err(failed(state_dir))?;
    let positions = Positions::open(state_dir.join(format!("source-{name}.json")))?;
    let appender = Arc::new(Appender::new(Arc::clone(&site.connect)));
    let mut source = Source { config, site, state_dir, positions, appender, mode, summary: Summary::default() };
    loop {
        let pause = match source.read_all(&shutdown).await {
            Ok(()) => LOOK_EVERY,
            Err(error) if mode == Mode::Once => return Err(error),
            Err(error) => {
                tracing::warn!(source = name, %error, "the source tries again");
                AGAIN_AFTER
            }
        };
        if mode == Mode::Once || shutdown.is_cancelled() {
            return Ok(source.summary);
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(source.summary),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SourceError + '_ {
    move |error| SourceError::File { path: path.display().to_string(), reason: error.to_string() }
}

struct Source<'a> {
    config: &'a Config,
    site: Site,
    state_dir: &'a Path,
    positions: Positions,
    appender: Arc<Appender>,
    mode: Mode,
    summary: Summary,
}

/// What was read at once.
#[derive(Default)]
struct Read {
    records: Vec<(u64, Result<Fields, Refusal>)>,
    bytes: usize,
}

impl Source<'_> {
    async fn read_all(&mut self, shutdown: &CancellationToken) -> Result<(), SourceError> {
        let mut identities = Vec::new();
        for path in list(&self.config.path).map_err(failed(&self.config.path))? {
            if shutdown.is_cancelled() {
                return Ok(());
            }
            let file = match File::open(&path) {
                Ok(file) => file,
                // It went between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path)(error)),
            };
            identities.push(self.read_file(&path, &file, shutdown).await?);
        }
        self.positions.forget_others(&identities);
        Ok(())
    }

    async fn read_file(&mut self, path: &Path, file: &File, shutdown: &CancellationToken) -> Result<String, SourceError> {
        let (identity, mut position) = self.positions.of(file).map_err(failed(path))?;
        let length = file.metadata().map_err(failed(path))?.len();
        if position.offset >= length {
            return Ok(identity);
        }
        let rejects_path = rejects::beside(path, self.state_dir);
        let mut rejects = Rejects::resume(rejects_path.clone(), position.rejects_bytes).map_err(failed(&rejects_path))?;
        while !shutdown.is_cancelled() {
            let (chunk, is_end) = chunk(file, position.offset).map_err(failed(path))?;
            let is_whole = is_end && (self.mode == Mode::Once || is_quiet(file));
            let read = take(&chunk, self.config.format, is_whole, &mut position);
            if read.bytes == 0 {
                break;
            }
            self.deliver(read.records, &mut rejects).await?;
            position.offset += read.bytes as u64;
            position.rejects_bytes = rejects.sync().map_err(failed(&rejects_path))?;
            self.positions.save(&identity, file, position.clone())?;
        }
        Ok(identity)
    }

    /// Judges the records, makes the good ones durable and writes down the others.
    async fn deliver(&mut self, records: Vec<(u64, Result<Fields, Refusal>)>, rejects: &mut Rejects) -> Result<(), SourceError> {
        let (mandates, codec) = (self.site.mandates(), self.site.schemas.codec());
        let received_at = now_ms();
        let context = Context {
            mandates: &mandates,
            keyring: &self.site.keyring,
            codec: &codec,
            rules: self.site.rules,
            partitions: self.site.partitions,
            source: &self.config.source,
            kind: self.config.event,
            received_at,
            judged_at: self.site.latest.at(received_at),
            traceparent: None,
            default_mandate: self.config.mandate.as_deref(),
        };
        let (mut appends, mut refused) = (Vec::new(), Vec::new());
        for (row, fields) in records {
            match fields.map_err(NotTaken::from).and_then(|fields| prepare(&context, &fields)) {
                Ok(prepared) => appends.push(prepared.append),
                Err(NotTaken::Refused(refusal)) => refused.push((row, refusal)),
                // Nothing of the batch is passed over: it is read again.
                Err(NotTaken::KeysAway) => return Err(SourceError::KeysAway),
            }
        }
        let accepted = appends.len() as u64;
        if !appends.is_empty() {
            self.appender.append(appends).await?;
        }
        for (row, refusal) in &refused {
            let written = rejects.push(*row, refusal);
            written.map_err(|error| SourceError::File { path: "rejects file".into(), reason: error.to_string() })?;
            metrics::counter!("oneknock_source_records_total", "code" => refusal.code.as_str()).increment(1);
        }
        metrics::counter!("oneknock_source_records_total", "code" => "accepted").increment(accepted);
        self.summary.accepted += accepted;
        self.summary.rejected += refused.len() as u64;
        Ok(())
    }
}

/// The files to be read, by name. Hidden ones, rejects files and those that are still being written under another name are passed over.
fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_passed_over = name.starts_with('.') || [rejects::SUFFIX, ".tmp", ".part", "~"].iter().any(|end| name.ends_with(end));
        if !is_passed_over && std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Bytes from there on, and whether the file ends with them.
fn chunk(file: &File, offset: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok((bytes, filled < CHUNK_BYTES))
}

fn is_quiet(file: &File) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_millis() >= QUIET_MS)
}

/// Takes whole records from the front of a chunk. Everything but the offset in `position` moves along.
fn take(chunk: &[u8], format: Format, is_whole: bool, position: &mut FilePosition) -> Read {
    let mut read = Read::default();
    if position.offset == 0 && chunk.starts_with(b"\xef\xbb\xbf") {
        read.bytes = 3;
        position.lines_utf8 += 1 << 32;
    }
    if position.is_skipping {
        match split::line_end(chunk) {
            Some(end) => {
                read.bytes = end;
                position.is_skipping = false;
            }
            None => {
                read.bytes = chunk.len();
                return read;
            }
        }
    }
    let begin = read.bytes;
    let (pieces, end) = pieces(&chunk[begin..], format, is_whole);
    read.bytes += end;
    // All pieces of a chunk have a say in its encoding before the first is read.
    for (_, bytes) in pieces.iter().filter(|(_, bytes)| !bytes.is_ascii()) {
        match std::str::from_utf8(bytes) {
            Ok(_) => position.lines_utf8 += 1,
            Err(_) => position.lines_other += 1,
        }
    }
    for (piece, bytes) in pieces {
        let bad = match piece {
            Piece::Record(_) => match row::read(bytes, format, position) {
                // Lines are counted as an editor counts them, rows as a spreadsheet does.
                Row::Blank => {
                    position.rows += u64::from(format == Format::Ndjson);
                    continue;
                }
                Row::Header => {
                    position.rows += 1;
                    continue;
                }
                Row::Record(fields) => Ok(fields),
                Row::Bad(refusal) => Err(refusal),
            },
            Piece::Unclosed(_) => Err(Refusal::whole(RefusalCode::BadValue, "a quote never closes")),
            _ => {
                position.is_skipping = true;
                Err(Refusal::whole(RefusalCode::BadValue, "longer than a record may be"))
            }
        };
        position.rows += 1;
        read.records.push((position.rows, bad));
    }
    read
}

/// Pieces from the front, at most a batch of them; nothing behind one that is too long.
fn pieces(bytes: &[u8], format: Format, is_whole: bool) -> (Vec<(Piece, &[u8])>, usize) {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while pieces.len() < BATCH_RECORDS {
        let piece = split::first(&bytes[at..], format, is_whole);
        let (Piece::Record(length) | Piece::Unclosed(length) | Piece::TooLong(length)) = piece else { break };
        pieces.push((piece, &bytes[at..at + length]));
        at += length;
        if matches!(piece, Piece::TooLong(_)) {
            break;
        }
    }
    (pieces, at)
}
