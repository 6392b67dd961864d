//! The certificate of a mandate's end: what was accepted, what was destroyed, when and by whom, signed by the site's key of signed notes.
//!
//! It is `certificates/ID.json` beside oneknock.toml, and a page.

use super::drain::Drained;
use super::samples::Counts;
use crate::commands::page::{self, escaped, framed};
use crate::commands::signed::Kind;
use crate::config::{self, Config};
use crate::failure::Failure;
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The file.
const CERTIFICATE: Kind = Kind { note: "certificate", folder: "certificates", command: "oneknock mandate end" };

/// What no end of a mandate reaches, in English and Chinese.
pub const LIMITS: [(&str, &str); 4] = [
    (
        "Copies of the keys or of their folder that were made elsewhere must be destroyed there.",
        "在别处复制的密钥或密钥目录，须在当地销毁。",
    ),
    (
        "What workers have read or written down, and what a phone without a network holds until it has one again.",
        "网格员已经看到或抄下的内容，以及没有网络的手机在重新联网之前所保存的内容。",
    ),
    ("Running processes let go of the keys within a quarter of a minute after this.", "运行中的进程在此后十五秒内放弃密钥。"),
    ("Events are counted over the last 28 days.", "事件只统计最近 28 天。"),
];

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// The mandate's id.
    pub mandate: String,
    /// Its last version.
    pub version: i64,
    /// For people.
    pub title: String,
    /// The law it rested on.
    pub legal_basis: String,
    /// In force from, inclusive; RFC 3339, as all times here.
    pub valid_from: String,
    /// In force until, exclusive.
    pub valid_until: String,
    /// When it was ended; where an interrupted command is repeated after the keys were destroyed, when they were.
    pub ended_at: String,
    /// The administrator's name.
    pub ended_by: String,
    /// What was queued.
    pub drained: Drained,
    /// By the ledger, over 28 days.
    pub events_accepted: u64,
    /// Households that the registry held.
    pub households: usize,
    /// The proof.
    pub sampled: Sampled,
    /// What it proves.
    pub keys_destroyed: Destroyed,
    /// What this cannot reach.
    pub limits: Vec<String>,
    /// The certificate that there was, where the keys had come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Certificate>>,
}

/// Sealed values that were tried.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sampled {
    /// How many.
    pub count: usize,
    /// Of what.
    pub of: Counts,
    /// With the keys; null: they were gone, or did not open, when this was written.
    pub opened_before: Option<usize>,
    /// 0, or there is no certificate.
    pub opened_after: usize,
}

/// What became of the keys.
#[derive(Debug, Serialize, Deserialize)]
pub struct Destroyed {
    /// When.
    pub at: String,
    /// The administrator's name.
    pub by: String,
    /// The folder, or the key service.
    pub place: String,
    /// Null: they were gone already when this was written.
    pub suite: Option<String>,
    /// Ids of the wrapping keys, oldest first.
    pub versions: Option<Vec<String>>,
}

impl Certificate {
    /// Signs it and writes both files, durably.
    pub fn write(&self, config: &Config) -> Result<PathBuf, Failure> {
        CERTIFICATE.write(config, &self.mandate, self, |signature| self.page(signature))
    }

    /// The certificate of a mandate and the file's text; none where there is none.
    ///
    /// # Errors
    /// It was altered, or signed by another site.
    pub fn read(config: &Config, id: &str) -> Result<Option<(Certificate, String)>, Failure> {
        CERTIFICATE.read(config, id, |certificate: &Certificate| &certificate.mandate)
    }

    /// What it says, line by line: in Chinese, in English, and what.
    fn rows(&self) -> Vec<(&'static str, &'static str, String)> {
        let Certificate { drained, sampled, keys_destroyed, .. } = self;
        let known = |number: Option<usize>| number.map_or_else(|| "—".to_owned(), |number| number.to_string());
        let counts = sampled.of;
        let mut undecided = drained.undecided.to_string();
        if !drained.router {
            undecided.push_str(" (没有路由在运行 no router was running)");
        }
        let mut rows = vec![
            ("授权书", "Mandate", format!("{} · {}", self.mandate, self.version)),
            ("名称", "Title", self.title.clone()),
            ("法律依据", "Legal basis", self.legal_basis.clone()),
            ("有效期", "Valid", format!("{} – {}", self.valid_from, self.valid_until)),
            ("终止", "Ended", format!("{}, {}", self.ended_at, self.ended_by)),
            ("接收的事件", "Events accepted", self.events_accepted.to_string()),
            ("未裁定的事件", "Events left undecided", undecided),
            ("等待（秒）", "Waited for (s)", drained.seconds.to_string()),
            ("登记的住户", "Households in the registry", self.households.to_string()),
            (
                "抽样：登记、任务、事件",
                "Sampled: registry, tasks, events",
                format!("{}, {}, {}", counts.registry, counts.tasks, counts.events),
            ),
            ("销毁前能打开", "Opened before", format!("{} / {}", known(sampled.opened_before), sampled.count)),
            ("销毁后能打开", "Opened after", format!("{} / {}", sampled.opened_after, sampled.count)),
            ("密钥销毁", "Keys destroyed", format!("{}, {}", keys_destroyed.at, keys_destroyed.by)),
            ("位置", "Where", keys_destroyed.place.clone()),
            ("算法套件", "Suite", keys_destroyed.suite.clone().unwrap_or_else(|| "—".to_owned())),
            ("密钥版本", "Key versions", keys_destroyed.versions.as_ref().map_or_else(|| "—".to_owned(), |ids| ids.join(", "))),
        ];
        rows.extend(self.before.iter().map(|before| ("此前已销毁", "Destroyed before", before.keys_destroyed.at.clone())));
        rows
    }

    /// For people, in Chinese and English.
    fn page(&self, signature: &str) -> String {
        let mut body = page::table(&self.rows());
        body.push_str("<h2>本次终止够不到的 · What this does not reach</h2>\n<ul>\n");
        for limit in &self.limits {
            let chinese = LIMITS.iter().find(|(english, _)| english == limit).map_or("", |(_, chinese)| chinese);
            let _ = writeln!(body, "<li>{chinese} {}</li>", escaped(limit));
        }
        let _ = writeln!(body, "</ul>\n{}", page::what_counts(signature));
        framed("授权书终止证明", "Certificate of a mandate's end", &body)
    }
}

/// `oneknock mandate certificate ID`: prints it, if it is as it was written.
pub fn print(config: &Path, id: &str, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let (certificate, text) =
        Certificate::read(&config, id)?.ok_or_else(|| anyhow!("there is no such certificate: `oneknock mandate end` writes one"))?;
    if as_json {
        print!("{text}");
        return Ok(());
    }
    println!("certificate of the end of mandate {id}, signed by this site and as it was written");
    for (_, english, what) in certificate.rows() {
        println!("  {english}: {what}");
    }
    certificate.limits.iter().for_each(|limit| println!("  {limit}"));
    Ok(())
}
