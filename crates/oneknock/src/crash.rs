//! What this process leaves behind when it goes wrong: no image of its memory, and of a panic where it was and no more. What stands in
//! memory, and what a panic says (a value that could not be unwrapped), may be somebody's number or a key.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::panic::PanicHookInfo;

/// No core dump, and no other process of the same user that reads this one's memory. Either failing is said: then the machine decides.
pub fn keep_memory_to_ourselves() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{Resource, setrlimit};
        // The limit alone does not hold where the kernel hands dumps to a program; the attribute does.
        let kept = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| nix::sys::prctl::set_dumpable(false));
        if let Err(error) = kept {
            eprintln!(
                "oneknock: core dumps cannot be turned off here ({error}): turn them off for this service, they would hold personal data"
            );
        }
    }
}

/// Panics are told by their place. Whoever reads our output may have had enough (`oneknock … | head`): that is an end, not a fault.
pub fn tell_panics_by_their_place() {
    std::panic::set_hook(Box::new(|info| {
        if said(info.payload()).is_some_and(|said| said.starts_with("failed printing to std") && said.contains("Broken pipe")) {
            std::process::exit(0);
        }
        let thread = std::thread::current();
        // Where standard error is gone too, nobody is left to be told.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), told(thread.name(), info).as_bytes());
    }));
}

fn said(payload: &dyn Any) -> Option<&str> {
    payload.downcast_ref::<&'static str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Only what stood in the source when it was built is told: a text that was put together as it ran may hold anything.
fn told(thread: Option<&str>, info: &PanicHookInfo<'_>) -> String {
    let what = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("what it says may speak of somebody, and is not shown");
    let place: &dyn Display = match info.location() {
        Some(location) => location,
        None => &"an unknown place",
    };
    let backtrace = Backtrace::capture();
    let calls = if backtrace.status() == BacktraceStatus::Captured { format!("{backtrace}\n") } else { String::new() };
    format!("oneknock: thread {} panicked at {place}: {what}\n{calls}", thread.unwrap_or("without a name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_panic_is_told_by_its_place_and_only_with_words_of_the_source() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let usual = std::panic::take_hook();
        let ours = std::thread::current().id();
        std::panic::set_hook(Box::new(move |info| match std::thread::current().id() == ours {
            true => hears.lock().unwrap().push(told(Some("t"), info)),
            false => usual(info),
        }));
        let number = "11010519491231002X".to_owned();
        let _ = std::panic::catch_unwind(|| panic!("no place for {number}"));
        let _ = std::panic::catch_unwind(|| number.parse::<u8>().map_err(|_| number.clone()).unwrap());
        let _ = std::panic::catch_unwind(|| panic!("a rule of ours does not hold"));
        let _ = std::panic::take_hook();
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 3);
        assert!(heard.iter().all(|line| line.contains("thread t panicked at crates/oneknock/src/crash.rs:")), "{heard:?}");
        assert!(heard[..2].iter().all(|line| line.contains("is not shown") && !line.contains("1101")), "{heard:?}");
        assert!(heard[2].contains("a rule of ours does not hold"));
    }
}
