//! What is done on the site's own machine: every report, and what one resident may ask for, given well and badly.

use super::drive::{self, Driver};
use super::people::{Canary, HOUSEHOLD};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// `audit subject --reasons`, which is for the person who asked: why their contact was opened, in the reader's own words. Nothing else of the
/// office is for anybody's eyes: a receipt names households and kinds of identifier, a certificate counts, and both are looked through whole.
pub const SUBJECT: &str = "subject";
/// The same as a page.
pub const SUBJECT_PAGE: &str = "subject.html";

impl Driver<'_> {
    /// Every command of ops and of those who look after a site, as text and as JSON.
    ///
    /// # Errors
    /// One does not start.
    pub async fn commands(&self, one: &Canary) -> Result<()> {
        let log = self.site.log().await?;
        let topics: Vec<String> = log.topics().await?.into_iter().map(|info| info.name).collect();
        let decision = crate::topics::records(&log, events::topics::DECISIONS).await?.pop();
        let event = decision.map_or_else(|| "0".repeat(32), |record| String::from_utf8_lossy(&record.key).into_owned());
        let household = one.household();
        let mut all: Vec<Vec<&str>> = ["topics", "lag", "ledger", "doctor"].map(|name| vec!["ops", name]).into();
        all.extend([vec!["ops", "trace", &event], vec!["ops", "dlq", "list"], vec!["audit", "verify"], vec!["audit", "checkpoints"]]);
        all.extend([vec!["audit", "subject", "--household", &household], vec!["keys", "list"], vec!["mandate", "list"]]);
        all.extend(topics.iter().map(|topic| vec!["ops", "tail", topic.as_str(), "-n", "20"]));
        for words in &mut all {
            self.command(words).await?;
            words.push("--json");
            self.command(words).await?;
        }
        // A person who asks is named on standard input; reasons in somebody's own words stay sealed. Whose name it is finds nobody.
        for who in [&one.resident_id, &one.name] {
            self.command_with(&["audit", "subject", "--json"], format!("{who}\n").as_bytes(), "commands").await?;
        }
        Ok(())
    }

    /// Who opened what of this household, and why, for its people.
    ///
    /// # Errors
    /// It is not said.
    pub async fn subject(&self, household: &str) -> Result<()> {
        let page = self.kept.folder.join(SUBJECT_PAGE).display().to_string();
        let words = ["audit", "subject", "--household", household, "--reasons", "--html", &page];
        for words in [&words[..], &[&words[..5], &["--json"]].concat()] {
            let code = self.command_with(words, b"", SUBJECT).await?;
            ensure!(code == Some(0), "audit subject: {code:?}");
        }
        Ok(())
    }

    /// Corrections, erasures and restorations of some of these people, on the command line, from files and from standard input; how many
    /// receipts there are of them. `import` is the whole register again.
    ///
    /// # Errors
    /// One is not done.
    pub async fn rights(&self, people: &[Canary], import: &[&str]) -> Result<usize> {
        // Of households of their own, whose good rows were taken.
        let mut others = people.iter().filter(|one| one.number % HOUSEHOLD == 1);
        let mut other = || others.next().context("too few people");
        let file = drive::inputs(self.site).join("asked.json");
        let file = file.display().to_string();

        let (one, two, three, four) = (other()?, other()?, other()?, other()?);
        let household = one.household();
        let fields = ["--address", &one.address, "--contact-name", &one.name, "--contact-phone", &one.phone];
        self.asked(&[&["correct", "--household", &household], &fields[..]].concat(), "").await?;
        let (id, phone) = (two.resident_id_written(), two.phone_written());
        let identifiers = ["--resident-id", &id, "--phone", &phone, "--plate", &two.plate, "--passport", &two.passport];
        self.asked(&[&["correct", "--household", &household, "--json"], &identifiers[..]].concat(), "").await?;
        self.asked(&["correct", "--detach", "--household", &household, "--plate", &two.plate, "--lang", "zh-CN"], "").await?;
        let whole = json!({"name": three.name, "resident_id": three.resident_id_written(), "phones": [three.phone, three.phone_written()],
            "plate": three.plate, "passports": three.passport, "permits": [three.permit]});
        std::fs::write(&file, whole.to_string())?;
        self.asked(&["erase", "--from", &file], "").await?;
        let row = format!("household,resident_id,phones,plates\n{},{},{},{}\n", four.household(), four.resident_id, four.phone, four.plate);
        self.asked(&["erase", "--from", "-", "--json"], &row).await?;
        self.asked(&["erase", "--household", &household, "--name", &one.contact_name], "").await?;
        let code = self.command(import).await?;
        ensure!(code == Some(3), "the import after erasures: {code:?}");
        self.asked(&["restore", "--from", "-"], &whole.to_string()).await?;

        for (words, stdin) in mistakes(one, &file) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let code = self.command_with(&words, stdin.as_bytes(), "commands").await?;
            ensure!(code != Some(0), "a mistake was taken: {words:?}");
        }
        let receipts = self.site.dir().join("receipts");
        let mut count = 0;
        for entry in std::fs::read_dir(receipts)? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            count += 1;
            for words in [&["registry", "receipt", id, "--lang", "zh-CN"][..], &["registry", "receipt", id, "--json"]] {
                let code = self.command(words).await?;
                ensure!(code == Some(0), "{words:?}: {code:?}");
            }
        }
        Ok(count)
    }

    async fn asked(&self, words: &[&str], stdin: &str) -> Result<()> {
        let words = [&["registry"], words].concat();
        let code = self.command_with(&words, stdin.as_bytes(), "commands").await?;
        ensure!(code == Some(0), "{:?}: {code:?}", &words[..2]);
        Ok(())
    }
}

