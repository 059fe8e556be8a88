//! Single flight by tasks that the test polls itself: any order of beginning, polling, landing, failing, dropping and writing, against a naive model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use crate::flight::Stopped;
use crate::flight::asynchronous::load_async;
use crate::flight::model::Model;

const KEYS: u8 = 3;
const TASKS: usize = 5;

#[derive(Debug, Clone)]
enum Op {
    /// A task asks for a key; one that asks already is dropped first.
    Ask {
        task: usize,
        key: u8,
    },
    /// If the task's loader runs, it brings this, or fails.
    Bring {
        task: usize,
        value: Result<u32, u32>,
    },
    Drop {
        task: usize,
    },
    Write {
        key: u8,
        value: Option<u32>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let task = 0..TASKS;
    let key = 0..KEYS;
    prop_oneof![
        3 => (task.clone(), key.clone()).prop_map(|(task, key)| Op::Ask { task, key }),
        3 => (task.clone(), any::<Result<u32, u32>>()).prop_map(|(task, value)| Op::Bring { task, value }),
        1 => task.prop_map(|task| Op::Drop { task }),
        1 => (key, any::<Option<u32>>()).prop_map(|(key, value)| Op::Write { key, value }),
    ]
}

/// A loader's result, once the test says what it is.
type Gate = Rc<RefCell<(bool, Option<Result<u32, u32>>, Option<Waker>)>>;

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One task: what the test knows of it.
struct Task<'m> {
    key: u8,
    future: Pin<Box<dyn Future<Output = Result<u32, u32>> + 'm>>,
    gate: Gate,
    woken: Arc<Woken>,
}

impl<'m> Task<'m> {
    fn new(model: &'m Model, key: u8) -> Self {
        let gate = Gate::default();
        let loader_gate = Rc::clone(&gate);
        let future = async move {
            let loader = || {
                loader_gate.borrow_mut().0 = true;
                std::future::poll_fn(move |context| {
                    let mut gate = loader_gate.borrow_mut();
                    gate.2 = Some(context.waker().clone());
                    gate.1.take().map_or(Poll::Pending, Poll::Ready)
                })
            };
            match load_async(&model.ask(key), loader).await {
                Ok(value) => Ok(value),
                Err(Stopped::Failed(error)) => Err(*error),
                Err(Stopped::Reentrant(_)) => panic!("no loader asks for anything"),
            }
        };
        Task {
            key,
            future: Box::pin(future),
            gate,
            woken: Arc::new(Woken(AtomicUsize::new(1))),
        }
    }

    fn is_loading(&self) -> bool {
        self.gate.borrow().0
    }

    /// Polls if, and as long as, it was woken: a wake-up that is lost is a task that never ends.
    fn poll(&mut self) -> Option<Result<u32, u32>> {
        while self.woken.0.swap(0, Ordering::Relaxed) > 0 {
            let waker = Waker::from(Arc::clone(&self.woken));
            if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(result);
            }
        }
        None
    }
}

/// What is true, said as simply as it can be.
#[derive(Default)]
struct Truth {
    values: BTreeMap<u8, u32>,
    /// Of each task that loads: whether what it brings is kept.
    loads: BTreeMap<usize, bool>,
}

#[derive(Default)]
struct Test<'m> {
    tasks: BTreeMap<usize, Task<'m>>,
    truth: Truth,
}

impl Test<'_> {
    /// Polls all until nothing is left to be done, and compares.
    fn settle(&mut self, model: &Model) {
        loop {
            let mut ended = None;
            for (&name, task) in &mut self.tasks {
                let was_loading = task.is_loading();
                let result = task.poll();
                if !was_loading && task.is_loading() {
                    self.truth.loads.insert(name, true);
                }
                if let Some(result) = result {
                    ended = Some((name, task.key, result));
                    break;
                }
            }
            let Some((name, key, result)) = ended else {
                break;
            };
            self.tasks.remove(&name);
            if let (Some(true), Ok(value)) = (self.truth.loads.remove(&name), result) {
                self.truth.values.insert(key, value);
            }
        }
        for key in 0..KEYS {
            assert_eq!(model.get(key), self.truth.values.get(&key).copied(), "key {key}");
            let asking = self.tasks.values().filter(|task| task.key == key).count();
            let fresh = self.fresh(key).len();
            assert!(fresh <= 1, "{fresh} loaders of key {key} at once");
            let loading = |task: &Task<'_>| task.key == key && task.is_loading();
            let any_loads = self.tasks.values().any(loading);
            assert!(
                asking == 0 || any_loads,
                "all {asking} who ask for key {key} wait"
            );
        }
        let kept = self.truth.loads.values().filter(|&&kept| kept).count();
        assert_eq!(model.flights(), kept);
    }

    fn fresh(&self, key: u8) -> Vec<usize> {
        let is_fresh = |name: &usize| self.truth.loads.get(name) == Some(&true);
        let of_key = self.tasks.iter().filter(|(_, task)| task.key == key);
        of_key.map(|(&name, _)| name).filter(is_fresh).collect()
    }

    fn drop_task(&mut self, task: usize) {
        self.tasks.remove(&task);
        self.truth.loads.remove(&task);
    }
}

fn run(ops: Vec<Op>) {
    let model = Model::new();
    let mut test = Test::default();
    for op in ops {
        match op {
            Op::Ask { task, key } => {
                test.drop_task(task);
                // Who is dropped hands over before anybody new comes.
                test.settle(&model);
                test.tasks.insert(task, Task::new(&model, key));
            }
            Op::Bring { task, value } => {
                if let Some(task) = test.tasks.get(&task).filter(|task| task.is_loading()) {
                    let waker = {
                        let mut gate = task.gate.borrow_mut();
                        gate.1 = Some(value);
                        gate.2.take()
                    };
                    waker.expect("it was polled").wake();
                }
            }
            Op::Drop { task } => test.drop_task(task),
            Op::Write { key, value } => {
                model.write(key, value);
                for name in test.fresh(key) {
                    test.truth.loads.insert(name, false);
                }
                match value {
                    Some(value) => test.truth.values.insert(key, value),
                    None => test.truth.values.remove(&key),
                };
            }
        }
        test.settle(&model);
    }
    let names: Vec<_> = test.tasks.keys().copied().collect();
    names.into_iter().for_each(|name| test.drop_task(name));
    assert_eq!(model.flights(), 0, "nothing is left of tasks that were dropped");
}

proptest! {
    #[test]
    fn in_any_order_writes_win_and_nobody_waits_for_nobody(ops in prop::collection::vec(op(), 1..60)) {
        run(ops);
    }
}
