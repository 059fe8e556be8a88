//! What each key may hold after a death at any moment: every state that the requests so far gave it, with the number of the request. Knows nothing of
//! processes and disks. What is random about the requests is in script.rs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustcache::Tag;

/// How far a TTL may be off after a restart.
const OFF: Duration = Duration::from_millis(50);

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) value: Rc<[u8]>,
    pub(crate) tag: Tag,
    pub(crate) deadline: Option<Deadline>,
}

/// When it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Deadline {
    /// So long after a request arrived: some time between its sending and its acknowledgement.
    After { request: usize, time: Duration },
    /// Between these two moments.
    Between(Instant, Instant),
}

/// When each request was sent and acknowledged. What was not acknowledged was done before `died`, if at all.
pub(crate) struct Times {
    pub(crate) sent: Vec<Instant>,
    pub(crate) acknowledged: Vec<Instant>,
    pub(crate) died: Instant,
}

impl Times {
    fn between(&self, deadline: Deadline) -> (Instant, Instant) {
        match deadline {
            Deadline::Between(from, to) => (from, to),
            Deadline::After { request, time } => {
                let done = self.acknowledged.get(request - 1).unwrap_or(&self.died);
                let sent = self.sent.get(request - 1).unwrap_or(&self.died);
                (*sent + time, *done + time)
            }
        }
    }
}

/// What was found under a key.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) value: Vec<u8>,
    pub(crate) tag: Tag,
    pub(crate) left: Option<Duration>,
}

/// All keys, and each state that they had since the last restart. Request 0 is what the restart found.
#[derive(Default)]
pub(crate) struct Model {
    keys: BTreeMap<Vec<u8>, Vec<(usize, Option<Held>)>>,
}

impl Model {
    /// What a key holds once all requests are done.
    pub(crate) fn now(&self, key: &[u8]) -> Option<&Held> {
        self.keys.get(key)?.last()?.1.as_ref()
    }

    pub(crate) fn change(&mut self, request: usize, key: &[u8], to: Option<Held>) {
        let states = self.keys.entry(key.to_vec()).or_insert_with(|| vec![(0, None)]);
        states.push((request, to));
    }

    /// Removes what begins with a prefix, and says how many that were.
    pub(crate) fn clear(&mut self, request: usize, prefix: &[u8]) -> u64 {
        let mut removed = 0;
        for (key, states) in &mut self.keys {
            if key.starts_with(prefix) && matches!(states.last(), Some((_, Some(_)))) {
                states.push((request, None));
                removed += 1;
            }
        }
        removed
    }

    /// Compares what a restart found, `asked` between two moments, with what may be there when the first `acknowledged` requests were, and goes on from
    /// that.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn settle(
        &mut self,
        mut found: BTreeMap<Vec<u8>, Found>,
        acknowledged: usize,
        times: &Times,
        asked: (Instant, Instant),
    ) -> Result<(), String> {
        for (key, states) in &mut self.keys {
            let certain = states
                .iter()
                .rposition(|(request, _)| *request <= acknowledged)
                .unwrap_or(0);
            let possible = &states[certain..];
            let found = found.remove(key);
            let agreeing: Vec<Option<&Held>> = possible
                .iter()
                .map(|(_, held)| held.as_ref())
                .filter(|&held| agrees(held, found.as_ref(), times, asked))
                .collect();
            let Some(&newest) = agreeing.last() else {
                let key = String::from_utf8_lossy(key);
                let found = describe(found.as_ref());
                let possible: Vec<String> = possible
                    .iter()
                    .map(|(request, held)| describe_held(*request, held.as_ref(), times, asked))
                    .collect();
                return Err(format!(
                    "{key} holds {found}; {acknowledged} requests were acknowledged, and so it may hold: {}",
                    possible.join(" | ")
                ));
            };
            // Writes of the same value with deadlines that are close cannot be told apart: it may go with any of them.
            let deadline = agreeing
                .iter()
                .flatten()
                .filter_map(|held| held.deadline)
                .map(|deadline| times.between(deadline))
                .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
                .map(|(from, to)| Deadline::Between(from, to));
            let kept = found.and(newest).map(|held| Held {
                deadline,
                ..held.clone()
            });
            *states = vec![(0, kept)];
        }
        match found.first_key_value() {
            None => Ok(()),
            Some((key, found)) => Err(format!(
                "{} was never written and holds {}",
                String::from_utf8_lossy(key),
                describe(Some(found))
            )),
        }
    }
}

