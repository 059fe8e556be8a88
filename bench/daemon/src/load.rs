//! The load: pipelines of requests for random keys, one at a time on one connection, for a while; and what came of it.
//! The next pipeline is made while the server works on this one, so that making it costs no participant anything.

use std::io;
use std::time::{Duration, Instant};

use crate::server::{Participant, Server};
use crate::wire::{Operation, Wire};

/// Requests in a pipeline while the keys are written first.
const FILL: u32 = 1000;

/// What is measured at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) operation: Operation,
    /// Requests in a pipeline.
    pub(crate) pipeline: usize,
}

impl Load {
    const PIPELINES: [usize; 4] = [1, 10, 100, 1000];

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Operation::ALL
            .into_iter()
            .flat_map(|operation| Self::PIPELINES.map(|pipeline| Load { operation, pipeline }))
    }
}

/// Operations per second, of time and of the server's processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) per_second: f64,
    /// `None` where the system does not tell, or where the clock's ticks are too long to tell.
    pub(crate) per_cpu_second: Option<f64>,
}

/// The numbers of the keys: splitmix64 (Steele, Lea, Flood 2014), the same ones for every participant of a round.
#[derive(Debug)]
pub(crate) struct Numbers {
    state: u64,
    keys: u32,
}

impl Numbers {
    /// Numbers below `keys`.
    pub(crate) fn new(seed: u64, keys: u32) -> Self {
        Numbers { state: seed, keys }
    }

    fn next(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The upper half of the product is below `keys`.
        #[expect(clippy::cast_possible_truncation, reason = "it is below a number of 32 bits")]
        let number = ((u128::from(mixed) * u128::from(self.keys)) >> 64) as u32;
        number
    }
}

/// A pipeline: the keys that it is about, and its requests.
#[derive(Debug, Default)]
struct Pipeline {
    numbers: Vec<u32>,
    requests: Vec<u8>,
}

impl Pipeline {
    fn make(&mut self, wire: Wire, operation: Operation, numbers: impl Iterator<Item = u32>) {
        self.numbers.clear();
        self.requests.clear();
        for (number, place) in numbers.zip(0..) {
            self.numbers.push(number);
            wire.request(operation, number, place, &mut self.requests);
        }
    }
}

/// Writes every key once.
///
/// # Errors
/// When the connection fails or a reply is wrong.
pub(crate) fn fill(participant: &mut Participant, keys: u32) -> io::Result<()> {
    let (wire, operation) = (participant.wire, Operation::Set);
    let server = participant.server(operation);
    let mut pipeline = Pipeline::default();
    let mut replies = Vec::new();
    for from in (0..keys).step_by(FILL as usize) {
        pipeline.make(wire, operation, from..keys.min(from + FILL));
        server.send(&pipeline.requests)?;
        receive(server, wire, operation, &pipeline, &mut replies)?;
    }
    Ok(())
}

/// Loads a participant, for so long or a pipeline longer.
///
/// # Errors
/// When the connection fails or a reply is wrong.
pub(crate) fn run(
    participant: &mut Participant,
    load: Load,
    mut numbers: Numbers,
    lasting: Duration,
) -> io::Result<Speed> {
    let Load { operation, pipeline } = load;
    let wire = participant.wire;
    let server = participant.server(operation);
    let mut replies = Vec::new();
    let mut now = Pipeline::default();
    let mut next = Pipeline::default();
    let mut make = |pipeline_: &mut Pipeline| {
        pipeline_.make(wire, operation, (0..pipeline).map(|_| numbers.next()));
    };
    make(&mut now);
    // The first one brings both sides back into the processor's caches.
    server.send(&now.requests)?;
    receive(server, wire, operation, &now, &mut replies)?;

    let mut done = 0;
    let cpu = server.cpu_seconds();
    let began = Instant::now();
    let took = loop {
        server.send(&now.requests)?;
        make(&mut next);
        receive(server, wire, operation, &now, &mut replies)?;
        std::mem::swap(&mut now, &mut next);
        done += pipeline;
        let took = began.elapsed();
        if took >= lasting {
            break took;
        }
    };
    let cpu = cpu
        .zip(server.cpu_seconds())
        .map(|(before, after)| after - before);
    Ok(Speed {
        per_second: done as f64 / took.as_secs_f64(),
        per_cpu_second: cpu.filter(|cpu| *cpu > 0.0).map(|cpu| done as f64 / cpu),
    })
}

fn receive(
    server: &mut Server,
    wire: Wire,
    operation: Operation,
    pipeline: &Pipeline,
    replies: &mut Vec<u8>,
) -> io::Result<()> {
    replies.resize(pipeline.numbers.len() * wire.reply_len(operation), 0);
    server.receive(replies)?;
    wire.check(operation, &pipeline.numbers, replies)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_are_asked_for_and_no_others() {
        let mut seen = [false; 100];
        let mut numbers = Numbers::new(1, 100);
        for _ in 0..10_000 {
            seen[numbers.next() as usize] = true;
        }
        assert_eq!(seen, [true; 100]);
    }
}
