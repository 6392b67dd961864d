//! The languages that people are spoken to in. Help and logs are English.

use clap::ValueEnum;

/// A language of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Simplified Chinese.
    #[value(name = "zh-CN", alias = "zh")]
    Chinese,
    /// English.
    #[value(name = "en")]
    English,
}

impl Language {
    /// The chosen one; where none was chosen, that of LC_ALL, LC_MESSAGES or LANG.
    pub fn of(chosen: Option<Language>) -> Language {
        chosen.unwrap_or_else(|| {
            let value = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
            match ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(value) {
                Some(name) if name.to_ascii_lowercase().starts_with("zh") => Language::Chinese,
                _ => Language::English,
            }
        })
    }
}

impl From<Language> for ops::Language {
    fn from(language: Language) -> ops::Language {
        match language {
            Language::Chinese => ops::Language::Chinese,
            Language::English => ops::Language::English,
        }
    }
}
