//! A trace in one screen, in Chinese and English.

use super::{CoverState, DecisionRecord, HouseholdState, LedTo, Trace};
use crate::Language::{self, Chinese, English};
use domain::household::Row;
use events::Code;
use std::fmt::Write;

impl Trace {
    /// In words.
    pub fn text(&self, language: Language) -> String {
        let mut out = String::new();
        // Writing into a text cannot fail.
        let _ = Shown { trace: self, language }.write(&mut out);
        out
    }
}

struct Shown<'a> {
    trace: &'a Trace,
    language: Language,
}

impl Shown<'_> {
    fn say<'w>(&self, english: &'w str, chinese: &'w str) -> &'w str {
        if self.language == English { english } else { chinese }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let trace = self.trace;
        writeln!(out, "{} {}", self.say("event", "事件"), trace.event_id)?;
        for record in &trace.records {
            let (source, kinds, place) = (&record.source, record.identifiers.join(", "), &record.place);
            let from = record.origin_division.as_deref().unwrap_or("-");
            let (seen, taken, mandate) = (&record.observed_at, &record.received_at, &record.mandate);
            let grid = record.declared_grid.as_deref().unwrap_or("-");
            match self.language {
                English => {
                    writeln!(out, "  {source}, mandate {mandate}; seen {seen}, taken {taken}; by {kinds}; from {from}, to grid {grid}")?
                }
                Chinese => {
                    writeln!(out, "  {source}，授权书 {mandate}；观测 {seen}，接收 {taken}；依据 {kinds}；来自 {from}，目的网格 {grid}")?
                }
            }
            writeln!(out, "  {} {}:{} {}", place.topic, place.partition, place.offset, place.appended_at)?;
        }
        self.decisions(out)?;
        if let Some(traveller) = &trace.traveller {
            writeln!(out, "\n{}", self.say("where it is now", "现在何处"))?;
            let (household, version, carried) = (&traveller.household, traveller.version, traveller.carried);
            match self.language {
                English => write!(out, "  household {household}, version {version} of its traveller")?,
                Chinese => write!(out, "  住户 {household}，出行者版本 {version}")?,
            }
            let leaving = if traveller.leaving { self.say(", on its way to another", "，正在迁往别处") } else { "" };
            writeln!(out, "{leaving}{} {carried}", self.say("; signals on the way:", "；途中信号"))?;
        }
        if let Some(household) = &trace.household {
            self.visit(out, household)?;
        }
        self.table(out)?;
        writeln!(out, "\n{}", self.verdict())?;
        let change = self.change();
        if !change.is_empty() {
            writeln!(out, "{change}")?;
        }
        Ok(())
    }

    /// In the order of revisions; what was said again stands once, with its first words.
    fn decisions(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{}", self.say("what was said of it", "历次裁定"))?;
        let mut sorted: Vec<&DecisionRecord> = self.trace.decisions.iter().collect();
        sorted.sort_by_key(|decision| decision.revision);
        for same in sorted.chunk_by(|one, other| one.revision == other.revision) {
            let told = same.iter().find(|decision| decision.row.is_some()).unwrap_or(&same[0]);
            let (version, count) = (told.traveller_version, told.count);
            write!(out, "  {version}.{count} {}", told.code)?;
            if let Some(row) = told.row {
                match self.language {
                    English => write!(out, " (row {row})")?,
                    Chinese => write!(out, "（第 {row} 行）")?,
                }
            }
            write!(out, ": {}", self.reason(told))?;
            let again = same.len() - 1;
            match (self.language, again) {
                (_, 0) => writeln!(out)?,
                (English, _) => writeln!(out, " (said again {again} times)")?,
                (Chinese, _) => writeln!(out, "（重复 {again} 次）")?,
            }
            let (policy, at, place) = (told.policy, &told.at, &told.place);
            let (grid, task) = (told.grid.as_deref().unwrap_or("-"), told.task_id.as_deref().unwrap_or("-"));
            match self.language {
                English => write!(out, "      policy {policy}, grid {grid}, visit {task}, {at}")?,
                Chinese => write!(out, "      策略 {policy}，网格 {grid}，任务 {task}，{at}")?,
            }
            writeln!(out, "  [{} {}:{}]", place.topic, place.partition, place.offset)?;
        }
        if sorted.is_empty() {
            writeln!(out, "  {}", self.say("nothing yet", "尚未裁定"))?;
        }
        Ok(())
    }

    fn reason(&self, decision: &DecisionRecord) -> String {
        let row = Code::parse(decision.code).and_then(|code| Row::of(code, &decision.reason));
        match (self.language, row) {
            (Chinese, Some(row)) => in_chinese(row).to_owned(),
            _ => decision.reason.clone(),
        }
    }

    fn visit(&self, out: &mut String, household: &HouseholdState) -> std::fmt::Result {
        writeln!(out, "\n{}", self.say("the visit there", "该户的上门任务"))?;
        let none = "-".to_owned();
        let task = household.task_id.as_ref().unwrap_or(&none);
        let grid = household.grid.as_ref().unwrap_or(&none);
        let (state, version, episode) = (household.state, household.version, household.episode);
        let at = |at: &Option<String>| at.clone().unwrap_or_else(|| none.clone());
        let (opened, due, ends) = (at(&household.opened_at), at(&household.due_at), at(&household.ends_at));
        let (joined, here, attempts, priority) = (household.joined, household.travellers, household.attempts, household.priority);
        match self.language {
            English => {
                writeln!(out, "  {task} {state}, priority {priority}, grid {grid}, visit no. {episode}, version {version}")?;
                writeln!(out, "  opened {opened}, due {due}, ends {ends}; {joined} joined, {here} travellers here, {attempts} attempts")?;
            }
            Chinese => {
                writeln!(out, "  {task} {state}，等级 {priority}，网格 {grid}，第 {episode} 次上门，版本 {version}")?;
                writeln!(out, "  建立 {opened}，期限 {due}，截止 {ends}；并入 {joined}，在此出行者 {here}，未遇 {attempts} 次")?;
            }
        }
        if let Some(outcome) = household.outcome {
            let (at, until) = (at(&household.screened_at), at(&household.covered_until));
            match self.language {
                English => writeln!(out, "  outcome {outcome}; screened {at}, answers until {until}")?,
                Chinese => writeln!(out, "  结果 {outcome}；排查于 {at}，有效至 {until}")?,
            }
        }
        if household.supervisor || household.triage {
            writeln!(out, "  {}", self.say("on the supervisor's list", "在网格长清单上"))?;
        }
        for stay in &household.grids {
            writeln!(out, "  {} {} {} {}", self.say("in grid", "网格"), stay.grid, self.say("from", "自"), stay.from)?;
        }
        for answer in &household.answers {
            writeln!(out, "  {} {}: {}", self.say("a worker acted", "网格员操作"), answer.at, answer.status)?;
        }
        if let Some(before) = &household.before {
            let (task, state, outcome) = (&before.task_id, before.state, before.outcome.unwrap_or("-"));
            let (opened, ended) = (&before.opened_at, &before.ended_at);
            match self.language {
                English => writeln!(out, "  before: {task} {state} ({outcome}), {opened} to {ended}")?,
                Chinese => writeln!(out, "  上一次：{task} {state}（{outcome}），{opened} 至 {ended}")?,
            }
        }
        Ok(())
    }

    fn table(&self, out: &mut String) -> std::fmt::Result {
        let Some(asked) = &self.trace.asked else {
            let why = self.say("its signal is not kept whole there: the table cannot be asked", "该户已不再完整保留此信号，无法逐行核对");
            return writeln!(out, "\n{why}");
        };
        let (policy, until) = (asked.policy, &asked.counts_until);
        let level = asked.level.unwrap_or(self.say("no zone", "不在任何区域"));
        match self.language {
            English => {
                writeln!(out, "\nthe table of codes, asked as if it came now (policy {policy}, level {level}; it may count until {until})")?
            }
            Chinese => writeln!(out, "\n裁定表，假设此刻到达，逐行核对（策略 {policy}，等级 {level}；最迟计至 {until}）")?,
        }
        let first = asked.table.iter().position(|row| row.applies);
        for (at, row) in asked.table.iter().enumerate() {
            let mark = if first == Some(at) { "→" } else { " " };
            let applies = if row.applies { self.say("yes", "是") } else { self.say("no ", "否") };
            let known = Code::parse(row.code).and_then(|code| Row::of(code, row.reason));
            let reason = if self.language == Chinese { known.map_or(row.reason, in_chinese) } else { row.reason };
            writeln!(out, " {mark}{:>3} {:<13} {applies} {reason}", row.row, row.code)?;
        }
        for cover in &asked.covers {
            self.cover(out, cover)?;
        }
        Ok(())
    }

    fn cover(&self, out: &mut String, cover: &CoverState) -> std::fmt::Result {
        let (at, until, level) = (&cover.at, &cover.until, cover.level);
        let of = if cover.of == "household" { self.say("the household", "该户") } else { self.say("its traveller", "该出行者") };
        let answers = match (cover.answers, cover.risk_has_risen) {
            (true, _) => self.say("answers it", "已回答此信号"),
            (_, true) => self.say("no longer answers it: the risk has risen", "风险升高，不再回答此信号"),
            _ => self.say("does not answer it: seen after its end", "不回答此信号：观测时已过期"),
        };
        match self.language {
            English => writeln!(out, "  screening of {of} at {at}, until {until}, level {level}: {answers}"),
            Chinese => writeln!(out, "  {of}排查于 {at}，有效至 {until}，等级 {level}：{answers}"),
        }
    }

    fn verdict(&self) -> String {
        let newest = self.trace.decisions.iter().max_by_key(|decision| decision.revision);
        let task = newest.and_then(|decision| decision.task_id.as_deref()).unwrap_or("-");
        let current = self.trace.household.as_ref().filter(|household| household.task_id.as_deref() == Some(task));
        let state = current.map_or("", |household| household.state);
        let state = if state.is_empty() { String::new() } else { format!(", {} {state}", self.say("now", "现为")) };
        let code = self.trace.code.unwrap_or("-");
        match (self.trace.led_to, self.language) {
            (LedTo::OwnVisit, English) => format!("It led to a visit: {task}{state}."),
            (LedTo::OwnVisit, Chinese) => format!("它引起了一次上门：{task}{state}。"),
            (LedTo::OtherVisit, English) => format!("It needed no visit of its own, it stands with {task}{state}."),
            (LedTo::OtherVisit, Chinese) => format!("它无需单独上门，并入 {task}{state}。"),
            (LedTo::NoVisit, English) => format!("It led to no visit: {code}."),
            (LedTo::NoVisit, Chinese) => format!("它没有引起上门：{code}。"),
            (LedTo::Undecided, English) => "Nothing was decided yet.".to_owned(),
            (LedTo::Undecided, Chinese) => "尚未裁定。".to_owned(),
        }
    }

    /// What would have to be otherwise.
    fn change(&self) -> String {
        let newest = self.trace.decisions.iter().max_by_key(|decision| decision.revision);
        let Some(newest) = newest else { return String::new() };
        let said = self.trace.row.and_then(|number| {
            let same = self.trace.decisions.iter().filter(|decision| decision.revision == newest.revision);
            same.filter_map(|decision| Row::of(Code::parse(decision.code)?, &decision.reason)).find(|row| row.number() == number)
        });
        let Some(row) = said else { return String::new() };
        let (english, chinese) = change(row);
        match (self.language, english.is_empty()) {
            (_, true) => String::new(),
            (English, _) => format!("For a visit: {english}."),
            (Chinese, _) => format!("若要上门：{chinese}。"),
        }
    }
}

