//! An array in pages, so that growing never copies what is there, shrinking gives memory back, and what is written
//! far out takes no memory below it: no stall, and no moment at which an old and a new copy are both there.

/// Bytes per page: a size of which the allocator loses nothing, see pages.rs.
const PAGE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Paged<T> {
    /// A page holds the elements from its first place to the last that was written. Pages that were never written are empty.
    pages: Vec<Vec<T>>,
}

impl<T> Paged<T> {
    /// Elements per page: a power of two, so that an index is taken apart quickly.
    const PAGE: usize = 1 << (PAGE_BYTES / size_of::<T>()).ilog2();

    pub(super) const fn new() -> Self {
        Paged { pages: Vec::new() }
    }

    /// One more than the highest index.
    pub(super) fn end(&self) -> usize {
        self.pages
            .last()
            .map_or(0, |last| (self.pages.len() - 1) * Self::PAGE + last.len())
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        self.pages.get(index / Self::PAGE)?.get(index % Self::PAGE)
    }

    /// Adds an element at the end.
    pub(super) fn push(&mut self, element: T) {
        if self.pages.last().is_none_or(|last| last.len() == Self::PAGE) {
            let page = Self::new_page(self.pages.len());
            self.pages.push(page);
        }
        let last = self.pages.len() - 1;
        self.pages[last].push(element);
    }

    /// Takes the element at the end away.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.pages.last_mut()?;
        let element = last.pop();
        if last.is_empty() {
            self.pages.pop();
        }
        element
    }

    /// All that were pushed, if nothing was put anywhere.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// The first page grows as a plain vector does, so that a small cache stays small.
    fn new_page(number: usize) -> Vec<T> {
        if number == 0 {
            Vec::new()
        } else {
            Vec::with_capacity(Self::PAGE)
        }
    }

    /// Takes away what is at `end` and above.
    pub(super) fn truncate(&mut self, end: usize) {
        self.pages.truncate(end.div_ceil(Self::PAGE));
        if let Some(last) = self.pages.get_mut(end / Self::PAGE) {
            last.truncate(end % Self::PAGE);
        }
    }
}

impl<T: Clone> Paged<T> {
    /// Writes an element anywhere. What lies below it on its page and was never written becomes `filling`.
    pub(super) fn put(&mut self, index: u32, element: T, filling: &T) {
        let (number, place) = (index as usize / Self::PAGE, index as usize % Self::PAGE);
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, Vec::new);
        }
        let page = &mut self.pages[number];
        if page.capacity() == 0 {
            *page = Self::new_page(number);
        }
        if place < page.len() {
            page[place] = element;
        } else {
            page.resize(place, filling.clone());
            page.push(element);
        }
    }
}

impl<T> std::ops::Index<u32> for Paged<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        let index = index as usize;
        &self.pages[index / Self::PAGE][index % Self::PAGE]
    }
}

impl<T> std::ops::IndexMut<u32> for Paged<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        &mut self.pages[index / Self::PAGE][index % Self::PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = Paged::<u32>::PAGE;
    /// Three pages and one element.
    const END: u32 = 3 * (64 << 10) / 4 + 1;

    #[test]
    fn every_element_stays_at_its_index_while_pages_are_added_and_taken_away() {
        let mut paged = Paged::new();
        for i in 0..END {
            assert_eq!(paged.end(), i as usize);
            paged.push(i);
        }
        assert!((0..END).all(|i| paged[i] == i));
        assert_eq!(paged.get(END), None);
        for i in (5..END).rev() {
            assert_eq!(paged.pop(), Some(i));
            assert_eq!(paged.end(), i as usize);
        }
        assert_eq!(paged.pages.len(), 1);
        assert!((0..5).all(|i| paged[i] == i));
    }

    #[test]
    fn an_element_far_out_takes_one_page() {
        let mut paged = Paged::new();
        paged.put(1_000_000, 7, &0);
        assert_eq!(paged[1_000_000], 7);
        assert_eq!(paged.get(999_999), Some(&0));
        assert_eq!(paged.get(1_000_001), None);
        assert_eq!(paged.get(3), None);
        assert_eq!(paged.pages.iter().filter(|page| page.capacity() > 0).count(), 1);
        paged.put(3, 5, &1);
        assert_eq!((paged[2], paged[3], paged[1_000_000]), (1, 5, 7));
    }

    #[test]
    fn truncating_keeps_what_is_below() {
        for end in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 9 * PAGE] {
            let mut paged = Paged::new();
            (0..END).for_each(|i| paged.push(i));
            paged.truncate(end);
            assert_eq!(paged.end(), end.min(END as usize));
            assert!((0..END).all(|i| paged.get(i).is_some() == ((i as usize) < end)));
        }
    }
}
