//! Misses that were just told, so that the insertion that answers one is not counted as another request. Direct-mapped: one that is forgotten is counted twice,
//! which is harmless.

const PLACES: usize = 256;

#[derive(Debug)]
pub(super) struct RecentMisses(Box<[u32; PLACES]>);

impl RecentMisses {
    pub(super) fn new() -> Self {
        RecentMisses(Box::new([0; PLACES]))
    }

    pub(super) fn add(&mut self, hash: u32) {
        self.0[hash as usize % PLACES] = hash;
    }

    /// Whether it was there; it is not any more.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        let place = &mut self.0[hash as usize % PLACES];
        let found = *place == hash;
        if found {
            *place = !hash;
        }
        found
    }
}