/// What would have to change for a visit.
fn change(row: Row) -> (&'static str, &'static str) {
    match row {
        Row::Opens | Row::Waited | Row::JoinsOpen => ("", ""),
        Row::MandateEnded => {
            ("a mandate must be in force when an event is taken; this one stays as it is", "事件被接收时须有生效的授权书；本条不再改变")
        }
        Row::Duplicate => ("nothing can change: the same passage is judged once", "无法改变：同一次通行只裁定一次"),
        Row::LeftArea => ("nothing can change: only who comes in is visited", "无法改变：只有进入者才上门"),
        Row::OutOfArea => {
            ("the mandate must name the grid's division, or the household another grid", "授权书须包含该网格的区划，或该户改属其他网格")
        }
        Row::Late => ("nothing can change: lateness is judged once, when it arrives", "无法改变：是否迟到只在到达时裁定一次"),
        Row::Covered => (
            "the zone of its recent stay must rise above the screening's level, with rescreen_when_risk_rises; or somebody is seen after the screening's end",
            "其来源区域的等级须高于排查时的等级（rescreen_when_risk_rises 开启）；或在排查有效期之后再有信号",
        ),
        Row::Over => (
            "somebody must be seen after that episode's end, or the registry change where they had moved away",
            "须在该次任务截止之后再有信号；若为已搬离，则须登记变更",
        ),
        Row::NoGrid => (
            "the registry must name a household with a grid for it, or somebody declare a grid",
            "登记须给出有网格的住户，或有人申报目的网格",
        ),
        Row::WrongHousehold => ("the registry must change for this household", "须更正该户的登记"),
        Row::BelowMatch => (
            "the zone of its recent stay must rise to the policy's `match`, or `match` be lower",
            "其来源区域的等级须升至策略的 match，或降低 match",
        ),
        Row::Alone => (
            "another kind of source, or another day, must see somebody of this household within the window",
            "窗口内须有另一类来源或另一天的信号",
        ),
    }
}

