//! Size classes: which lengths share pages. Pure arithmetic.
//!
//! Steps of 8 bytes up to 256, then sixteen classes to each power of two, up to 4096: less than 8 bytes or a sixteenth is lost to rounding.

/// The longest that fits into a class.
pub(in crate::cache) const LONGEST: usize = 4096;
const FINE: usize = 256;
const FINE_STEP: usize = 8;
const FINE_CLASSES: usize = FINE / FINE_STEP;
const CLASSES_PER_DOUBLING: usize = 16;
pub(super) const CLASSES: usize = FINE_CLASSES + (LONGEST / FINE).ilog2() as usize * CLASSES_PER_DOUBLING;

/// The class of this length, which must be from 1 to `LONGEST`.
pub(super) const fn class_of(len: usize) -> usize {
    debug_assert!(len > 0 && len <= LONGEST);
    if len <= FINE {
        return (len - 1) / FINE_STEP;
    }
    let doubling = ((len - 1) / FINE).ilog2() as usize;
    let step = (FINE / CLASSES_PER_DOUBLING) << doubling;
    FINE_CLASSES + doubling * CLASSES_PER_DOUBLING + (len - 1 - (FINE << doubling)) / step
}

/// How long things of this class may be.
pub(super) const fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES {
        return (class + 1) * FINE_STEP;
    }
    let doubling = (class - FINE_CLASSES) / CLASSES_PER_DOUBLING;
    let step = (FINE / CLASSES_PER_DOUBLING) << doubling;
    (FINE << doubling) + ((class - FINE_CLASSES) % CLASSES_PER_DOUBLING + 1) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_has_the_smallest_class_that_holds_it_and_little_is_lost() {
        for len in 1..=LONGEST {
            let class = class_of(len);
            assert!(class < CLASSES);
            assert!(size_of_class(class) >= len);
            assert!(class == 0 || size_of_class(class - 1) < len);
            assert!(size_of_class(class) - len < FINE_STEP.max(len / 16 + 1), "{len}");
        }
        assert_eq!(size_of_class(CLASSES - 1), LONGEST);
    }
}
