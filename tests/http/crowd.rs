//! What the daemon takes stays within what is documented, whatever many clients ask for at once.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};

use crate::support::{Client, Service};

const CLIENTS: usize = 64;

/// What is done again and again by many clients at once, each of whom waits for his answer.
fn rounds(service: &Service, rounds: usize, ask: impl Fn(&mut Client, usize) -> u16 + Sync) {
    rounds_of(CLIENTS, service, rounds, ask);
}

fn rounds_of(count: usize, service: &Service, rounds: usize, ask: impl Fn(&mut Client, usize) -> u16 + Sync) {
    let mut clients: Vec<Client> = (0..count).map(|_| service.client()).collect();
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                let ask = &ask;
                scope.spawn(move || {
                    // There may be no room for it at this moment.
                    let status = ask(client, round * count + number);
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

fn transact(service: &Service, conditions: &[Value]) -> (u16, Value) {
    let body = json!({"if": conditions, "operations": []});
    let answer = service.post("/v1/transactions", &body);
    (answer.status, answer.json())
}

/// A batch of the most operations, which are as short as they can be; and what is of no use in it.
#[test]
fn what_json_consists_of_takes_no_more_than_is_documented() {
    let operations = |one: &str| format!("{{\"operations\":[{}]}}", [one; 10_000].join(","));
    let useless = format!(
        "{{\"op\":\"set\",\"key\":\"k\",\"value\":1,\"ttl\":[{}1]}}",
        "1,".repeat(1 << 20)
    );
    for (body, wanted) in [
        (operations(r#"{"op":"get","key":""}"#), 200),
        (operations(r#"{"op":"set","key":"k","value":1}"#), 200),
        (format!("{{\"operations\":[{useless}]}}"), 400),
    ] {
        let service = Service::new();
        let (taken, answer) = service.memory_for(|| service.ask("POST", "/v1/batch", &[], body.as_bytes()));
        assert_eq!(answer.status, wanted);
        // Threads that begin take some as well.
        let most = 3 * body.len() + (8 << 20) + (4 << 20);
        assert!(taken < most, "{} KiB for {} KiB", taken >> 10, body.len() >> 10);
    }
}

/// Control characters are six times as long in JSON.
#[test]
fn what_is_compared_is_not_copied() {
    let service = Service::new();
    let text = [("Content-Type", "text/plain")];
    service.ask("PUT", "/v1/entries/text", &text, &vec![1; 16 << 20]);
    let json = [("Content-Type", "application/json")];
    let escaped = format!("[\"{}\"]", "\\u0001".repeat(2 << 20));
    service.ask("PUT", "/v1/entries/json", &json, escaped.as_bytes());
    for key in ["text", "json"] {
        let conditions =
            [json!(0), json!("\u{1}"), json!(["\u{1}"])].map(|value| json!({"key": key, "value": value}));
        let (taken, answer) = service.memory_for(|| transact(&service, &conditions));
        assert_eq!(answer, (409, json!({"applied": false, "failed": [0, 1, 2]})));
        assert!(taken < 8 << 20, "{key}: {} MiB", taken >> 20);
    }
}

#[test]
fn conditions_look_at_no_more_than_they_may() {
    let service = Service::new();
    let json = [("Content-Type", "application/json")];
    let spaces = " ".repeat(40 << 20) + "0";
    service.ask("PUT", "/v1/entries/json", &json, spaces.as_bytes());
    let condition = json!({"key": "json", "value": 0});
    assert_eq!(transact(&service, std::slice::from_ref(&condition)).0, 200);
    let (status, told) = transact(&service, &[condition.clone(), condition]);
    assert_eq!((status, &told["code"]), (413, &json!("TRANSACTION_TOO_LARGE")));
}

/// Each thread that does something lengthy keeps some memory afterwards.
#[test]
fn however_many_ask_for_something_lengthy_few_threads_do_it() {
    let service = Service::new();
    batches(&service);
    let threads = std::fs::read_dir(format!("/proc/{}/task", service.child.id()))
        .expect("it runs")
        .count();
    assert!(threads <= 8, "{threads}");
}

/// 64 MiB and a tenth, and 32 MiB; 16 MiB of bodies and answers, the buffers of all connections, and what JSON takes on four threads.
#[test]
fn memory_stays_what_is_documented_while_many_write_at_once() {
    const DOCUMENTED: usize = (64 * 11 / 10 + 32 + 16 + CLIENTS * 4 / 10 + 4 * 10) << 20;
    let service = Service::with(&["--max-bytes", "64mib", "--http-max-memory", "16mib"]);
    let (taken, ()) = service.memory_for(|| batches(&service));
    assert!(taken < DOCUMENTED, "{} MiB", taken >> 20);
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
    assert!(taken < DOCUMENTED, "{} MiB", taken >> 20);
}

/// 32 MiB of the daemon, 96 MiB of bodies and answers, the buffers of all connections, and what JSON takes on four threads.
#[test]
fn who_waits_for_his_answer_keeps_nothing_else_of_a_batch_that_writes() {
    const MANY: usize = 200;
    const DOCUMENTED: usize = (32 + 96 + MANY * 4 / 10 + 4 * 10) << 20;
    let sets = format!(
        "{{\"operations\":[{}]}}",
        [r#"{"op":"set","key":"k","value":1}"#; 10_000].join(",")
    );
    let service = Service::with(&["--http-max-memory", "96mib"]);
    let (taken, ()) = service.memory_for(|| {
        rounds_of(MANY, &service, 1, |client, _| {
            client.ask("POST", "/v1/batch", &[], sets.as_bytes()).status
        });
    });
    assert!(taken < DOCUMENTED, "{} MiB", taken >> 20);
}

/// 32 MiB of the daemon, 4 MiB of answers, the buffers of all connections, and what is told on four threads.
#[test]
fn who_waits_for_room_for_the_largest_keeps_none_of_them() {
    const MANY: usize = 200;
    const DOCUMENTED: usize = (32 + 4 + MANY * 4 / 10 + 4 * 10) << 20;
    let service = Service::with(&["--http-max-memory", "4mib"]);
    let sets =
        (0..100).map(|n| json!({"op": "set", "key": format!("{n}{}", "k".repeat(10_000)), "value": 1}));
    let batch = json!({ "operations": sets.collect::<Value>() });
    assert_eq!(service.post("/v1/batch", &batch).status, 200);
    let (taken, ()) = service.memory_for(|| {
        rounds_of(MANY, &service, 1, |client, _| {
            client.ask("GET", "/v1/top?limit=100", &[], b"").status
        });
    });
    assert!(taken < DOCUMENTED, "{} MiB", taken >> 20);
}
