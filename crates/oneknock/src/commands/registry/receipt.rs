//! The receipt of a correction or an erasure: what was changed, where, when and by whom, and what remains until the mandate's end. Signed as the
//! certificate of a mandate's end is, and without a clear value: it is handed to the person who asked.

use crate::commands::page::{escaped, framed, table, what_counts};
use crate::commands::signed::Kind;
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::language::Language;
use anyhow::anyhow;
use connectors::registry::{Act, Done};
use events::{Millis, time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The file.
const RECEIPT: Kind = Kind { note: "receipt", folder: "receipts", command: "oneknock registry correct or erase" };

/// A sentence, in Chinese and English.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    zh: String,
    en: String,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Names the file.
    pub id: String,
    /// `correct`, `detach`, `erase` or `restore`.
    pub act: String,
    /// The mandate.
    pub mandate: String,
    /// When; RFC 3339.
    pub at: String,
    /// The administrator's name.
    pub by: String,
    /// The households that it was about.
    pub households: Vec<String>,
    /// Their fields that changed.
    pub fields: Vec<String>,
    /// Identifiers that were named, by kind.
    pub identifiers: BTreeMap<String, u64>,
    /// Records published, by topic.
    pub records: BTreeMap<String, u64>,
    /// Until when the mandate is in force, at the latest.
    pub mandate_until: String,
    /// What remains until then, or is not reached.
    pub remains: Vec<Said>,
}

impl Receipt {
    /// Of what is about to be done.
    pub fn of(act: Act, done: &Done, by: String, now: Millis) -> Receipt {
        let at = time::format(now);
        let name = match act {
            Act::Correct => "correct",
            Act::Detach => "detach",
            Act::Erase => "erase",
            Act::Restore => "restore",
        };
        // One act at a time holds the register, so that a millisecond tells them apart.
        let digits: String = at.chars().filter(char::is_ascii_digit).collect();
        let counts = |counts: &BTreeMap<&str, u64>| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Receipt {
            id: format!("{name}-{digits}"),
            act: name.to_owned(),
            mandate: done.mandate.clone(),
            at,
            by,
            households: done.households.iter().cloned().collect(),
            fields: done.fields.iter().map(|field| (*field).to_owned()).collect(),
            identifiers: counts(&done.identifiers),
            records: counts(&done.records),
            mandate_until: time::format(done.valid_until),
            remains: remains(act, done),
        }
    }

    /// Signs it and writes both files, durably.
    pub fn write(&self, config: &Config) -> Result<PathBuf, Failure> {
        RECEIPT.write(config, &self.id, self, |signature| self.page(signature))
    }

    fn rows(&self) -> Vec<(&'static str, &'static str, String)> {
        let counts = |counts: &BTreeMap<String, u64>| match counts.is_empty() {
            true => "0".to_owned(),
            false => counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "),
        };
        let list = |list: &[String]| if list.is_empty() { "—".to_owned() } else { list.join(", ") };
        let act = match self.act.as_str() {
            "correct" => "更正 correct",
            "detach" => "解除关联 detach",
            "erase" => "删除 erase",
            _ => "恢复 restore",
        };
        vec![
            ("回执", "Receipt", self.id.clone()),
            ("事项", "Act", act.to_owned()),
            ("授权书", "Mandate", self.mandate.clone()),
            ("时间", "When", self.at.clone()),
            ("经办", "By", self.by.clone()),
            ("住户", "Households", list(&self.households)),
            ("变更的字段", "Fields changed", list(&self.fields)),
            ("涉及的标识", "Identifiers named", counts(&self.identifiers)),
            ("写入的记录", "Records published", counts(&self.records)),
            ("授权书最迟终止", "The mandate ends at the latest", self.mandate_until.clone()),
        ]
    }

    /// Prints it.
    pub fn say(&self, language: Language) {
        for (chinese, english, what) in self.rows() {
            println!("{}: {what}", if language == Language::Chinese { chinese } else { english });
        }
        for said in &self.remains {
            println!("  {}", if language == Language::Chinese { &said.zh } else { &said.en });
        }
    }

