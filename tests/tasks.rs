//! Loads and locks by tasks, on executors that know nothing of the cache: one of a few lines, tokio's on one thread, and tokio's on several.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rustcache::{AsyncKeyGuard, Cache, Entry, KeyGuard, LoadError, SetOptions, TypedCache};

/// An executor: one future, one thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn cache() -> Cache {
    Cache::builder().build().unwrap()
}

/// Pending until it has been polled a few times.
async fn yield_a_few_times() {
    for _ in 0..3 {
        let mut is_second = false;
        poll_fn(|context| {
            if is_second {
                return Poll::Ready(());
            }
            is_second = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

async fn get_slowly(cache: &Cache, loads: &AtomicU32) -> Entry {
    let loader = || async {
        let load = loads.fetch_add(1, Ordering::SeqCst);
        yield_a_few_times().await;
        load.to_string()
    };
    cache.get_with_async("a", loader).await
}

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Fails to compile, or does nothing. That a guard of a thread is not `Send` is an example of its own.
#[test]
fn guards_and_errors_can_go_where_they_should() {
    fn send_and_sync<T: Send + Sync>() {}
    fn sync<T: Sync>() {}
    send_and_sync::<AsyncKeyGuard>();
    send_and_sync::<LoadError<std::io::Error>>();
    sync::<KeyGuard>();
    let cache = cache();
    drop(is_send(cache.key_lock_async("a")));
    drop(is_send(cache.load("a").with_async(|| async { "1" })));
}

#[test]
fn an_executor_of_a_few_lines_will_do() {
    let cache = cache();
    let loads = AtomicU32::new(0);
    assert_eq!(block_on(get_slowly(&cache, &loads)).value, "0");
    assert_eq!(block_on(get_slowly(&cache, &loads)).value, "0");
    let failed = block_on(cache.try_get_with_async("b", || async { Err::<&str, _>("no such thing") }));
    assert!(matches!(failed, Err(LoadError::Failed(error)) if *error == "no such thing"));
}

#[test]
fn tasks_of_one_thread_share_a_load() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = cache();
    let loads = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            runtime.spawn(async move { get_slowly(&cache, &loads).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap().value, "0");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[test]
fn tasks_and_threads_share_loads_on_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let cache = cache();
    for round in 0..100_u32 {
        let loads = Arc::new(AtomicU32::new(0));
        let key = round.to_le_bytes();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (cache, loads) = (cache.clone(), Arc::clone(&loads));
                runtime.spawn(is_send(async move {
                    let loader = || async {
                        loads.fetch_add(1, Ordering::SeqCst);
                        yield_a_few_times().await;
                        "1"
                    };
                    cache.get_with_async(key, loader).await
                }))
            })
            .collect();
        let by_this_thread = cache.get_with(key, || {
            loads.fetch_add(1, Ordering::SeqCst);
            "1"
        });
        assert_eq!(by_this_thread.value, "1");
        for task in tasks {
            assert_eq!(runtime.block_on(task).unwrap().value, "1");
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1, "in round {round}");
    }
}

#[test]
fn when_a_task_is_aborted_another_loads() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = cache();
    let leader = {
        let cache = cache.clone();
        runtime.spawn(async move { cache.get_with_async("a", std::future::pending::<&str>).await })
    };
    runtime.block_on(yield_a_few_times());
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let cache = cache.clone();
            runtime.spawn(async move { cache.get_with_async("a", || async { "1" }).await })
        })
        .collect();
    runtime.block_on(yield_a_few_times());
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()), "all wait");
    leader.abort();
    for waiter in waiters {
        assert_eq!(runtime.block_on(waiter).unwrap().value, "1");
    }
    assert_eq!(cache.stats().inserts, 1);
}

#[test]
fn when_a_task_panics_another_loads() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = cache();
    let panics = {
        let cache = cache.clone();
        runtime.spawn(async move {
            let loader = || async {
                yield_a_few_times().await;
                if true {
                    panic!("as it should");
                }
                "never"
            };
            cache.get_with_async("a", loader).await
        })
    };
    let waits = {
        let cache = cache.clone();
        runtime.spawn(async move { cache.get_with_async("a", || async { "1" }).await })
    };
    assert_eq!(runtime.block_on(waits).unwrap().value, "1");
    assert!(runtime.block_on(panics).unwrap_err().is_panic());
}

