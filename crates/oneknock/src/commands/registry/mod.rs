//! `oneknock registry …`: the whole register of one mandate, and what one resident may ask of it.

mod import;
mod receipt;
mod rights;

use crate::cli::Registry;
use crate::failure::Failure;
use connectors::registry::Act;
pub use import::import_tables;
use std::path::Path;

/// Does one of them.
pub async fn run(config: &Path, command: Registry, as_json: bool) -> Result<(), Failure> {
    match command {
        Registry::Import(options) => import::import(config, &options).await,
        Registry::Correct(options) => {
            let act = if options.detach { Act::Detach } else { Act::Correct };
            let values = [
                ("grid", options.grid),
                ("address", options.address),
                ("contact_name", options.contact_name),
                ("contact_phone", options.contact_phone),
            ];
            rights::run(config, act, values, options.subject, as_json).await
        }
        Registry::Erase(options) => rights::run(config, Act::Erase, [("name", options.name)], options.subject, as_json).await,
        Registry::Restore(options) => rights::run(config, Act::Restore, [("name", options.name)], options.subject, as_json).await,
        Registry::Receipt { id, lang } => receipt::print(config, &id, lang, as_json),
    }
}
