//! What takes and gives JSON: batches, numbers, keys, transactions.

use serde_json::json;

use crate::support::{Answer, Service};

#[test]
fn each_operation_of_a_batch_is_answered_in_its_place() {
    let service = Service::new();
    let operations = json!([
        {"op": "get", "key": "a"},
        {"op": "set", "key": "a", "value": {"n": 1}, "ttl": 60},
        {"op": "set", "key": "a", "value": 1, "if": "absent"},
        {"op": "set", "key": "b", "value": null},
        {"op": "set", "key_base64": "/w==", "base64": "AAE=", "type": "image/png"},
        {"op": "set", "key": "t", "value": "text", "base64": ""},
        {"op": "set", "key": "t"},
        {"op": "get", "key": "b"},
        {"op": "get", "key_base64": "/w=="},
        {"op": "delete", "key": "b"},
        {"op": "delete", "key": "b"},
    ]);
    let answer = service.post("/v1/batch", &json!({"operations": operations}));
    let json = answer.json();
    let results = json["results"].as_array().expect("results");
    let statuses: Vec<_> = results
        .iter()
        .map(|result| result["status"].as_u64().expect("a status"))
        .collect();
    assert_eq!(statuses, [404, 204, 412, 204, 204, 400, 400, 200, 200, 204, 404]);
    let etag = |at: usize| &results[at]["etag"];
    assert!(etag(3).is_string() && etag(4).is_string() && etag(2).is_null() && etag(9).is_null());
    assert_eq!(
        results[7],
        json!({"status": 200, "value": null, "ttl": null, "etag": etag(3)})
    );
    assert_eq!(
        results[8],
        json!({"status": 200, "base64": "AAE=", "type": "image/png", "ttl": null, "etag": etag(4)})
    );
    let ttl = service
        .get("/v1/entries/a")
        .header("rustcache-ttl")
        .map(str::parse::<f64>);
    assert!(matches!(ttl, Some(Ok(ttl)) if ttl > 0.0 && ttl <= 60.0));
}

#[test]
fn a_batch_that_makes_no_sense_is_refused_as_a_whole() {
    let service = Service::new();
    let many: Vec<_> = (0..10_001).map(|_| json!({"op": "get", "key": "k"})).collect();
    for body in [
        json!({}),
        json!([]),
        json!({"operations": [{"op": "frobnicate", "key": "k"}]}),
        json!({"operations": [{"op": "get", "key": "k", "more": 1}]}),
        json!({"operations": many}),
        json!({"operations": [{"op": "set", "key": "k", "value": "v", "ttl": -1}]}),
    ] {
        assert_eq!(service.post("/v1/batch", &body).status, 400);
    }
}

#[test]
fn numbers_are_added_to() {
    let service = Service::new();
    let incr = |body| service.post("/v1/incr", &body);
    assert_eq!(incr(json!({"key": "n"})).json()["value"], 1);
    assert_eq!(incr(json!({"key": "n", "delta": -43})).json()["value"], -42);
    service.ask("PUT", "/v1/entries/t", &[("Content-Type", "text/plain")], b"x");
    assert_eq!(incr(json!({"key": "t"})).json()["code"], "NOT_AN_INTEGER");
    incr(json!({"key": "m", "delta": i64::MAX}));
    assert_eq!(incr(json!({"key": "m"})).json()["code"], "OVERFLOW");
    assert_eq!(incr(json!({"delta": 1})).status, 400);
}

