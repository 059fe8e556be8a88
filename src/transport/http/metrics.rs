//! `GET /metrics`: everything that is counted, as OpenMetrics text. Nothing that a client chooses is in a name or a label.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::reply::{Answer, ok};
use super::samples::resident_memory;
use super::service::Service;
use super::traffic::KINDS;
use crate::cache::Stats;
use crate::histogram::Counts;
use crate::persist::StoreStats;
use crate::session;
use crate::session::traffic::TIMED_OF;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the buckets of latencies, in microseconds.
const BUCKETS: [u64; 18] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
    5_000_000,
];

pub(super) fn answer(service: &Service) -> Answer {
    let mut registry = Registry::with_prefix("rustcache");
    registry.register_collector(Box::new(Figures::of(service)));
    let mut text = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    ok(OPEN_METRICS, text)
}

/// What the session on stdin counts.
#[derive(Debug)]
struct Stdio {
    commands: u64,
    refusals: u64,
    latencies: Vec<(&'static str, Counts)>,
}

/// All of it, as of now.
#[derive(Debug)]
struct Figures {
    cache: Stats,
    limits: (u64, u64),
    policy: String,
    directory: Option<StoreStats>,
    latencies: Vec<(&'static str, Counts)>,
    http_errors: (u64, u64),
    http_busy: [(&'static str, u64); 3],
    http_operations: u64,
    connections: u64,
    shed: [(&'static str, u64); 2],
    stdio: Option<Stdio>,
    memory: Option<u64>,
    started: Duration,
}

impl Figures {
    fn of(service: &Service) -> Self {
        let settings = service.backing.settings();
        let traffic = &service.traffic;
        let stdio = |stdio: &session::Traffic| Stdio {
            commands: stdio.commands(),
            refusals: stdio.refusals(),
            latencies: stdio.latencies().collect(),
        };
        Figures {
            cache: service.backing.stats(),
            limits: (
                settings.max_items().unwrap_or(0),
                settings.max_bytes().unwrap_or(0),
            ),
            policy: settings.policy().to_string(),
            directory: service.backing.directory_stats(),
            latencies: KINDS
                .iter()
                .map(|&(kind, name)| (name, traffic.of(kind)))
                .collect(),
            http_errors: (traffic.refused(), traffic.failed()),
            http_busy: traffic.busy_by_cause(),
            http_operations: traffic.operations(),
            connections: service.seats.count() as u64,
            shed: service.seats.shed_by_cause(),
            stdio: service.stdio.as_deref().map(stdio),
            memory: resident_memory(),
            started: Duration::from_millis(service.began_at),
        }
    }

    fn write_cache(&self, to: &mut Writer<'_>) -> fmt::Result {
        let stats = &self.cache;
        to.counter("hits", "Reads that found a live entry", stats.hits)?;
        to.counter("misses", "Reads that did not", stats.misses)?;
        to.counter(
            "inserts",
            "Entries written under a key that was absent",
            stats.inserts,
        )?;
        to.counter("updates", "Entries written over a live one", stats.updates)?;
        to.counter("removals", "Live entries removed by a caller", stats.removals)?;
        to.counters(
            "evictions",
            "Live entries that went for want of room, by the limit that was reached",
            "cause",
            [
                ("items", stats.evictions_by_items),
                ("bytes", stats.evictions_by_bytes),
            ],
        )?;
        to.counter(
            "expirations",
            "Entries that went because their deadline had passed",
            stats.expirations,
        )?;
        to.counter(
            "refused_writes",
            "Writes refused because the entry can never fit",
            stats.refused,
        )?;
        to.gauge("items", "Entries held", stats.items)?;
        to.gauge(
            "items_with_deadline",
            "Entries held that expire",
            stats.items_with_deadline,
        )?;
        to.gauge(
            "items_limit",
            "The most entries; 0 without a limit",
            self.limits.0,
        )?;
        to.gauge_in(
            "used",
            "Charged for the entries held",
            Unit::Bytes,
            self.cache.bytes,
        )?;
        to.gauge_in(
            "limit",
            "The most that may be charged; 0 without a limit",
            Unit::Bytes,
            self.limits.1,
        )
    }

    fn write_service(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.durations(
            "http_request_duration",
            "From the head of a request to its answer, by what was asked",
            &self.latencies,
        )?;
        let (client, server) = self.http_errors;
        to.counters(
            "http_errors",
            "Requests answered with 4xx or 5xx, but for what is normal: absence, conditions that do not hold, loading and stopping",
            "side",
            [("client", client), ("server", server)],
        )?;
        to.counters(
            "http_busy",
            "Requests answered with BUSY, by what there was too much of",
            "cause",
            self.http_busy,
        )?;
        to.counter(
            "http_operations",
            "What the cache was asked for over HTTP; each operation of a batch or a transaction is one",
            self.http_operations,
        )?;
        to.gauge("http_connections", "Open connections", self.connections)?;
        to.counters(
            "http_connections_shed",
            "Connections turned away, or closed to make room for others, by what there was too much of",
            "cause",
            self.shed,
        )?;
        if let Some(Stdio {
            commands,
            refusals,
            latencies,
        }) = &self.stdio
        {
            to.counter("stdio_commands", "Commands on stdin", *commands)?;
            to.counter(
                "stdio_refused",
                "Commands and frames on stdin that were answered with an error",
                *refusals,
            )?;
            let help = format!("Doing a command on stdin, by what was asked; of one in {TIMED_OF}");
            to.durations("stdio_command_duration", &help, latencies)?;
        }
        if let Some(memory) = self.memory {
            to.gauge_in("resident_memory", "Memory of the process", Unit::Bytes, memory)?;
        }
        to.gauge_in(
            "start_time",
            "When it began to serve, in Unix time",
            Unit::Seconds,
            self.started.as_secs_f64(),
        )
    }

    fn write_directory(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.gauge(
            "persistent",
            "1 with a directory",
            u64::from(self.directory.is_some()),
        )?;
        let Some(stats) = &self.directory else {
            return Ok(());
        };
        let (journal, seconds) = (&stats.journal, Duration::from_millis);
        to.gauge(
            "disk_failed",
            "1 since a failure that no snapshot has made up for",
            u64::from(stats.failed),
        )?;
        to.counter(
            "journal_records",
            "Changes written to the journal",
            journal.records,
        )?;
        to.counter_in(
            "journal_written",
            "Written to the journal",
            Unit::Bytes,
            journal.bytes,
        )?;
        to.gauge_in(
            "journal_since_snapshot",
            "What the next start would have to replay",
            Unit::Bytes,
            journal.bytes_since_snapshot,
        )?;
        to.counter(
            "journal_syncs",
            "Times that the journal was synced",
            journal.syncs,
        )?;
        let micros = Duration::from_micros;
        to.counter_in(
            "journal_sync",
            "Time that syncing the journal took",
            Unit::Seconds,
            micros(journal.sync_micros).as_secs_f64(),
        )?;
        to.gauge_in(
            "journal_longest_sync",
            "The longest of them",
            Unit::Seconds,
            micros(journal.longest_sync_micros).as_secs_f64(),
        )?;
        to.counter("snapshots", "Snapshots written", stats.snapshots)?;
        to.gauge_in(
            "last_snapshot_time",
            "When the last was finished, in Unix time; 0 before the first",
            Unit::Seconds,
            seconds(stats.last_snapshot_at).as_secs_f64(),
        )?;
        to.gauge_in(
            "last_snapshot_duration",
            "How long it took",
            Unit::Seconds,
            seconds(stats.last_snapshot_millis).as_secs_f64(),
        )?;
        to.gauge_in(
            "last_snapshot",
            "Its size",
            Unit::Bytes,
            stats.last_snapshot_bytes,
        )?;
        to.gauge(
            "last_snapshot_entries",
            "Its entries",
            stats.last_snapshot_entries,
        )?;
        to.gauge(
            "snapshot_under_way",
            "1 while one is written",
            u64::from(stats.snapshot.is_under_way),
        )?;
        to.gauge(
            "loading",
            "1 while the directory is loaded",
            u64::from(stats.load.is_loading),
        )?;
        to.gauge_in(
            "loaded",
            "Read of the files that are loaded",
            Unit::Bytes,
            stats.load.loaded_bytes,
        )?;
        to.gauge_in(
            "load",
            "What there is to read of them",
            Unit::Bytes,
            stats.load.load_bytes,
        )?;
        to.gauge(
            "recovered_changes",
            "Entries and changes found at the start",
            stats.recovered,
        )?;
        to.gauge(
            "lost_changes",
            "Records known to have been lost then",
            stats.dropped,
        )?;
        to.gauge(
            "damaged_files",
            "Files in which there was damage then",
            stats.damaged_files,
        )?;
        to.gauge_in(
            "recovery_duration",
            "How long the start took",
            Unit::Seconds,
            seconds(stats.recovery_millis).as_secs_f64(),
        )
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(encoder);
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("policy", self.policy.as_str()),
        ];
        to.family("build", "The daemon", None, MetricType::Info)?
            .encode_info(&labels)?;
        self.write_cache(&mut to)?;
        self.write_service(&mut to)?;
        self.write_directory(&mut to)
    }
}

struct Writer<'e>(DescriptorEncoder<'e>);

impl Writer<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, u64, u64>(&value, None)
    }

    fn counter_in(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.family(name, help, Some(&unit), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); N],
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            let labels = [(label, of)];
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
        Ok(())
    }

