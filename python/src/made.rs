//! Whether an object has its contents yet. CPython (3.11, for one) allocates an object of a subclass, and then a dict for its attributes, before PyO3 writes the contents: the garbage collector may come in between,
//! and calls `__traverse__` of what is nothing but zeros. Each class that can be subclassed and refers to something asks this first.

use std::hint::black_box;

/// A field of a class.
#[derive(Debug)]
pub(crate) struct Made(u8);

impl Made {
    pub(crate) const fn now() -> Self {
        Made(1)
    }

    /// `false` of zeros.
    #[inline]
    pub(crate) fn is_made(&self) -> bool {
        black_box(self.0) != 0
    }
}
