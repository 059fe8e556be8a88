//! Bytes received and not yet processed: one buffer that grows with what comes, never with what is claimed.

/// Room for a read while frames are small.
const READ: usize = 64 * 1024;
/// A buffer that has grown past this gives its memory back once it is empty.
const KEEP: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Input {
    /// Initialized to its length; received bytes are `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` on without which nothing can be done, as far as is known.
    needed: usize,
}

impl Input {
    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Room for the next read: at least one byte, and more the more of a large frame is there already.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let filled = self.end - self.start;
        if self.start > 0
            && self.buffer.len() - self.end < READ.min(self.needed.saturating_sub(filled).max(READ / 2))
        {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = filled;
        }
        // Doubling what has come, up to what the frame needs, bounds memory by twice what the client really sent.
        let wanted = self.needed.min(filled * 2).max(filled + READ / 2).max(READ);
        if self.buffer.len() - self.end < READ / 2 || self.buffer.len() < self.start + wanted {
            self.buffer.resize(self.start + wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    pub(super) fn received(&mut self, count: usize) {
        assert!(
            count <= self.buffer.len() - self.end,
            "more received than there was space for"
        );
        self.end += count;
    }

    /// The front of the input takes this many bytes, if the sender is to be believed.
    pub(super) fn will_need(&mut self, count: usize) {
        self.needed = count;
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if count > 0 {
            self.needed = 0;
        }
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.buffer.len() > KEEP {
                self.buffer = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_they_came(steps in prop::collection::vec((1usize..100_000, 0usize..100_000, 0usize..300_000), 1..40)) {
            let mut input = Input::default();
            let (mut next_in, mut next_out) = (0usize, 0usize);
            for (put, take, need) in steps {
                let space = input.space();
                prop_assert!(!space.is_empty());
                let put = put.min(space.len());
                for byte in &mut space[..put] { *byte = (next_in % 251) as u8; next_in += 1; }
                input.received(put);
                let take = take.min(input.filled().len());
                for &byte in &input.filled()[..take] { prop_assert_eq!(byte, (next_out % 251) as u8); next_out += 1; }
                input.consume(take);
                input.will_need(need);
                prop_assert_eq!(input.filled().len(), next_in - next_out);
            }
        }
    }

    #[test]
    fn memory_grows_with_what_came_and_not_with_what_was_claimed() {
        let mut input = Input::default();
        input.space()[0] = 1;
        input.received(1);
        input.will_need(1 << 30);
        assert!(input.space().len() <= READ);
        for _ in 0..10 {
            let len = input.space().len();
            input.received(len);
            assert!(input.space().len() <= input.filled().len().max(READ));
        }
    }
}
