//! Pages of keys that are long themselves.

use serde_json::json;

use crate::support::Service;

const LENGTH: usize = 60_000;

/// A daemon with so many keys, of so many bytes each.
fn with_keys(arguments: &[&str], count: usize, filled_with: &str) -> Service {
    let service = Service::with(arguments);
    for number in 0..count {
        let begin = format!("{number:03}:");
        let key = begin.clone() + &filled_with.repeat(LENGTH - begin.len());
        let set = json!({"operations": [{"op": "set", "key": key, "value": number}]});
        assert_eq!(
            service.post("/v1/batch", &set).json()["results"][0]["status"],
            204
        );
    }
    service
}

#[test]
fn a_page_has_a_mebibyte_of_keys_at_most_and_goes_on_with_the_next() {
    let service = with_keys(&[], 60, "k");
    for (query, wanted) in [
        ("limit=10000", 60),
        ("limit=7", 60),
        ("limit=10000&match=*k", 60),
        ("limit=10000&prefix=01", 10),
        ("limit=10000&match=0?5*", 6),
    ] {
        let mut found = Vec::new();
        let mut cursor = Some(String::new());
        while let Some(at) = cursor {
            let page = service.get(&format!("/v1/keys?cursor={at}&{query}")).json();
            let keys = page["keys"].as_array().expect("keys");
            let names = keys.iter().map(|key| key["key"].as_str().expect("text"));
            assert!(names.clone().map(str::len).sum::<usize>() <= 1 << 20, "{query}");
            found.extend(names.map(str::to_owned));
            cursor = page["cursor"].as_str().map(str::to_owned);
        }
        let count = found.len();
        found.sort();
        found.dedup();
        assert_eq!((found.len(), count), (wanted, wanted), "{query}");
    }
}

/// In JSON, each byte of these takes six.
#[cfg(target_os = "linux")]
#[test]
fn room_for_a_page_is_asked_for_before_it_is_made() {
    let service = with_keys(&["--http-max-memory", "1mib"], 17, "\u{1}");
    service.ask("PUT", "/v1/entries/large", &[], &vec![7; 40 << 20]);
    let long = "/v1/keys?limit=10000";
    for path in [long, "/v1/keys?limit=10000&match=*%01"] {
        let mut reader = service.read_head("large");
        let read_on = || reader.read_some(32 * 1024);
        let (memory, answer) = service.memory_for(|| service.ask_while("GET", path, b"", read_on));
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("BUSY")));
        assert!(memory < 1 << 20, "{path}: {memory}");
        assert_eq!(service.get("/v1/keys?limit=30&prefix=large").status, 200);
        drop(reader);
    }
    while service.get(long).status == 503 {}
    let (memory, answer) = service.memory_for(|| service.get(long));
    assert!(answer.body.len() > 5 << 20 && memory < 16 << 20, "{memory}");
}
