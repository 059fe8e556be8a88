//! Single flight by threads, on a model of a cache. What a cache makes of it is tested there, and each order of steps by loom.

#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "async")]
mod interleaved;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::model::Model;
use super::{LoadError, Stopped, load};

/// Enough to have all wait at the same time, few enough to be quick.
const THREADS: usize = 8;

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}"
        );
        thread::yield_now();
    }
}

fn brings(value: u32) -> impl FnOnce() -> Result<u32, Infallible> {
    move || Ok(value)
}

fn never<E>() -> Result<u32, E> {
    panic!("somebody loads already")
}

/// One leads, and does this once all others wait for him; what they get is in the result.
fn while_all_wait<R: Send>(
    model: &Model,
    lead: impl FnOnce() -> R + Send,
    wait: impl Fn() -> R + Sync,
) -> (R, Vec<R>) {
    let wait = &wait;
    thread::scope(|scope| {
        let leader = scope.spawn(lead);
        until("the leader has taken off", || model.flights() == 1);
        let waiters: Vec<_> = (1..THREADS).map(|_| scope.spawn(wait)).collect();
        let results = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        (leader.join().unwrap(), results)
    })
}

#[test]
fn one_loader_runs_however_many_ask() {
    let model = Model::new();
    let lead = || {
        load(&model.ask(1), || {
            until("all wait", || model.waiters(1) == THREADS - 1);
            Ok::<_, Infallible>(7)
        })
        .unwrap()
    };
    let wait = || load(&model.ask(1), never::<Infallible>).unwrap();
    let (first, others) = while_all_wait(&model, lead, wait);
    assert_eq!((first, others), (7, vec![7; THREADS - 1]));
    assert_eq!((model.get(1), model.flights()), (Some(7), 0));
}

#[test]
fn an_error_reaches_all_who_wait_and_the_next_call_loads_again() {
    let model = Model::new();
    let fails = || {
        until("all wait", || model.waiters(1) == THREADS - 1);
        Err(String::from("no such thing"))
    };
    let lead = || LoadError::from(load(&model.ask(1), fails).unwrap_err());
    let wait = || LoadError::from(load(&model.ask(1), never::<String>).unwrap_err());
    let (first, others) = while_all_wait(&model, lead, wait);
    for other in others {
        let (LoadError::Failed(first), LoadError::Failed(other)) = (&first, &other) else {
            panic!("{first:?}, {other:?}");
        };
        assert!(Arc::ptr_eq(first, other));
    }
    assert_eq!((model.get(1), model.flights()), (None, 0));
    assert_eq!(load(&model.ask(1), brings(7)).unwrap(), 7);
}

#[test]
fn who_expects_another_error_than_the_one_that_came_loads_himself() {
    let model = Model::new();
    let lead = || {
        let failed = load(&model.ask(1), || {
            until("all wait", || model.waiters(1) == THREADS - 1);
            Err(String::from("no such thing"))
        });
        matches!(failed, Err(Stopped::Failed(_)))
    };
    let loads = AtomicU32::new(0);
    let wait = || {
        let loader = || Ok::<_, Infallible>(loads.fetch_add(1, Ordering::Relaxed));
        load(&model.ask(1), loader).unwrap() == 0
    };
    let (first, others) = while_all_wait(&model, lead, wait);
    assert!(first && others.into_iter().all(|other| other));
    assert_eq!(loads.into_inner(), 1);
}

#[test]
fn when_a_loader_panics_one_of_those_who_wait_loads() {
    let model = Model::new();
    let lead = || {
        let panics = || -> Result<u32, Infallible> {
            until("all wait", || model.waiters(1) == THREADS - 1);
            panic!("as it should")
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| load(&model.ask(1), panics)));
        *panicked.unwrap_err().downcast_ref::<&str>().unwrap() == "as it should"
    };
    let loads = AtomicU32::new(0);
    let wait = || {
        let loader = || Ok::<_, Infallible>(loads.fetch_add(1, Ordering::Relaxed));
        load(&model.ask(1), loader).unwrap() == 0
    };
    let (first, others) = while_all_wait(&model, lead, wait);
    assert!(first && others.into_iter().all(|other| other));
    assert_eq!(loads.into_inner(), 1);
    assert_eq!((model.get(1), model.flights()), (Some(0), 0));
}

