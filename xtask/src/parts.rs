//! What set-up leaves behind for the tests: a list of `NAME=value` in `.tools/env`, read here and by the testkit.
//! A test that needs a part looks into its environment first, then into that file, so plain `cargo test` works too.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Folder of Kafka's jars.
pub const KAFKA_LIBS: &str = "ONEKNOCK_KAFKA_LIBS";
/// Archive of Kafka's classes for this Java; without it a node starts more slowly.
pub const KAFKA_CLASSES: &str = "ONEKNOCK_KAFKA_CLASSES";
/// Folder of the unpacked Apicurio Registry, with `quarkus-run.jar` in it.
pub const APICURIO: &str = "ONEKNOCK_APICURIO";
/// The `java` that runs both.
pub const JAVA: &str = "ONEKNOCK_JAVA";
/// The `chromium` of the browser test.
pub const CHROMIUM: &str = "ONEKNOCK_CHROMIUM";
/// The server of OpenBao.
pub const OPENBAO: &str = "ONEKNOCK_OPENBAO";
/// A `node_modules` with playwright-core in it.
pub const PLAYWRIGHT: &str = "ONEKNOCK_PLAYWRIGHT";
/// A `node_modules` with oidc-provider and jose in it.
pub const OIDC: &str = "ONEKNOCK_OIDC";

/// Names and values, in order of name.
#[derive(Default)]
pub struct Parts(BTreeMap<&'static str, String>);

impl Parts {
    /// Notes where a part lies.
    pub fn put(&mut self, name: &'static str, path: &Path) {
        self.0.insert(name, path.display().to_string());
    }

    /// Gives a command all names as its environment.
    pub fn export<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(&self.0)
    }

    /// Writes `.tools/env` whole.
    pub fn save(&self) -> Result<()> {
        let text: String = self.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let file = crate::paths::tools().join("env");
        // Tests may be reading it: it changes at once or not at all.
        let partial = file.with_extension("partial");
        std::fs::write(&partial, text).with_context(|| format!("cannot write {}", partial.display()))?;
        std::fs::rename(&partial, &file).with_context(|| format!("cannot write {}", file.display()))
    }
}
