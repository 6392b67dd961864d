//! Which records of the mandates' topic are believed. Whoever can write to the topic can write anything into it; what is not signed, too
//! long, older than what is known, or of an id that has ended, is as if it were not there.

use super::signing::{Refused, Signers};
use events::{Mandate, MandateState, Millis};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

/// What one reader of the topic has believed so far. It outlives a reading of the topic from its start, so that nothing comes back.
pub struct Book {
    signers: Signers,
    known: HashMap<String, Known>,
}

struct Known {
    version: i64,
    acted_at: Option<Millis>,
    ended: bool,
}

impl Book {
    /// For these signers, with nothing known.
    pub fn new(signers: Signers) -> Book {
        Book { signers, known: HashMap::new() }
    }

    /// Whether the next record under a key is believed; from then on nothing older is.
    ///
    /// # Errors
    /// Why not, in words for the operator.
    pub fn judge(&mut self, key: &str, mandate: &Mandate) -> Result<(), Refused> {
        if key != mandate.id {
            return Err(Refused::OtherKey);
        }
        self.signers.check(mandate)?;
        let ended = mandate.state == MandateState::Ended;
        if let Some(known) = self.known.get(key) {
            if known.ended && !ended {
                return Err(Refused::Ended);
            }
            if (mandate.version, mandate.acted_at) < (known.version, known.acted_at) {
                return Err(Refused::Older { known: known.version });
            }
        }
        self.known.insert(key.to_owned(), Known { version: mandate.version, acted_at: mandate.acted_at, ended });
        Ok(())
    }

    /// The same as a table's rule.
    #[expect(clippy::type_complexity, reason = "the form of a table's rule, whose crate this one must not know")]
    pub fn rule(mut self) -> Box<dyn FnMut(&str, &Mandate) -> Result<(), String> + Send> {
        Box::new(move |key, mandate| self.judge(key, mandate).map_err(|refused| refused.to_string()))
    }
}

/// The newest time that this process has judged a mandate by: a clock that goes back revives none.
#[derive(Debug)]
pub struct Latest(AtomicI64);

impl Default for Latest {
    fn default() -> Latest {
        Latest(AtomicI64::new(i64::MIN))
    }
}

impl Latest {
    /// `now`, or what was later already.
    pub fn at(&self, now: Millis) -> Millis {
        Millis(self.0.fetch_max(now.0, Ordering::Relaxed).max(now.0))
    }
}
