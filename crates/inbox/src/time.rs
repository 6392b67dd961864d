//! The one place of this crate that asks what time it is: when an action was taken and a read was written down.

use events::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
