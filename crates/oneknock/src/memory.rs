//! How this process gets memory from the system: the allocator, and two settings of it.

use std::ffi::c_int;

/// The router allocates a little for every record, on every thread, and librdkafka does too: the C library's allocator took half of the
/// CPU that a drained backlog costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's number for: milliseconds until memory that is not used goes back to the system.
const PURGE_DELAY: c_int = 15;
const PURGE_DELAY_MS: i64 = 60_000;

/// A backlog is worked off in large steps, each of which takes and frees the same memory again: kept for a while, and in small pages, it
/// costs the system a third less to hand out (README, what draining costs). Either failing costs nothing but time.
pub fn settle() {
    #[allow(unsafe_code, reason = "a setter of a number; any value is sound")]
    // SAFETY: it stores a number in the allocator's table of options, under any thread.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS as std::ffi::c_long);
    }
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}