    fn durations(&mut self, name: &str, help: &str, of: &[(&str, Counts)]) -> fmt::Result {
        let mut family = self.family(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (kind, latencies) in of {
            let (sum, buckets) = buckets(latencies);
            let labels = [("kind", *kind)];
            let mut of_kind = family.encode_family(&labels)?;
            of_kind.encode_histogram::<NoLabelSet>(sum, latencies.total(), &buckets, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn gauge_in(&mut self, name: &str, help: &str, unit: Unit, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, Some(&unit), MetricType::Gauge)?
            .encode_gauge(&value)
    }
}

/// The sum in seconds, and how many are in each bucket by itself.
fn buckets(latencies: &Counts) -> (f64, Vec<(f64, u64)>) {
    let mut before = 0;
    let mut bucket = |end: f64, up_to: u64| {
        let gained = up_to - before;
        before = up_to;
        (end, gained)
    };
    let mut buckets: Vec<_> = BUCKETS
        .iter()
        .map(|&micros| {
            let end = Duration::from_micros(micros);
            bucket(end.as_secs_f64(), latencies.up_to(end))
        })
        .collect();
    buckets.push(bucket(f64::INFINITY, latencies.total()));
    (Duration::from_nanos(latencies.nanos).as_secs_f64(), buckets)
}
