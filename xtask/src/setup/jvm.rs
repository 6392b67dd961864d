//! Apache Kafka and Apicurio Registry, the real ones, from Maven.

use super::{debian, fetched};
use crate::command::{capture, command};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const APICURIO: &str = "3.3.3";

/// Folder of the jars of one Kafka node.
pub fn kafka() -> Result<PathBuf> {
    let pom = paths::part_files().join("kafka.pom.xml");
    let version = std::fs::read_to_string(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    // The whole pom is the version: another jar in it is another part.
    let folder = fetched("kafka", &version, |folder| {
        let mut mvn = command(debian::program("mvn", &["maven"])?);
        mvn.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"]).arg(&pom);
        mvn.arg(format!("-DoutputDirectory={}", folder.join("libs").display()));
        quietly(&mut mvn, "Kafka's jars")
    })?;
    Ok(folder.join("libs"))
}

/// Folder with Apicurio's `quarkus-run.jar`.
pub fn apicurio() -> Result<PathBuf> {
    fetched("apicurio", APICURIO, |folder| {
        let mut mvn = command(debian::program("mvn", &["maven"])?);
        mvn.args(["-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"]);
        mvn.arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all"));
        mvn.arg(format!("-DoutputDirectory={}", folder.display()));
        quietly(&mut mvn, "Apicurio Registry")?;
        let archive = folder.join(format!("apicurio-registry-app-{APICURIO}-all.tar.gz"));
        capture(command("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder))?;
        std::fs::remove_file(&archive)?;
        if !folder.join("quarkus-run.jar").is_file() {
            bail!("the archive holds no quarkus-run.jar");
        }
        Ok(())
    })
}

/// Maven's own words name repositories and fill the screen: the cause is in its log, here stands what is missing.
fn quietly(mvn: &mut std::process::Command, what: &str) -> Result<()> {
    let log = paths::tools().join("maven.txt");
    if let Err(error) = capture(mvn) {
        std::fs::write(&log, format!("{error:#}"))?;
        bail!("Maven could not fetch {what}; its words are in {}", log.display());
    }
    Ok(())
}
