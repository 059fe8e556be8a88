//! What the daemon takes stays within what is documented, whatever many clients ask for at once.

use serde_json::json;

use crate::support::{Client, Service};

const CLIENTS: usize = 64;

/// What is done again and again by many clients at once, each of whom waits for his answer.
fn rounds(service: &Service, rounds: usize, ask: impl Fn(&mut Client, usize) -> u16 + Sync) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| service.client()).collect();
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                let ask = &ask;
                scope.spawn(move || {
                    // There may be no room for it at this moment.
                    let status = ask(client, round * CLIENTS + number);
                    assert!([200, 503].contains(&status), "{status}");
                });
            }
        });
    }
}

fn batches(service: &Service) {
    let batches: Vec<String> = (0..CLIENTS)
        .map(|part| {
            let sets = (0..600)
                .map(|n| json!({"op": "set", "key": format!("k{part}:{n}"), "value": "x".repeat(500)}));
            json!({"operations": sets.collect::<Vec<_>>()}).to_string()
        })
        .collect();
    rounds(service, 12, |client, number| {
        let body = batches[number % CLIENTS].as_bytes();
        client.ask("POST", "/v1/batch", &[], body).status
    });
}

/// Each thread that does something lengthy keeps some memory afterwards.
#[cfg(target_os = "linux")]
#[test]
fn however_many_ask_for_something_lengthy_few_threads_do_it() {
    let service = Service::new();
    batches(&service);
    let threads = std::fs::read_dir(format!("/proc/{}/task", service.child.id()))
        .expect("it runs")
        .count();
    assert!(threads <= 8, "{threads}");
}

/// 64 MiB and a tenth, 32 MiB, and 16 MiB for HTTP; and as much again, since nobody promises anything to the byte.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_what_is_documented_while_many_write_at_once() {
    const PROMISED: usize = (64 * 11 / 10 + 32 + 16) << 20;
    let service = Service::with(&["--max-bytes", "64mib", "--http-max-memory", "16mib"]);
    let (taken, ()) = service.memory_for(|| batches(&service));
    assert!(taken < 2 * PROMISED, "{} MiB", taken >> 20);
    let gets = format!(
        "{{\"operations\":[{}]}}",
        [r#"{"op":"get","key":""}"#; 10_000].join(",")
    );
    let service = Service::with(&["--max-bytes", "64mib", "--http-max-memory", "16mib"]);
    let (taken, ()) = service.memory_for(|| {
        rounds(&service, 4, |client, _| {
            client.ask("POST", "/v1/batch", &[], gets.as_bytes()).status
        });
    });
    assert!(taken < 2 * PROMISED, "{} MiB", taken >> 20);
}