#[test]
fn what_was_written_while_a_loader_ran_is_not_covered_by_what_it_brings() {
    for written in [Some(8), None] {
        let model = Model::new();
        let loader = || {
            model.write(1, written);
            Ok::<_, Infallible>(7)
        };
        assert_eq!(load(&model.ask(1), loader).unwrap(), 7);
        assert_eq!((model.get(1), model.flights()), (written, 0));
    }
}

#[test]
fn who_asks_after_a_write_does_not_get_what_was_being_loaded_before_it() {
    let model = Model::new();
    let loader = || {
        model.write(1, None);
        assert_eq!(load(&model.ask(1), brings(8)).unwrap(), 8);
        Ok::<_, Infallible>(7)
    };
    assert_eq!(load(&model.ask(1), loader).unwrap(), 7);
    assert_eq!((model.get(1), model.flights()), (Some(8), 0));
}

#[test]
fn a_write_of_another_key_does_not_disturb_a_load() {
    let model = Model::new();
    let loader = || {
        model.write(2, None);
        Ok::<_, Infallible>(7)
    };
    load(&model.ask(1), loader).unwrap();
    assert_eq!(model.get(1), Some(7));
}

#[test]
fn a_loader_may_load_other_keys_but_not_its_own() {
    let model = Model::new();
    let loader = || {
        assert_eq!(load(&model.ask(2), brings(8)).unwrap(), 8);
        let again = load(&model.ask(1), never::<Infallible>);
        assert!(matches!(again, Err(Stopped::Reentrant(_))));
        let by_another = || {
            let again = load(&model.ask(1), never::<Infallible>);
            assert!(matches!(again, Err(Stopped::Reentrant(_))));
            Ok::<_, Infallible>(9)
        };
        assert_eq!(load(&model.ask(3), by_another).unwrap(), 9);
        Ok::<_, Infallible>(7)
    };
    assert_eq!(load(&model.ask(1), loader).unwrap(), 7);
    assert_eq!([1, 2, 3].map(|key| model.get(key)), [Some(7), Some(8), Some(9)]);
}

#[test]
fn loaders_that_wait_for_each_other_in_a_circle_are_told() {
    const KEYS: u8 = 4;
    let model = Model::new();
    let all_run = Barrier::new(usize::from(KEYS));
    let told = AtomicU32::new(0);
    thread::scope(|scope| {
        for key in 0..KEYS {
            let (model, all_run, told) = (&model, &all_run, &told);
            scope.spawn(move || {
                let loader = || {
                    all_run.wait();
                    match load(&model.ask((key + 1) % KEYS), never::<Infallible>) {
                        Ok(value) => Ok::<_, Infallible>(value),
                        Err(Stopped::Failed(never)) => match *never {},
                        Err(Stopped::Reentrant(_)) => Ok(told.fetch_add(1, Ordering::Relaxed)),
                    }
                };
                assert_eq!(load(&model.ask(key), loader).unwrap(), 0);
            });
        }
    });
    assert_eq!(told.into_inner(), 1, "one of them breaks the circle");
    assert_eq!(model.flights(), 0);
}

#[test]
fn what_was_being_loaded_when_a_loader_panicked_inside_of_another_is_forgotten() {
    let model = Model::new();
    let outer = || {
        let panics = || -> Result<u32, Infallible> { panic!("as it should") };
        let inner = catch_unwind(AssertUnwindSafe(|| load(&model.ask(2), panics)));
        assert!(inner.is_err());
        // This thread is not in the loader of 2 any more.
        assert_eq!(load(&model.ask(2), brings(8)).unwrap(), 8);
        Ok::<_, Infallible>(7)
    };
    assert_eq!(load(&model.ask(1), outer).unwrap(), 7);
    assert_eq!(load(&model.ask(3), brings(9)).unwrap(), 9);
}
