//! A list that is nearly always empty or of one element: that one takes no allocation. Knows nothing of what it holds.

#[derive(Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    /// Empty while there is no first one.
    rest: Vec<T>,
}

impl<T> Few<T> {
    pub(super) const fn new() -> Self {
        Few {
            first: None,
            rest: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, element: T) {
        if self.first.is_none() {
            self.first = Some(element);
        } else {
            self.rest.push(element);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    /// In the order in which they were pushed.
    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}
