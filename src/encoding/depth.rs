//! How deep a value may be nested, counted alike when it is written and when it is read: what was written can be read, and neither takes more stack than there is.

/// Levels of what has others in it: sequences, maps, structs, variants. Reading takes stack for each, most of all where it is not optimized.
const LEVELS: u8 = 200;
/// Options and newtypes in all, which are no levels: they leave nothing in what is written. They take stack all the same, and a type can be of nothing else.
const WRAPPERS: u16 = 1000;

/// How much deeper it may get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    levels: u8,
    wrappers: u16,
}

impl Depth {
    /// That of a whole value.
    pub(super) const WHOLE: Depth = Depth {
        levels: LEVELS,
        wrappers: WRAPPERS,
    };
    pub(super) const EXCEEDED: &str = "it is nested too deeply, more than 200 levels";

    /// One level deeper, if that may be.
    pub(super) fn deeper(self) -> Option<Self> {
        let levels = self.levels.checked_sub(1)?;
        Some(Depth { levels, ..self })
    }

    /// In an option or a newtype, if that may be.
    pub(super) fn wrapped(self) -> Option<Self> {
        let wrappers = self.wrappers.checked_sub(1)?;
        Some(Depth { wrappers, ..self })
    }
}
