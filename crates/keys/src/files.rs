//! Files that only their owner may read: written whole or not at all, refused when others could have read them.
//!
//! Must not know what is in them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::seal::random;

/// What went wrong with a private file or directory, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("{}: not found; `oneknock init` writes it", .0.display())]
    Missing(PathBuf),
    /// It is there already and is not overwritten.
    #[error("{}: exists already and is not overwritten; move it away if that is meant", .0.display())]
    Exists(PathBuf),
    /// Others than its owner may read or change it.
    #[error("{}: its mode is {mode:03o}, so others than its owner may use it; run: chmod {wanted:03o} {}", path.display(), path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Its mode now.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// The operating system refused.
    #[error("{}: cannot {doing} it: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
}

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Makes the directory (and those above it) with mode 0700, where it is not there yet.
pub fn create_directory(dir: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir).map_err(failed(dir, "make"))
}

/// Refuses a directory that is open to others.
pub fn check_directory(dir: &Path) -> Result<(), FileError> {
    let mode = fs::metadata(dir).map_err(failed(dir, "read"))?.permissions().mode();
    check_mode(dir, mode, DIRECTORY_MODE)
}

/// The file's text. The mode is that of the file that is read, not of one put in its place a moment later.
pub fn read(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let mut file = File::open(path).map_err(failed(path, "open"))?;
    let metadata = file.metadata().map_err(failed(path, "read"))?;
    check_mode(path, metadata.permissions().mode(), FILE_MODE)?;
    // Room for all of it at once: a text that grows leaves copies behind that nobody wipes.
    let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.read_to_string(&mut text).map_err(failed(path, "read"))?;
    Ok(text)
}

/// Writes a file with mode 0600, in place of what was there. Durable when it answers.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let written = write_beside(path, content)?;
    fs::rename(&written, path).map_err(|error| given_up(&written, path, error))?;
    sync_directory(path)
}

/// Writes a file with mode 0600 that was not there before. Durable when it answers.
pub fn create(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let written = write_beside(path, content)?;
    // A link, unlike a rename, never takes the place of a file that somebody else has made meanwhile.
    fs::hard_link(&written, path).map_err(|error| given_up(&written, path, error))?;
    fs::remove_file(&written).map_err(failed(&written, "remove"))?;
    sync_directory(path)
}

/// Overwrites the file, then removes it, and what an interrupted write of it may have left. Durable when it answers.
///
/// On disks that write elsewhere than asked (flash, copy on write) the old blocks may outlive this: keep such a
/// directory on an encrypted disk.
pub fn destroy(path: &Path) -> Result<(), FileError> {
    let mut doomed = vec![path.to_owned()];
    for entry in fs::read_dir(parent(path)).map_err(failed(path, "find"))? {
        let other = entry.map_err(failed(path, "find"))?.path();
        if is_written_beside(&other, path) {
            doomed.push(other);
        }
    }
    for file in &doomed {
        overwrite(file).map_err(failed(file, "overwrite"))?;
        fs::remove_file(file).map_err(failed(file, "remove"))?;
    }
    sync_directory(path)
}

fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let bytes = file.seek(io::SeekFrom::End(0))?;
    file.rewind()?;
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    file.sync_all()
}

/// The content in a new file of mode 0600 in the same directory, on disk.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", hex::encode(random::<8>())));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside)?;
        // The process's umask may have taken the owner's own rights away.
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| given_up(&beside, path, error))?;
    Ok(beside)
}

fn is_written_beside(other: &Path, path: &Path) -> bool {
    let (Some(other), Some(name)) = (other.file_name().and_then(|name| name.to_str()), path.file_name().and_then(|name| name.to_str()))
    else {
        return false;
    };
    let middle = other.strip_prefix('.').and_then(|rest| rest.strip_prefix(name)).and_then(|rest| rest.strip_suffix(".tmp"));
    middle.and_then(|middle| middle.strip_prefix('.')).is_some_and(|drawn| drawn.len() == 16)
}

/// Takes the half-done file away; what is reported is the first failure.
fn given_up(beside: &Path, path: &Path, error: io::Error) -> FileError {
    let _gone_or_never_there = fs::remove_file(beside);
    failed(path, "write")(error)
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    let dir = parent(path);
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir, "sync"))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), FileError> {
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Open { path: path.to_owned(), mode: mode & 0o777, wanted }) }
}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Io { path: path.to_owned(), doing, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_whole_for_its_owner_alone_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        create(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create(&path, b"two"), Err(FileError::Exists(at)) if at == path));
        assert_eq!(read(&path).unwrap().as_str(), "one");
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap().as_str(), "three");
        assert_eq!(names(dir.path()), ["a.json"]);
    }

    #[test]
    fn what_others_may_read_is_refused_with_the_command_that_helps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        create(&path, b"one").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.ends_with(&format!("chmod 600 {}", path.display())), "{message}");
        }
        fs::set_permissions(dir.path(), Permissions::from_mode(0o750)).unwrap();
        let message = check_directory(dir.path()).unwrap_err().to_string();
        assert!(message.ends_with(&format!("chmod 700 {}", dir.path().display())), "{message}");
    }

    #[test]
    fn destroying_overwrites_the_very_bytes_and_takes_unfinished_copies_along() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.json"), dir.path().join("b.json"));
        create(&path, b"secret").unwrap();
        create(&other, b"kept").unwrap();
        fs::write(dir.path().join(".a.json.0123456789abcdef.tmp"), b"secret").unwrap();
        // A second name of the same file shows what became of its bytes.
        let witness = dir.path().join("witness");
        fs::hard_link(&path, &witness).unwrap();
        destroy(&path).unwrap();
        assert_eq!(names(dir.path()), ["b.json", "witness"]);
        assert_eq!(fs::read(&witness).unwrap(), [0; 6]);
        assert!(matches!(destroy(&path), Err(FileError::Missing(_))));
    }
}
