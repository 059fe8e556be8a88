//! Clients that never finish asking (slow loris), thousands of them, and what becomes of the latency of those who do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::report::median;
use crate::server::Server;
use crate::wrk::{self, Load};

/// Between two bytes of each: well before the daemon gives one up.
const PACE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
/// So many begin to connect at once.
const AT_ONCE: usize = 200;

/// What to do.
pub(crate) struct Plan<'p> {
    pub(crate) binary: &'p Path,
    pub(crate) threads: u16,
    /// Slow connections.
    pub(crate) slow: usize,
    /// Those of wrk.
    pub(crate) connections: u32,
    pub(crate) rounds: u32,
    pub(crate) time: Duration,
}

#[derive(Debug, Default)]
struct Count {
    /// Connections that were let in, ever.
    begun: AtomicUsize,
    open: AtomicUsize,
    cut: AtomicU64,
}

/// Measures by turns without and with them: where they are all let in, and where there are places for a thousand.
pub(crate) fn compare(plan: &Plan<'_>) -> Result<(), String> {
    println!(
        "| places | p99 without | p99 with {} | ratio | of them open | cut in a round |",
        plan.slow
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for places in [plan.slow + 1000, 1024] {
        let server = Server::with_places(plan.binary, plan.threads, places)?;
        server.fill()?;
        let measure = || wrk::measure(&server, Load::Get("/kv/user:123"), plan.connections, plan.time);
        let (mut without, mut with, mut ratios, mut open, mut cut) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..plan.rounds {
            let quiet = measure()?.p99;
            let crowd = Crowd::gather(server.address(), plan.slow, places.min(plan.slow) * 9 / 10)?;
            let cut_before = crowd.count.cut.load(Ordering::Relaxed);
            let crowded = measure()?.p99;
            open.push(crowd.count.open.load(Ordering::Relaxed) as f64);
            cut.push((crowd.count.cut.load(Ordering::Relaxed) - cut_before) as f64);
            crowd.leave();
            without.push(quiet);
            with.push(crowded);
            ratios.push(crowded / quiet);
        }
        println!(
            "| {places} | {:.2} ms | {:.2} ms | {:.2} × | {:.0} | {:.0} |",
            median(without),
            median(with),
            median(ratios),
            median(open),
            median(cut),
        );
    }
    Ok(())
}

/// All of the slow ones.
struct Crowd {
    runtime: Runtime,
    count: Arc<Count>,
}

impl Crowd {
    /// Waits until so many are there, as far as the daemon lets them.
    fn gather(address: &str, slow: usize, wanted: usize) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let count = Arc::new(Count::default());
        let doors = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        for number in 0..slow {
            let (address, count, doors) = (address.to_owned(), Arc::clone(&count), Arc::clone(&doors));
            runtime.spawn(async move {
                // Not all of them at the same moment.
                let first = PACE.mul_f64(number as f64 / slow as f64);
                loop {
                    if let Ok(door) = doors.acquire().await
                        && let Ok(stream) = TcpStream::connect(&address).await
                    {
                        drop(door);
                        count.begun.fetch_add(1, Ordering::Relaxed);
                        count.open.fetch_add(1, Ordering::Relaxed);
                        be_slow(stream, first).await;
                        count.open.fetch_sub(1, Ordering::Relaxed);
                        count.cut.fetch_add(1, Ordering::Relaxed);
                    }
                    // Whoever was cut comes again.
                    sleep(PACE).await;
                }
            });
        }
        let mut tries = 0;
        let is_there =
            || count.begun.load(Ordering::Relaxed) >= slow && count.open.load(Ordering::Relaxed) >= wanted;
        while !is_there() {
            tries += 1;
            if tries > 600 {
                let open = count.open.load(Ordering::Relaxed);
                return Err(format!(
                    "{open} of {slow} slow connections are open: the limit on open files (ulimit -n) may be too low"
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Crowd { runtime, count })
    }

    /// They are gone, and so is what the kernel has to do about that.
    fn leave(self) {
        self.runtime.shutdown_timeout(PAUSE);
        std::thread::sleep(PAUSE);
    }
}

/// A head that never ends. Over when the daemon has had enough.
async fn be_slow(mut stream: TcpStream, first: Duration) {
    let begun = stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
        .await;
    if begun.is_err() {
        return;
    }
    let mut pause = first;
    // Nothing is ever answered: what can be read is the end.
    while timeout(pause, stream.read(&mut [0])).await.is_err() && stream.write_all(b"x").await.is_ok() {
        pause = PACE;
    }
}