#[test]
fn a_loader_that_asks_for_itself_is_told_or_loads_by_itself() {
    let cache = cache();
    let loaded = block_on(cache.get_with_async("a", || async {
        yield_a_few_times().await;
        let again = cache
            .try_get_with_async("a", || async { Ok::<_, Infallible>("2") })
            .await;
        assert!(matches!(again, Err(LoadError::Reentrant)));
        cache.get_with_async("a", || async { "inner" }).await.value
    }));
    assert_eq!(loaded.value, "inner");
    // Not in the loader any more.
    let tried = block_on(cache.try_get_with_async("b", || async { Ok::<_, Infallible>("1") }));
    assert_eq!(tried.unwrap().value, "1");
}

#[test]
fn loaders_of_two_tasks_that_wait_for_each_other_are_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = cache();
    let tasks = [["a", "b"], ["b", "a"]].map(|[own, other]| {
        let cache = cache.clone();
        runtime.spawn(is_send(async move {
            let loader = || async {
                yield_a_few_times().await;
                let asked = cache
                    .try_get_with_async(other, || async { Err::<&str, _>(()) })
                    .await;
                Ok::<_, ()>(if asked.is_ok() { "got it" } else { "was told" })
            };
            cache.try_get_with_async(own, loader).await
        }))
    });
    let mut values = tasks.map(|task| runtime.block_on(task).unwrap().unwrap().value.to_vec());
    values.sort();
    assert_eq!(values, [b"got it".to_vec(), b"was told".to_vec()]);
}

#[test]
fn tasks_take_turns_with_the_lock_of_a_key() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let cache = cache();
    cache.set("n", "0", SetOptions::default()).unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let cache = cache.clone();
            runtime.spawn(is_send(async move {
                let guard: AsyncKeyGuard = cache.key_lock_async("n").await;
                let read: u32 = std::str::from_utf8(&cache.get("n").unwrap().value)
                    .unwrap()
                    .parse()
                    .unwrap();
                yield_a_few_times().await;
                cache
                    .set("n", (read + 1).to_string(), SetOptions::default())
                    .unwrap();
                drop(guard);
                if n % 10 == 0 {
                    // One who gives up in line.
                    let mut gives_up = Box::pin(cache.key_lock_async("n"));
                    let _ = gives_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
            }))
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    assert_eq!(cache.get("n").unwrap().value, "100");
    assert!(cache.try_key_lock("n").is_some());
}

#[test]
fn a_load_is_not_taken_for_one_that_was_over_before() {
    async fn gate(is_open: &Cell<bool>) {
        poll_fn(|_| {
            if is_open.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    let cache: TypedCache<String, u32> = TypedCache::builder().shards(1).build().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let (two, three) = (Cell::new(false), Cell::new(false));
    // The loader of 2 asks for 3 when its gate opens.
    let mut first = Box::pin(cache.get_with_async("2", || async {
        gate(&two).await;
        let found = cache
            .try_get_with_async("3", || async { Ok::<_, Infallible>(33) })
            .await;
        found.expect("the loader of 3 waits for nobody")
    }));
    assert!(first.as_mut().poll(&mut context).is_pending());
    // The loader of 1 begins to wait for 2, and leaves that to others.
    let mut waits = Box::pin(cache.get_with_async("2", || async { 7 }));
    {
        let mut one = pin!(cache.get_with_async("1", || async {
            poll_fn(|context| {
                let _ = waits.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
            1
        }));
        assert!(one.as_mut().poll(&mut context).is_ready());
    }
    // What the load of 1 was kept in is free, and the load of 3 may take its place.
    let mut third = Box::pin(cache.get_with_async("3", || async {
        gate(&three).await;
        3
    }));
    assert!(third.as_mut().poll(&mut context).is_pending());
    two.set(true);
    assert!(first.as_mut().poll(&mut context).is_pending(), "it waits for 3");
    three.set(true);
    assert_eq!(block_on(third), 3);
    assert_eq!(block_on(first), 3);
}
