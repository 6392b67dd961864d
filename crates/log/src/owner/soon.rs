//! What is read soon. A step's records lie in memory in the log's order and are applied in the order of their keys: the processor is told
//! a little ahead what comes, so that it waits less for memory. A hint and no more: it reads nothing, and nothing depends on it.

use crate::Record;

/// So many records ahead the record itself is asked for, and half of that ahead its key and value.
const AHEAD: usize = 8;
const LINE: usize = 64;

/// A step's records in its order.
pub(super) fn ahead<'a>(step: &'a [&'a Record]) -> impl Iterator<Item = &'a Record> {
    step.iter().enumerate().map(|(at, record)| {
        if let Some(later) = step.get(at + AHEAD) {
            soon(std::ptr::from_ref(*later).cast(), size_of::<Record>());
        }
        if let Some(next) = step.get(at + AHEAD / 2) {
            for part in [&next.key[..], next.value.as_deref().unwrap_or_default()] {
                soon(part.as_ptr(), part.len());
            }
        }
        *record
    })
}

/// So many bytes from here are read soon.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a hint to the processor: it faults nowhere and changes nothing")]
fn soon(start: *const u8, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for at in (0..bytes).step_by(LINE) {
        // SAFETY: the instruction is allowed at any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at).cast()) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn soon(_: *const u8, _: usize) {}