#[test]
fn pages_of_keys_hold_each_key_once() {
    let service = Service::new();
    let sets: Vec<_> = (0..500)
        .map(|n| json!({"op": "set", "key": format!("k:{n}"), "value": n, "ttl": 60}))
        .collect();
    service.post("/v1/batch", &json!({"operations": sets}));
    service.post(
        "/v1/batch",
        &json!({"operations": [{"op": "set", "key_base64": "azr/", "value": 1}]}),
    );
    let all = |query: &str| {
        let mut keys = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = service
                .get(&format!("/v1/keys?limit=70&cursor={cursor}&{query}"))
                .json();
            let found = page["keys"].as_array().expect("keys").clone();
            assert!(found.len() <= 70);
            keys.extend(found);
            match page["cursor"].as_str() {
                None => break,
                Some(next) => next.clone_into(&mut cursor),
            }
        }
        let mut names: Vec<_> = keys
            .iter()
            .map(|key| format!("{}{}", key["key"], key["key_base64"]))
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
        keys
    };
    assert_eq!(all("prefix=k%3A").len(), 501);
    assert_eq!(all("match=k:1*").len(), 111);
    assert_eq!(all("match=k:??").len(), 90);
    assert_eq!(all("match=k:1*&prefix=k:12").len(), 11);
    assert_eq!(all("match=x*&prefix=k").len(), 0);
    let key = &all("match=k:499")[0];
    assert_eq!(
        (&key["bytes"], &key["tag"], &key["type"]),
        (&json!(3), &json!(2), &json!("application/json"))
    );
    for query in ["limit=0", "limit=10001", "cursor=x", "limit=abc"] {
        assert_eq!(service.get(&format!("/v1/keys?{query}")).status, 400, "{query}");
    }
}

#[test]
fn errors_do_not_repeat_all_that_was_sent() {
    let service = Service::new();
    let long = "?".repeat(1 << 20);
    for operation in [
        json!({"op": "set", "key": "k", "base64": long}),
        json!({"op": "set", "key": "k", "value": 1, "ttl": long}),
        json!({"op": "set", "key": "k", "base64": "", "type": long}),
        json!({"op": long}),
    ] {
        let answer = service.post("/v1/batch", &json!({"operations": [operation]}));
        assert!(
            answer.body.len() < 2000 && answer.text().contains("???"),
            "{}",
            answer.body.len()
        );
    }
}

#[test]
fn a_guard_compares_all_digits() {
    let service = Service::new();
    service.ask(
        "PUT",
        "/v1/entries/n",
        &[("Content-Type", "application/json")],
        b"12345678901234567890123",
    );
    let holds = |number: &str| {
        let body = format!("{{\"if\":[{{\"key\":\"n\",\"value\":{number}}}],\"operations\":[]}}");
        service
            .ask("POST", "/v1/transactions", &[], body.as_bytes())
            .status
            == 200
    };
    assert!(holds("12345678901234567890123") && holds("1.2345678901234567890123e22"));
    assert!(!holds("12345678901234567890124"));
}

/// From what each of them was answered, without a read in between.
#[test]
fn compare_and_set_goes_on_from_the_results_of_batches_and_transactions() {
    let service = Service::new();
    let set = |value: u32| json!({"op": "set", "key": "k", "value": {"n": value}});
    let etag_of = |answer: Answer, at: usize| {
        let etag = answer.json()["results"][at]["etag"].as_str().map(str::to_owned);
        etag.unwrap_or_else(|| panic!("{}", answer.text()))
    };
    let if_same = |etag: &str, value: u32| {
        let asked = json!({"if": [{"key": "k", "etag": etag}], "operations": [set(value), {"op": "get", "key": "k"}]});
        service.post("/v1/transactions", &asked)
    };
    let stored = etag_of(service.post("/v1/batch", &json!({"operations": [set(1)]})), 0);
    let get = json!({"operations": [{"op": "get", "key": "k"}]});
    assert_eq!(etag_of(service.post("/v1/batch", &get), 0), stored);
    let next = etag_of(if_same(&stored, 2), 0);
    assert_eq!(if_same(&stored, 3).status, 409);
    let read = etag_of(if_same(&next, 3), 1);
    let put = |etag: &str| {
        service
            .ask("PUT", "/v1/entries/k", &[("If-Match", etag)], b"v")
            .status
    };
    assert_eq!((put(&next), put(&read)), (412, 204));
    let expired = json!({"operations": [{"op": "set", "key": "k", "value": 1, "ttl": 0}]});
    for path in ["/v1/batch", "/v1/transactions"] {
        assert_eq!(
            service.post(path, &expired).json()["results"],
            json!([{"status": 204}])
        );
    }
}

