//! What the policy commands print, in Chinese and English. The pictures are bars: what both policies make, and what one makes more.

use super::report::{Named, Pair, Report};
use crate::language::Language::{self, Chinese, English};
use domain::policy::{Fault, Faults, Kind, Wrong};
use events::{Level, Policy};
use serde_json::{Value, json};
use std::path::Path;

/// Grids that are shown, those that differ most.
const GRIDS_SHOWN: usize = 20;
/// The longest bar.
const BAR: u64 = 40;

/// What is wrong with a file, with file, line, what was found and what was expected.
pub fn fault_line(path: &Path, fault: &Fault, language: Language) -> String {
    format!("{}:{}: {}", path.display(), fault.line, said(fault, language))
}

fn said(fault: &Fault, language: Language) -> String {
    match (language, fault.key.as_str()) {
        (English, _) => fault.to_string(),
        (Chinese, "") => in_chinese(&fault.wrong),
        (Chinese, key) => format!("{key}：{}", in_chinese(&fault.wrong)),
    }
}

fn in_chinese(wrong: &Wrong) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join("、");
    match wrong {
        Wrong::Syntax(what) => format!("不是有效的 TOML：{what}"),
        Wrong::UnknownKey { expected } => format!("没有这个键；应为其中之一：{}", expected.join("、")),
        Wrong::OfKind { expected, found } => format!("应为{}，实为{}", kind(*expected), kind(*found)),
        Wrong::Number { least, most, found } => format!("应为 {least} 到 {most} 的整数，实为 {found}"),
        Wrong::Word { expected, found } => format!("应为 {} 之一，实为 \"{found}\"", words(expected)),
        Wrong::Twice { first_line } => format!("已在第 {first_line} 行写过；只应写一次"),
        Wrong::Division { found } => format!("应为区划代码或其开头，1 到 12 位数字，实为 \"{found}\""),
        Wrong::TooLong { found, most } => format!("两者合计至多 {most} 小时（28 天），实为 {found} 小时"),
        Wrong::DueLater { found: [high, medium, low] } => {
            format!("等级越高期限应越短：high <= medium <= low，实为 {high}、{medium}、{low}")
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "字符串",
        Kind::Integer => "整数",
        Kind::Float => "小数",
        Kind::Boolean => " true 或 false",
        Kind::Moment => "日期或时间",
        Kind::List => "列表",
        Kind::Table => "表",
    }
}

/// A check as JSON.
pub fn check_json(path: &Path, read: &Result<Policy, Faults>, language: Language) -> Value {
    let file = path.display().to_string();
    match read {
        Ok(policy) => json!({"file": file, "ok": true, "errors": [], "policy": policy}),
        Err(faults) => {
            let error = |fault: &Fault| json!({"line": fault.line, "key": fault.key, "message": said(fault, language)});
            json!({"file": file, "ok": false, "errors": faults.0.iter().map(error).collect::<Vec<_>>()})
        }
    }
}

/// A check that has found nothing wrong.
pub fn can_be_applied(path: &Path, policy: &Policy, language: Language) -> String {
    let (path, policy) = (path.display(), summary(policy, language));
    match language {
        English => format!("{path}: a policy: {policy}"),
        Chinese => format!("{path}：可以生效的策略：{policy}"),
    }
}

/// It is in force.
pub fn in_force(policy: &Policy, language: Language) -> String {
    let (version, summary) = (policy.version, summary(policy, language));
    match language {
        English => format!("in force: policy version {version}: {summary}"),
        Chinese => format!("已生效：策略版本 {version}：{summary}"),
    }
}

fn summary(policy: &Policy, language: Language) -> String {
    let (window, grace, zones) = (policy.window_days, policy.grace_hours, policy.zones.len());
    match language {
        English => {
            let least = policy.least_level.map_or("every level".to_owned(), |level| format!("{level} and above"));
            format!("{window} days' window, {grace} hours' grace, {zones} zones, {least} makes a visit")
        }
        Chinese => {
            let least = policy.least_level.map_or("各等级均上门".to_owned(), |least| format!("{}及以上才上门", level(least)));
            format!("窗口 {window} 天，宽限 {grace} 小时，区域 {zones} 个，{least}")
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::High => "高风险",
        Level::Medium => "中风险",
        Level::Low => "低风险",
    }
}

/// A policy that would make too many visits.
pub fn too_many(report: &Report, most: u64, language: Language) -> String {
    let (at_once, more) = (report.at_once.visits, report.visits.difference);
    match language {
        English => format!(
            "not applied: it would open {at_once} visits at once, and would have made {more:+} over its last window; policy.visits_max allows {most}; say --yes to apply it all the same"
        ),
        Chinese => format!(
            "未生效：一旦生效会立即新增 {at_once} 次上门，按上一个窗口计会多出 {more:+} 次；policy.visits_max 只允许 {most} 次；确要生效请加 --yes"
        ),
    }
}

/// Beside the progress line.
pub fn replaying(language: Language) -> &'static str {
    if language == Chinese { "重放" } else { "replaying" }
}

