//! `cargo xtask deploy`: reads what an operator deploys with the tools that will read it there, and holds its names
//! against the program's source. Needs no container engine and no cluster.

use crate::command::{capture, command};
use crate::paths;
use crate::setup::checkers;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs every check.
pub fn run() -> Result<()> {
    compose()?;
    image()?;
    manifests()?;
    let queries = dashboard()?;
    prometheus(&queries)?;
    metrics_exist(&queries)?;
    links()
}

/// Unknown keys, undefined services and volumes.
fn compose() -> Result<()> {
    let said = capture(command(checkers::compose()?).arg(paths::root().join("docker-compose.yml")))?;
    let services: BTreeSet<&str> = said.lines().collect();
    for role in ["gateway", "router", "inbox", "ops"] {
        if !services.contains(role) {
            bail!("docker-compose.yml has no service {role}");
        }
    }
    println!("compose: {} services", services.len());
    Ok(())
}

fn image() -> Result<()> {
    capture(command(checkers::python()?.join("bin/hadolint")).arg(paths::deploy().join("Dockerfile")))?;
    println!("image: Dockerfile clean");
    Ok(())
}

fn manifests() -> Result<()> {
    let files = files_of(&paths::deploy().join("kubernetes"), "yaml")?;
    capture(command(checkers::python()?.join("bin/kubernetes-validate")).args(["--strict", "--quiet"]).args(&files))?;
    println!("kubernetes: {} files valid", files.len());
    Ok(())
}

/// Every query of every panel; each panel must have an id of its own and at least one.
fn dashboard() -> Result<Vec<String>> {
    let mut queries = Vec::new();
    let files = files_of(&paths::deploy().join("grafana/dashboards"), "json")?;
    for file in &files {
        let board: Value = serde_json::from_slice(&fs::read(file)?).with_context(|| format!("{} is no JSON", file.display()))?;
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().context("a dashboard without panels")? {
            let title = panel["title"].as_str().unwrap_or("without a title");
            if !ids.insert(panel["id"].as_u64().with_context(|| format!("panel {title} has no id"))?) {
                bail!("panel {title} has the id of another");
            }
            let targets = panel["targets"].as_array().with_context(|| format!("panel {title} asks for nothing"))?;
            for target in targets {
                queries.push(target["expr"].as_str().with_context(|| format!("panel {title} has a target without expr"))?.to_owned());
            }
        }
    }
    println!("grafana: {} dashboards, {} queries", files.len(), queries.len());
    Ok(queries)
}

/// Configuration, alerts with their cases, and each query of the dashboard written as a rule.
fn prometheus(queries: &[String]) -> Result<()> {
    let promtool = checkers::promtool()?;
    let folder = paths::deploy().join("prometheus");
    capture(command(&promtool).args(["check", "config"]).arg(folder.join("prometheus.yml")))?;
    capture(command(&promtool).args(["test", "rules"]).arg(folder.join("alerts_test.yml")))?;
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(index, expr)| serde_json::json!({"record": format!("query:number:{index}"), "expr": expr}))
        .collect();
    // JSON is YAML, so nothing has to be quoted by hand.
    let rules = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let mut file = tempfile::Builder::new().suffix(".yml").tempfile()?;
    serde_json::to_writer(&mut file, &rules)?;
    capture(command(&promtool).args(["check", "rules"]).arg(file.path()))?;
    println!("prometheus: configuration, alerts and queries valid");
    Ok(())
}

/// A metric that no program writes makes an alert that never fires.
fn metrics_exist(queries: &[String]) -> Result<()> {
    let alerts = fs::read_to_string(paths::deploy().join("prometheus/alerts.yml"))?;
    let asked: BTreeSet<&str> = queries.iter().map(String::as_str).chain([alerts.as_str()]).flat_map(metrics).collect();
    let mut source = String::new();
    for package in fs::read_dir(paths::root().join("crates"))?.flatten() {
        read_all(&package.path().join("src"), &mut source)?;
    }
    let unknown: Vec<&str> = asked.iter().copied().filter(|name| !source.contains(&format!("\"{name}\""))).collect();
    if !unknown.is_empty() {
        bail!("alerts or dashboard ask for metrics that no crate writes: {}", unknown.join(", "));
    }
    println!("metrics: {} names, all written by the program", asked.len());
    Ok(())
}

/// Names that begin with `oneknock_` in a query.
fn metrics(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("oneknock_"))
}

/// Alerts name runbooks, runbooks name one another.
fn links() -> Result<()> {
    let alerts = fs::read_to_string(paths::deploy().join("prometheus/alerts.yml"))?;
    let named = alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).map(|path| paths::root().join(path));
    let mut all: Vec<PathBuf> = named.collect();
    let folder = paths::deploy().join("runbooks");
    for page in files_of(&folder, "md")? {
        let text = fs::read_to_string(&page)?;
        all.extend(text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|link| folder.join(link)));
    }
    match all.iter().find(|path| !path.is_file()) {
        Some(path) => bail!("a runbook is named that is not there: {}", path.display()),
        None => {
            println!("runbooks: {} links good", all.len());
            Ok(())
        }
    }
}

fn files_of(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == end));
    if files.is_empty() {
        bail!("{} holds no .{end} file", folder.display());
    }
    files.sort();
    Ok(files)
}

fn read_all(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, text)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_metrics_are_found_in_a_query() {
        let found: Vec<&str> = super::metrics("sum by (topic) (rate(oneknock_a_total{code=~\"x\"}[5m])) / oneknock_b").collect();
        assert_eq!(found, ["oneknock_a_total", "oneknock_b"]);
    }
}
