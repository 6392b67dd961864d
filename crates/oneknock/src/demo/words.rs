//! What the demonstration prints, in Chinese and English.

use super::watch::Tally;
use crate::language::Language;

/// Everything that is printed.
pub struct Words {
    /// Sign-in link, configuration file.
    pub welcome: fn(&str, &str) -> String,
    /// How many households.
    pub importing: fn(usize) -> String,
    /// Seconds since the beginning, counts.
    pub progress: fn(u64, &Tally) -> String,
    /// When it is told to stop.
    pub closing: &'static str,
    /// Counts, whether the ledger closes.
    pub summary: fn(&Tally, bool) -> String,
}

/// The words of a language; where none was chosen, of the environment's.
pub fn of(language: Option<Language>) -> &'static Words {
    match Language::of(language) {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

static ENGLISH: Words = Words {
    welcome: |link, config| {
        format!(
            "Inbox:  {link}\n        Open it in a browser, narrow as a phone: you are worker w-0001 of every grid.\nSite:   {config}\n        From another terminal: oneknock ops ledger --config {config}\nEverybody here is made up. Ctrl-C ends it.\n"
        )
    },
    importing: |households| format!("Registry: {households} households of a made-up city"),
    progress: |seconds, tally| {
        format!(
            "{seconds:>5} s   events {:>7}   tasks pushed {:>6}   repeat visits avoided {:>7}",
            tally.events, tally.tasks, tally.avoided
        )
    },
    closing: "\nStopping: the last events are being decided …",
    summary: |tally, closed| {
        format!(
            "\nevents                     {:>8}\nvisits pushed              {:>8}\nrepeat visits avoided      {:>8}\n  joined an open visit     {:>8}\n  screened shortly before  {:>8}\n  the same passage twice   {:>8}\nledger                     {}",
            tally.events,
            tally.tasks,
            tally.avoided,
            tally.joined,
            tally.covered,
            tally.duplicate,
            if closed { "closed" } else { "NOT CLOSED" }
        )
    },
};

static CHINESE: Words = Words {
    welcome: |link, config| {
        format!(
            "收件箱:{link}\n        请用浏览器打开(窗口窄如手机):您是全部网格的网格员 w-0001。\n站点:  {config}\n        另开终端可查:oneknock ops ledger --config {config}\n人员与住址均为虚构。按 Ctrl-C 结束。\n"
        )
    },
    importing: |households| format!("登记册:虚构城市,{households} 户"),
    progress: |seconds, tally| {
        format!("{seconds:>5} 秒   事件 {:>7}   已推送任务 {:>6}   避免重复上门 {:>7}", tally.events, tally.tasks, tally.avoided)
    },
    closing: "\n正在结束:等待最后的事件判定……",
    summary: |tally, closed| {
        format!(
            "\n事件              {:>8}\n已推送上门        {:>8}\n避免重复上门      {:>8}\n  并入未完成任务  {:>8}\n  此前已排查      {:>8}\n  同一次通行      {:>8}\n账目              {}",
            tally.events,
            tally.tasks,
            tally.avoided,
            tally.joined,
            tally.covered,
            tally.duplicate,
            if closed { "已结平" } else { "未结平" }
        )
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_the_same_figures() {
        let tally = Tally { events: 1234, tasks: 345, avoided: 567, joined: 500, covered: 60, duplicate: 7 };
        for words in [&ENGLISH, &CHINESE] {
            let (progress, summary) = ((words.progress)(9, &tally), (words.summary)(&tally, true));
            for figure in ["1234", "345", "567"] {
                assert!(progress.contains(figure) && summary.contains(figure), "{progress}\n{summary}");
            }
            assert_ne!(summary, (words.summary)(&tally, false));
            assert_eq!(progress.lines().count(), 1);
        }
        assert!((ENGLISH.progress)(9, &tally).contains("repeat visits avoided"));
        assert!((ENGLISH.summary)(&tally, true).contains("closed"));
    }
}
