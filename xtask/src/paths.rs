//! Where things lie in the workspace. Knows no program and runs none.

use std::path::{Path, PathBuf};

/// The workspace's root: the folder above this package.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// What set-up fetched; not under version control, may be deleted at any time.
pub fn tools() -> PathBuf {
    root().join(".tools")
}

/// Descriptions of the parts that set-up fetches (Maven, pip).
pub fn part_files() -> PathBuf {
    root().join("xtask/parts")
}

/// Compose, manifests and the rest of what an operator deploys.
pub fn deploy() -> PathBuf {
    root().join("deploy")
}