/// Beside the progress line of the second part.
pub fn looking(language: Language) -> &'static str {
    if language == Chinese { "查看现有住户" } else { "looking at households" }
}

/// A report in words and bars.
pub fn report(report: &Report, language: Language) -> String {
    let english = language == English;
    let either = |english_words: &str, chinese_words: &str| if english { english_words.to_owned() } else { chinese_words.to_owned() };
    let from = report.from.clone().unwrap_or_else(|| either("the beginning", "最早"));
    let to = report.to.clone().unwrap_or_else(|| either("now", "现在"));
    let since = report.since.clone().unwrap_or_else(|| either("nothing", "无"));
    let (events, actions, version) = (report.events, report.actions, report.policy_in_force);
    let mut lines = match language {
        English => vec![
            format!("visits that opened from {from} to {to}"),
            format!("replayed: {events} events, {actions} actions; the log holds them since {since}; policy in force: version {version}"),
        ],
        Chinese => vec![
            format!("{from} 至 {to} 期间新增的上门"),
            format!("已重放：事件 {events} 条，操作 {actions} 条；日志自 {since} 起有记录；现行策略版本 {version}"),
        ],
    };
    let all = Named { name: either("all", "合计"), visits: report.visits };
    let levels = report.levels.iter().map(|row| Named { name: level_name(&row.name, language), visits: row.visits });
    lines.push(String::new());
    lines.extend(table(&either("level", "等级"), &[all].into_iter().chain(levels).collect::<Vec<_>>(), language));

    let mut grids: Vec<&Named> = report.grids.iter().filter(|row| row.visits.difference != 0).collect();
    grids.sort_by_key(|row| (std::cmp::Reverse(row.visits.difference.unsigned_abs()), row.name.clone()));
    let (differ, shown) = (grids.len(), grids.len().min(GRIDS_SHOWN));
    lines.push(String::new());
    if differ == 0 {
        lines.push(either("no grid has more or fewer", "各网格均无增减"));
    } else {
        let rows: Vec<Named> = grids[..shown].iter().map(|row| Named { name: row.name.clone(), visits: row.visits }).collect();
        lines.extend(table(&either("grid", "网格"), &rows, language));
        if differ > shown {
            let rest = differ - shown;
            lines.push(if english {
                format!("{rest} more grids differ; --json names them")
            } else {
                format!("另有 {rest} 个网格有增减，见 --json")
            });
        }
    }
    lines.push(String::new());
    lines.push(at_once(report, language));
    lines.push(either("nothing was changed", "未作任何更改"));
    lines.join("\n")
}

fn at_once(report: &Report, language: Language) -> String {
    let mut grids: Vec<(&String, &u64)> = report.at_once.grids.iter().collect();
    grids.sort_by_key(|(grid, count)| (std::cmp::Reverse(**count), (*grid).clone()));
    let (count, rest) = (report.at_once.visits, grids.len().saturating_sub(GRIDS_SHOWN));
    let named: Vec<String> = grids.iter().take(GRIDS_SHOWN).map(|(grid, count)| format!("{grid} {count}")).collect();
    let named = named.join(if language == English { ", " } else { "、" });
    match (language, count, rest) {
        (English, 0, _) => "applied now it would open no visit at once".to_owned(),
        (English, _, 0) => format!("applied now it would open {count} visits at once: {named}"),
        (English, ..) => format!("applied now it would open {count} visits at once: {named}, and in {rest} more grids"),
        (Chinese, 0, _) => "现在生效不会立即新增上门".to_owned(),
        (Chinese, _, 0) => format!("现在生效会立即新增 {count} 次上门：{named}"),
        (Chinese, ..) => format!("现在生效会立即新增 {count} 次上门：{named}，另有 {rest} 个网格"),
    }
}

