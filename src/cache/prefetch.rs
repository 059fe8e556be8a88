//! A hint to the processor that some memory will be looked at soon. Nothing else lives here: who prefetches what is said where it is known.

#![expect(
    unsafe_code,
    reason = "the processor's prefetch instructions have no safe face; they read nothing and cannot fault"
)]

/// Bytes that come at once.
const LINE: usize = 64;

/// Begins to fetch the first byte of what is referred to, and what shares its cache line. Does nothing where the instruction is not known.
#[inline(always)]
pub(super) fn prefetch<T: ?Sized>(target: &T) {
    let address = std::ptr::from_ref(target).cast::<i8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch accesses no memory that the program could notice.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: `prfm` is a hint: it changes no register and no memory, and does not fault.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = address;
}

/// The same for all of some bytes, up to `most`.
#[inline(always)]
pub(super) fn prefetch_bytes(bytes: &[u8], most: usize) {
    let end = bytes.len().min(most);
    for byte in bytes[..end].iter().step_by(LINE) {
        prefetch(byte);
    }
    if let Some(last) = bytes[..end].last() {
        prefetch(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_may_be_prefetched_and_nothing_changes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for from in [0, 1, 63, 255, 256] {
            for most in [0, 1, 63, 64, 65, 1_000] {
                prefetch_bytes(&bytes[from..], most);
            }
            prefetch(&bytes[from..]);
        }
        prefetch(&());
        prefetch::<[u64]>(&[]);
        prefetch(&bytes[255]);
        prefetch(&Box::new(7u64));
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