/// However few it asks for at once.
#[test]
fn who_looks_for_what_is_rare_is_answered_soon() {
    let service = Service::new();
    for part in 0..3 {
        let sets: Vec<_> = (0..10_000)
            .map(|n| json!({"op": "set", "key": format!("item:{part}:{n}"), "value": n}))
            .collect();
        service.post("/v1/batch", &json!({"operations": sets}));
    }
    for query in ["match=*:9999", "match=*:77?", "prefix=item:1:12"] {
        let (mut pages, mut found) = (0, 0);
        let mut cursor = Some(String::new());
        while let Some(at) = cursor {
            let page = service
                .get(&format!("/v1/keys?limit=30&cursor={at}&{query}"))
                .json();
            let keys = page["keys"].as_array().expect("keys");
            assert!(keys.len() <= 30);
            pages += 1;
            found += keys.len();
            cursor = page["cursor"].as_str().map(str::to_owned);
        }
        let wanted = match query {
            "match=*:9999" => 3,
            "match=*:77?" => 30,
            _ => 111,
        };
        assert_eq!(found, wanted, "{query}");
        assert!(pages <= 3 + wanted / 15, "{query}: {pages} pages");
    }
}

#[test]
fn a_transaction_is_done_if_all_its_conditions_hold_and_not_at_all_otherwise() {
    let service = Service::new();
    let set = |key: &str, value| json!({"operations": [{"op": "set", "key": key, "value": value}]});
    service.post("/v1/batch", &set("stock", json!(3)));
    let buy = json!({
        "if": [{"key": "stock", "value": 3}, {"key": "order", "absent": true}],
        "operations": [
            {"op": "set", "key": "stock", "value": 2},
            {"op": "set", "key": "order", "value": "Ada", "ttl": 600},
            {"op": "delete", "key": "cart"},
            {"op": "get", "key": "stock"},
        ],
    });
    let answer = service.post("/v1/transactions", &buy);
    let etag = |key: &str| {
        let answer = service.get(&format!("/v1/entries/{key}"));
        answer.header("etag").expect("an etag").to_owned()
    };
    let (stock, order) = (etag("stock"), etag("order"));
    assert_eq!(
        answer.json(),
        json!({"applied": true, "results": [
            {"status": 204, "etag": stock},
            {"status": 204, "etag": order},
            {"status": 404},
            {"status": 200, "value": 2, "ttl": null, "etag": stock},
        ]})
    );
    let again = service.post("/v1/transactions", &buy);
    assert_eq!(
        (again.status, again.json()),
        (409, json!({"applied": false, "failed": [0, 1]}))
    );
    let etag = service
        .get("/v1/entries/order")
        .header("etag")
        .expect("an etag")
        .to_owned();
    let by_etag =
        json!({"if": [{"key": "order", "etag": etag}], "operations": [{"op": "delete", "key": "order"}]});
    assert_eq!(service.post("/v1/transactions", &by_etag).status, 200);
    assert_eq!(service.post("/v1/transactions", &by_etag).status, 409);
    let many: Vec<_> = (0..129).map(|_| json!({"op": "get", "key": "k"})).collect();
    let large = "x".repeat(1 << 20);
    for (body, status) in [
        (json!({"operations": many}), 400),
        (
            json!({"operations": [{"op": "set", "key": "k", "value": large + "x"}]}),
            413,
        ),
        (
            json!({"operations": [{"op": "set", "key": "k", "value": 1, "if": "absent"}]}),
            400,
        ),
        (json!({"if": [{"key": "k"}], "operations": []}), 400),
    ] {
        assert_eq!(service.post("/v1/transactions", &body).status, status);
    }
    assert_eq!(service.get("/v1/entries/k").status, 404);
}