fn in_chinese(row: Row) -> &'static str {
    match row {
        Row::MandateEnded => "没有生效的授权书",
        Row::Duplicate => "同一次通行已以另一编号在此",
        Row::LeftArea => "离开本地",
        Row::OutOfArea => "网格不在授权书的区划内",
        Row::Late => "到达时已超过宽限时间",
        Row::Covered => "该户或该出行者的排查已回答",
        Row::Over => "观测于上一次未能见面的任务截止之前",
        Row::JoinsOpen => "观测于进行中任务的截止之前",
        Row::NoGrid => "没有已知的负责网格",
        Row::WrongHousehold => "网格员报告找错了户，登记此后未变",
        Row::BelowMatch => "等级低于上门的最低等级",
        Row::Alone => "弱信号，且别无佐证",
        Row::Opens => "没有排查可回答，也没有进行中的任务",
        Row::Waited => "曾在此等候，现已有任务",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_words_in_both_languages() {
        for row in Row::ALL {
            assert!(in_chinese(row).chars().any(|letter| letter as u32 > 0x2e80), "{row:?}");
            let (english, chinese) = change(row);
            assert_eq!(english.is_empty(), chinese.is_empty(), "{row:?}");
            let leads_to_a_visit = matches!(row, Row::Opens | Row::Waited | Row::JoinsOpen);
            assert_eq!(english.is_empty(), leads_to_a_visit, "{row:?}");
        }
    }
}