/// Whether what was found is that state.
fn agrees(held: Option<&Held>, found: Option<&Found>, times: &Times, asked: (Instant, Instant)) -> bool {
    match (held, found) {
        (None, None) => true,
        (None, Some(_)) => false,
        // It has expired.
        (Some(held), None) => held
            .deadline
            .is_some_and(|deadline| times.between(deadline).0 <= asked.1 + OFF),
        (Some(held), Some(found)) => {
            let in_time = match (held.deadline, found.left) {
                (None, None) => true,
                (Some(deadline), Some(left)) => {
                    let (from, to) = times.between(deadline);
                    from <= asked.1 + left + OFF && asked.0 + left <= to + OFF
                }
                _ => false,
            };
            in_time && held.tag == found.tag && *held.value == *found.value
        }
    }
}

fn describe(found: Option<&Found>) -> String {
    match found {
        None => "nothing".to_owned(),
        Some(found) => format!(
            "{} with the tag {} and {:?} to live",
            shown(&found.value),
            found.tag.0,
            found.left
        ),
    }
}

fn describe_held(request: usize, held: Option<&Held>, times: &Times, asked: (Instant, Instant)) -> String {
    match held {
        None => format!("nothing ({request})"),
        Some(held) => {
            let left = held.deadline.map(|deadline| {
                let (from, to) = times.between(deadline);
                (
                    from.saturating_duration_since(asked.1),
                    to.saturating_duration_since(asked.0),
                )
            });
            format!(
                "{} with the tag {} and {left:?} to live ({request})",
                shown(&held.value),
                held.tag.0
            )
        }
    }
}

fn shown(value: &[u8]) -> String {
    let start = String::from_utf8_lossy(&value[..value.len().min(20)]);
    format!("{} bytes {start:?}", value.len())
}

#[test]
fn the_model_tells_a_lost_a_stale_and_a_shifted_entry() {
    let began = Instant::now();
    let times = Times {
        sent: vec![began; 3],
        acknowledged: vec![began; 2],
        died: began,
    };
    let held = |text: &str, deadline| {
        let value = Rc::from(text.as_bytes());
        let tag = Tag::TEXT;
        Some(Held { value, tag, deadline })
    };
    let hour = Duration::from_secs(3600);
    let check = |found: Option<(&str, Option<Duration>)>| {
        let mut model = Model::default();
        model.change(1, b"k", held("old", None));
        let time = hour;
        model.change(2, b"k", held("new", Some(Deadline::After { request: 2, time })));
        model.change(3, b"k", held("never acknowledged", None));
        let found = found.map(|(value, left)| {
            let value = value.as_bytes().to_vec();
            let tag = Tag::TEXT;
            (b"k".to_vec(), Found { value, tag, left })
        });
        model.settle(found.into_iter().collect(), 2, &times, (began, began))
    };
    check(Some(("new", Some(hour)))).expect("what was acknowledged");
    check(Some(("never acknowledged", None))).expect("what was sent");
    check(None).expect_err("lost");
    check(Some(("old", None))).expect_err("stale");
    check(Some(("new", None))).expect_err("without its deadline");
    check(Some(("new", Some(hour + 2 * OFF)))).expect_err("it lives longer");
    check(Some(("new", Some(hour - 2 * OFF)))).expect_err("it lives shorter");
    let nothing = Model::default().settle(BTreeMap::new(), 0, &times, (began, began));
    nothing.expect("nothing is there");
}

#[test]
fn either_of_two_writes_of_one_value_with_close_deadlines_may_be_there_at_each_later_restart() {
    let began = Instant::now();
    let milli = Duration::from_millis(1);
    let times = Times {
        sent: vec![began; 2],
        acknowledged: vec![began],
        died: began,
    };
    let write = |request, time| Held {
        value: Rc::from(&b""[..]),
        tag: Tag::BYTES,
        deadline: Some(Deadline::After { request, time }),
    };
    // The first is found, and the second was never done. The restart took 10 ms to answer, and looked at the key at `looked`; the next is quick.
    let check = |first: u32, second: u32, looked: u32, grown: u32| {
        let mut model = Model::default();
        model.change(1, b"k", Some(write(1, first * milli)));
        model.change(2, b"k", Some(write(2, second * milli)));
        let mut settle = |acknowledged, asked: (u32, u32), left: u32| {
            let found = Found {
                value: Vec::new(),
                tag: Tag::BYTES,
                left: Some(left * milli),
            };
            let found = BTreeMap::from([(b"k".to_vec(), found)]);
            let asked = (began + asked.0 * milli, began + asked.1 * milli);
            model.settle(found, acknowledged, &times, asked)
        };
        settle(1, (0, 10), first - looked).expect("it may be either");
        settle(0, (20, 20), first - 20 + grown)
    };
    check(300, 355, 0, 0).expect("it is the first, which goes earlier");
    check(355, 300, 10, 0).expect("it is the first, which goes later");
    check(300, 340, 0, 100).expect_err("it lives longer than either");
    check(340, 300, 0, 100).expect_err("it lives longer than either");
}