/// Values and words at the wrong place, as people type them, with what is read from standard input. Names of files and of tables of the
/// configuration are not among them: an error must say them.
fn mistakes(one: &Canary, file: &str) -> Vec<(Vec<String>, String)> {
    let Canary { resident_id, phone, plate, name, address, passport, .. } = one;
    let (household, cut) = (one.household(), &resident_id[1..]);
    let long = address.repeat(300);
    let mut all: Vec<(Vec<&str>, &str)> = vec![
        (vec!["registry", "erase", resident_id], ""),
        (vec!["registry", "erase", "--name", name, phone], ""),
        (vec!["registry", "erase", "--resident-id", cut], ""),
        (vec!["registry", "erase", "--household", resident_id], ""),
        (vec!["registry", "correct", "--household", &household, "--grid", plate], ""),
        (vec!["registry", "correct", "--household", &household, "--address", &long], ""),
        (vec!["registry", "correct", "--household", phone, "--address", address], ""),
        (vec!["registry", "correct", "--mandate", name, "--household", &household, "--address", address], ""),
        (vec!["registry", "erase", "--phone", phone, "--lang", name], ""),
        (vec!["registry", "erase", "--from", file, passport], ""),
        (vec!["registry", "erase", "--from", "-"], name),
        (vec!["registry", "receipt", phone], ""),
        (vec!["registry", phone], ""),
        (vec!["audit", "subject", resident_id], ""),
        (vec!["audit", "subject", "--mandate", phone], ""),
        (vec!["ops", "trace", resident_id], ""),
        (vec!["ops", "tail", phone], ""),
        (vec!["mandate", "end", phone], ""),
        (vec!["mandate", "certificate", name], ""),
        (vec![phone], ""),
    ];
    let columns = json!({name: 1, "phone": phone}).to_string();
    let rows = format!("name,phones\n{name},{phone}\n{name},{phone}\n");
    all.extend([(vec!["registry", "erase", "--from", "-"], columns.as_str()), (vec!["registry", "restore", "--from", "-"], rows.as_str())]);
    all.into_iter().map(|(words, stdin)| (words.into_iter().map(str::to_owned).collect(), stdin.to_owned())).collect()
}