    /// For people, in Chinese and English.
    fn page(&self, signature: &str) -> String {
        let mut body = table(&self.rows());
        body.push_str("<h2>在授权书终止之前仍保留的 · What remains until the mandate ends</h2>\n<ul>\n");
        for said in &self.remains {
            let _ = writeln!(body, "<li>{}<br>{}</li>", escaped(&said.zh), escaped(&said.en));
        }
        let _ = writeln!(body, "</ul>\n{}", what_counts(signature));
        framed("更正与删除回执", "Receipt of a correction or erasure", &body)
    }
}

/// What remains, and what is not reached.
fn remains(act: Act, done: &Done) -> Vec<Said> {
    let said = |(zh, en): (&str, &str)| Said { zh: zh.to_owned(), en: en.to_owned() };
    let doors = done.doors.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut all: Vec<Said> = match act {
        Act::Correct | Act::Detach => vec![
            ("下一次登记导入以其文件为准：数据来源处也须更正。", "The next import publishes what its files say: the register that they come from must be put right as well."),
            SEALED_BEFORE,
        ],
        Act::Erase => vec![
            (
                "此前的事件和任务中仍有本人的标识令牌和加密的申报地址：已不能据此找到住户，授权书终止后无法关联、无法打开。",
                "Events and tasks of before hold tokens and sealed declared addresses: no household is found by them any more, and from the mandate's end on nothing links or opens them.",
            ),
            (
                "若来访地址由本人在检查点申报，负责的网格员在任务结束或撤回前仍能看到该地址。",
                "An open visit whose address was declared at a checkpoint shows it to its worker until the visit is over or withdrawn.",
            ),
            SEALED_BEFORE,
            (
                "被删除的标识以令牌形式留在名单上，使导入不再恢复它们；“registry restore” 可将其移出。本人到来仍按未登记人员处理。",
                "The erased identifiers stay on a list, as tokens, so that no import brings them back; `registry restore` takes them off. The person's arrivals are taken as those of somebody unknown.",
            ),
            ("查看记录仍保留谁在何时查看过哪项任务，不含本人信息。", "The log of reads keeps who opened which visit and when, without the person's data."),
        ],
        Act::Restore => vec![("含有这些信息的下一次导入将其恢复。", "The next import whose files hold it brings it back.")],
    }
    .into_iter()
    .map(said)
    .collect();
    if !doors.is_empty() {
        all.push(match act {
            Act::Erase => Said {
                zh: format!("在这些住户门口的登记不再生效：{doors}。"),
                en: format!("What was registered at the doors of these households counts no more: {doors}."),
            },
            _ => Said {
                zh: format!("在这些住户门口的登记仍然有效，须由网格员在正确的住户重新登记：{doors}。"),
                en: format!("Registered at the doors of these households, which still counts until a worker registers them at the right one: {doors}."),
            },
        });
    }
    if act == Act::Erase && done.others > 0 {
        all.push(Said {
            zh: format!("这些住户还有其他 {} 个标识；登记中不含其属于何人。", done.others),
            en: format!("{} other identifiers stay with these households; whose they are the register does not say.", done.others),
        });
    }
    all
}

/// Of either act.
const SEALED_BEFORE: (&str, &str) = (
    "登记的旧记录在日志压缩之前及备份中以加密形式留存，授权书终止后无法打开。",
    "Former records of the register stay, sealed, in the log until it is compacted, and in backups; from the mandate's end on nothing opens them.",
);

/// `oneknock registry receipt ID`: prints it, if it is as it was written.
pub fn print(config: &Path, id: &str, lang: Option<Language>, as_json: bool) -> Result<(), Failure> {
    let config = config::load(config)?;
    let found = RECEIPT.read(&config, id, |receipt: &Receipt| &receipt.id)?;
    let (receipt, text) = found.ok_or_else(|| anyhow!("there is no receipt of this id here: a correction or erasure prints its own"))?;
    if as_json {
        print!("{text}");
    } else {
        receipt.say(Language::of(lang));
    }
    Ok(())
}
