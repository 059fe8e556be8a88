//! A vector that grows by pages, so that growing never copies what is there: no stall, and no moment at which old and
//! new copy are both in memory.

/// Elements per page. A power of two, so that an index splits into page and place by shift and mask.
const PAGE: usize = 4096;

#[derive(Debug)]
pub(super) struct Paged<T> {
    /// All pages but the last hold exactly `PAGE` elements.
    pages: Vec<Vec<T>>,
}

impl<T> Paged<T> {
    pub(super) const fn new() -> Self {
        Paged { pages: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.pages
            .last()
            .map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    pub(super) fn push(&mut self, value: T) {
        match self.pages.last_mut() {
            Some(last) if last.len() < PAGE => last.push(value),
            // The first page grows as a plain vector does, so that a small cache stays small.
            None => self.pages.push(vec![value]),
            Some(_) => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push(page);
            }
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }
}

impl<T> std::ops::Index<u32> for Paged<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        let index = index as usize;
        &self.pages[index / PAGE][index % PAGE]
    }
}

impl<T> std::ops::IndexMut<u32> for Paged<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        &mut self.pages[index / PAGE][index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_stays_at_its_index_while_pages_are_added() {
        let mut paged = Paged::new();
        for i in 0..3 * PAGE + 1 {
            assert_eq!(paged.len(), i);
            paged.push(i);
        }
        for i in 0..3 * PAGE + 1 {
            assert_eq!(paged[u32::try_from(i).unwrap()], i);
        }
        assert_eq!(paged.get(u32::try_from(3 * PAGE + 1).unwrap()), None);
    }
}