fn level_name(name: &str, language: Language) -> String {
    match (language, Level::parse(name)) {
        (Chinese, Some(parsed)) => level(parsed).to_owned(),
        _ => name.to_owned(),
    }
}

/// Rows with bars, all to one scale.
fn table(what: &str, rows: &[Named], language: Language) -> Vec<String> {
    let most = rows.iter().map(|row| row.visits.in_force.max(row.visits.new)).max().unwrap_or(0).max(1);
    let width = rows.iter().map(|row| columns(&row.name)).chain([columns(what)]).max().unwrap_or(0);
    let [in_force, new, difference] =
        if language == English { ["in force", "new", "difference"] } else { ["现行", "新策略", "增减"] };
    let head = format!("{}  {}  {}  {}", left(what, width), right(in_force, 9), right(new, 9), right(difference, 10));
    let legend = if language == English { "█ both  ▓ more  ░ fewer" } else { "█ 相同  ▓ 增加  ░ 减少" };
    let row = |row: &Named| {
        let Pair { in_force, new, difference } = row.visits;
        let sign = if difference == 0 { "0".to_owned() } else { format!("{difference:+}") };
        let line = format!("{}  {in_force:>9}  {new:>9}  {sign:>10}  {}", left(&row.name, width), bar(row.visits, most));
        line.trim_end().to_owned()
    };
    [format!("{head}  {legend}")].into_iter().chain(rows.iter().map(row)).collect()
}

/// What both make, then what the new policy makes more or fewer.
fn bar(Pair { in_force, new, .. }: Pair, most: u64) -> String {
    // Nothing that is there is without a picture.
    let cells = |count: u64| if count == 0 { 0 } else { (count * BAR).div_ceil(most) };
    let (both, longer) = (cells(in_force.min(new)), cells(in_force.max(new)));
    let longer = if in_force == new { both } else { longer.max(both + 1) };
    let kind = if new > in_force { "▓" } else { "░" };
    let times = |count: u64| usize::try_from(count).unwrap_or(0);
    "█".repeat(times(both)) + &kind.repeat(times(longer - both))
}

/// Columns that a terminal takes for it: Chinese letters take two.
fn columns(text: &str) -> usize {
    text.chars().map(|letter| if letter as u32 >= 0x2e80 { 2 } else { 1 }).sum()
}

fn left(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(columns(text)))
}

fn right(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(columns(text))) + text
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::policy::from_toml;

    #[test]
    fn every_fault_is_said_in_both_languages_with_file_line_and_what_stands_there() {
        let text = "window_days = 40\ncolour = 1\nmatch = \"some\"\nattempts_max = 1.5\n\n[zones]\nab = \"high\"\n1 = \"low\"\n\"1 \" = \"low\"\n\n[due_hours]\nlow = 1\n";
        let faults = from_toml(text, 0).unwrap_err().0;
        assert_eq!(faults.len(), 7);
        for fault in faults.iter().chain(&from_toml("window_days = 28", 0).unwrap_err().0).chain(&from_toml("match", 0).unwrap_err().0) {
            let [english, chinese] = [English, Chinese].map(|language| fault_line(Path::new("p.toml"), fault, language));
            for said in [&english, &chinese] {
                assert!(said.starts_with(&format!("p.toml:{}: {}", fault.line, fault.key)), "{said}");
            }
            assert_ne!(english, chinese);
            let figures = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(figures(&english), figures(&chinese), "{english} {chinese}");
        }
    }

    #[test]
    fn bars_are_to_scale_and_nothing_that_is_there_is_without_one() {
        let pair = |in_force, new| Pair { in_force, new, difference: 0 };
        assert_eq!(bar(pair(0, 0), 1000), "");
        assert_eq!(bar(pair(1000, 1000), 1000), "█".repeat(40));
        assert_eq!(bar(pair(500, 1000), 1000), "█".repeat(20) + &"▓".repeat(20));
        assert_eq!(bar(pair(1000, 0), 1000), "░".repeat(40));
        assert_eq!(bar(pair(1, 2), 1000), "█▓");
        assert_eq!(bar(pair(2, 1), 1000), "█░");
    }
}
