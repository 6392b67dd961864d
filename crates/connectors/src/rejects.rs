//! The file of rejected rows: where and why, never what. CSV: `row,column,code,message`.

use crate::intake::Refusal;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEADER: &str = "row,column,code,message\n";

/// The end of a rejects file's name. A source never reads such a file.
pub const SUFFIX: &str = ".rejects.csv";

/// A rejects file, made with the first row that is rejected.
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    rows: u64,
}

/// The rejects file beside a file, or in `instead` where that folder cannot be written.
pub fn beside(path: &Path, instead: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}{SUFFIX}");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = folder.join(format!(".{name}.probe"));
    match OpenOptions::new().write(true).create(true).truncate(true).open(&probe) {
        Ok(_) => {
            let _gone_or_never_there = std::fs::remove_file(&probe);
            folder.join(name)
        }
        Err(_) => instead.join(name),
    }
}

impl Rejects {
    /// A new file; what an earlier run left under this name goes.
    pub fn fresh(path: PathBuf) -> io::Result<Rejects> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Rejects { path, file: None, rows: 0 }),
        }
    }

    /// Goes on with a file that had so many bytes when it was last known to be right; what stands behind them goes.
    pub fn resume(path: PathBuf, bytes: u64) -> io::Result<Rejects> {
        let mut rejects = Rejects { path, file: None, rows: 0 };
        match OpenOptions::new().write(true).open(&rejects.path) {
            Ok(mut file) => {
                let kept = bytes.min(file.metadata()?.len());
                file.set_len(kept)?;
                file.seek(SeekFrom::End(0))?;
                if kept == 0 {
                    std::fs::remove_file(&rejects.path)?;
                } else {
                    rejects.file = Some(BufWriter::new(file));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(rejects)
    }

    /// Writes down one row. Rows are counted with the header as 1.
    pub fn push(&mut self, row: u64, refusal: &Refusal) -> io::Result<()> {
        self.rows += 1;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = BufWriter::new(File::create(&self.path)?);
                file.write_all(HEADER.as_bytes())?;
                none.insert(file)
            }
        };
        // Columns, codes and messages are ours; the messages hold no quotes.
        writeln!(file, "{row},{},{},\"{}\"", refusal.field.unwrap_or_default(), refusal.code.as_str(), refusal.message)
    }

    /// Makes it durable; its length in bytes.
    pub fn sync(&mut self) -> io::Result<u64> {
        match &mut self.file {
            None => Ok(0),
            Some(file) => {
                file.flush()?;
                file.get_ref().sync_data()?;
                file.get_ref().metadata().map(|metadata| metadata.len())
            }
        }
    }

    /// Rows that were rejected by this run.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Where it is, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }
}
