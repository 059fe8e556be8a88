//! Bytes received and not yet processed: one buffer that grows with what comes, never with what is claimed.

/// Room for a read while frames are small.
const READ: usize = 64 * 1024;
/// A buffer that has grown past this gives its memory back once little is left in it.
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
        if self.start > 0 && self.buffer.len() - self.end < READ / 2 {
            // What is left of one frame at most, so each byte is moved at most once.
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = filled;
        }
        if self.buffer.len() - self.end < READ / 2 {
            // Doubling what has come, up to what the frame needs, bounds memory by twice what the client really sent, and copying as well.
            let len = self.needed.min(filled * 2).max(filled) + READ;
            self.buffer.reserve_exact(len - self.buffer.len());
            self.buffer.resize(len, 0);
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

    /// Puts bytes before those that are there.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        bytes.extend_from_slice(self.filled());
        self.start = 0;
        self.end = bytes.len();
        self.needed = 0;
        self.buffer = bytes;
    }

    pub(super) fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.start += count;
        self.needed = 0;
        let filled = self.end - self.start;
        if self.buffer.len() > KEEP && filled <= READ {
            self.buffer = self.filled().to_vec();
            self.start = 0;
            self.end = filled;
        } else if filled == 0 {
            self.start = 0;
            self.end = 0;
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
            // Each byte is the number of its place, modulo 251.
            let follows = |byte: u8| (byte + 1) % 251;
            let (mut next_in, mut next_out) = (0, 0);
            let mut left = 0;
            for (put, take, need) in steps {
                let space = input.space();
                prop_assert!(!space.is_empty());
                let put = put.min(space.len());
                for byte in &mut space[..put] { *byte = next_in; next_in = follows(next_in); }
                input.received(put);
                let take = take.min(input.filled().len());
                for &byte in &input.filled()[..take] { prop_assert_eq!(byte, next_out); next_out = follows(next_out); }
                input.consume(take);
                input.will_need(need);
                left = left + put - take;
                prop_assert_eq!(input.filled().len(), left);
            }
        }
    }

    #[test]
    fn what_is_put_back_comes_before_what_is_there() {
        for before in [0, 1, 100_000] {
            for there in [0, 1, 100_000] {
                let mut input = Input::default();
                let mut left = 7 + there;
                while left > 0 {
                    left -= read(&mut input, left);
                }
                input.consume(7);
                input.put_back(vec![1; before]);
                input.put_back(Vec::new());
                assert_eq!(input.filled(), [vec![1; before], vec![0; there]].concat());
                assert!(!input.space().is_empty());
            }
        }
    }

    /// Puts as much as `count` bytes in, as one read does.
    fn read(input: &mut Input, count: usize) -> usize {
        let count = input.space().len().min(count);
        input.received(count);
        count
    }

    #[test]
    fn memory_grows_with_what_came_and_not_with_what_was_claimed() {
        let mut input = Input::default();
        read(&mut input, 1);
        input.will_need(1 << 30);
        assert!(input.space().len() <= READ);
        for _ in 0..10 {
            read(&mut input, usize::MAX);
            let filled = input.filled().len();
            assert!(input.space().len() <= filled + READ);
            assert!(input.buffer.capacity() <= 2 * filled + READ);
        }
    }

    #[test]
    fn a_large_frame_in_small_reads_moves_its_bytes_few_times() {
        let (frame, mut moves, mut at) = (8 << 20, 0, std::ptr::null());
        let mut input = Input::default();
        while input.filled().len() < frame {
            read(&mut input, 100);
            if input.buffer.as_ptr() != at {
                at = input.buffer.as_ptr();
                moves += 1;
            }
            input.will_need(frame);
        }
        assert!(moves <= 10, "the buffer moved {moves} times");
    }

    #[test]
    fn a_stream_that_never_pauses_between_frames_does_not_make_the_buffer_grow() {
        let mut input = Input::default();
        for round in 0..10_000 {
            // Reads of every size, of which a part of a frame is left each time.
            read(&mut input, 1 + (round * 7919) % (2 * READ));
            input.consume(input.filled().len().saturating_sub(round % 100));
            input.will_need(128);
            assert!(
                input.buffer.capacity() <= 3 * READ,
                "{} bytes in round {round}",
                input.buffer.capacity()
            );
        }
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back_though_the_next_frame_has_begun() {
        let mut input = Input::default();
        let frame = 2 * KEEP;
        input.will_need(frame);
        while input.filled().len() <= frame {
            read(&mut input, frame + 1);
            input.will_need(frame);
        }
        let left = input.filled().len() - frame;
        input.consume(frame);
        assert_eq!(input.filled().len(), left);
        assert!(input.buffer.capacity() <= KEEP);
    }
}
