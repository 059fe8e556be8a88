//! `/v1/entries`: values come back byte for byte with their type, and writes do what their conditions say.

use serde_json::json;

use crate::support::{Answer, Service};

fn put(service: &Service, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    service.ask("PUT", &format!("/v1/entries/{key}"), headers, body)
}

#[test]
fn any_bytes_under_any_key_come_back_with_their_type() {
    let service = Service::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (key, content_type, body, tag) in [
        ("plain", None, &bytes[..], "0"),
        ("empty", None, b"", "0"),
        ("a/b%2Fc", Some("image/png"), &bytes, "6"),
        (
            "%00%ff%0a",
            Some("text/plain; charset=utf-8"),
            "\u{e4}".as_bytes(),
            "1",
        ),
        ("j", Some("application/json"), b"{ \"a\": [1.0] }", "2"),
        ("m", Some("application/msgpack"), b"\x93\x01\x02\x03", "5"),
        ("u", Some("application/vnd.rustcache.tag-200"), b"\x00", "200"),
    ] {
        let headers: Vec<_> = content_type
            .map(|kind| ("Content-Type", kind))
            .into_iter()
            .collect();
        assert_eq!(put(&service, key, &headers, body).status, 201, "{key}");
        assert_eq!(put(&service, key, &headers, body).status, 204, "{key}");
        let answer = service.get(&format!("/v1/entries/{key}"));
        assert_eq!((answer.status, &answer.body[..]), (200, body), "{key}");
        let content_type = content_type.unwrap_or("application/octet-stream");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("rustcache-tag"), Some(tag));
        let head = service.ask("HEAD", &format!("/v1/entries/{key}"), &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(
            head.header("content-length").unwrap_or("0"),
            body.len().to_string()
        );
        assert_eq!(head.header("etag"), answer.header("etag"));
    }
    assert_eq!(
        service.get("/v1/entries/a%2Fb/c").status,
        200,
        "a slash may be encoded or not"
    );
}

#[test]
fn a_body_that_is_not_what_its_type_says_is_refused_and_changes_nothing() {
    let service = Service::new();
    put(&service, "k", &[], b"before");
    for (content_type, body) in [
        ("text/plain", &b"\xff"[..]),
        ("application/json", b"{"),
        ("nonsense", b"x"),
        ("application/vnd.rustcache.tag-6", b"x"),
    ] {
        let answer = put(&service, "k", &[("Content-Type", content_type)], body);
        assert_eq!(answer.status, 400, "{content_type}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(service.get("/v1/entries/k").body, b"before");
}

#[test]
fn an_entry_lives_as_long_as_its_ttl_or_its_max_age_says() {
    let service = Service::new();
    let max_age = |path: &str, headers: &[(&str, &str)]| {
        assert_eq!(put(&service, path, headers, b"v").status / 100, 2);
        let answer = service.get("/v1/entries/k");
        (
            answer.status,
            answer.header("cache-control").unwrap_or("").to_owned(),
        )
    };
    assert_eq!(max_age("k?ttl=100.5", &[]), (200, "max-age=100".to_owned()));
    assert_eq!(max_age("k", &[("Cache-Control", "max-age=60, public")]).0, 200);
    assert_eq!(
        max_age("k?ttl=never", &[("Cache-Control", "max-age=60")]),
        (200, "no-cache".to_owned())
    );
    assert_eq!(max_age("k?ttl=1e300", &[]).0, 200);
    assert_eq!(max_age("k?ttl=0", &[]).0, 404);
    for (path, headers) in [
        ("k?ttl=-1", &[][..]),
        ("k?ttl=nan", &[]),
        ("k?ttl=soon", &[]),
        ("k", &[("Cache-Control", "no-store")]),
        ("k", &[("Cache-Control", "max-age=x")]),
    ] {
        assert_eq!(
            put(&service, path, headers, b"v").status,
            400,
            "{path} {headers:?}"
        );
    }
}

#[test]
fn a_reader_who_has_it_is_not_sent_it_again() {
    let service = Service::new();
    put(&service, "k", &[], b"v");
    let etag = service
        .get("/v1/entries/k")
        .header("etag")
        .expect("an etag")
        .to_owned();
    let again = service.ask("GET", "/v1/entries/k", &[("If-None-Match", &etag)], b"");
    assert_eq!((again.status, again.header("etag")), (304, Some(&*etag)));
    put(&service, "k", &[], b"w");
    let changed = service.ask("GET", "/v1/entries/k", &[("If-None-Match", &etag)], b"");
    assert_eq!((changed.status, &changed.body[..]), (200, &b"w"[..]));
}

#[test]
fn conditions_decide_whether_something_is_written() {
    let service = Service::new();
    let (create, replace) = ([("If-None-Match", "*")], [("If-Match", "*")]);
    assert_eq!(put(&service, "k", &replace, b"1").status, 412);
    assert_eq!(put(&service, "k", &create, b"1").status, 201);
    assert_eq!(put(&service, "k", &create, b"2").status, 412);
    assert_eq!(put(&service, "k", &replace, b"3").status, 204);
    let etag = service
        .get("/v1/entries/k")
        .header("etag")
        .expect("an etag")
        .to_owned();
    let same = [("If-Match", &*etag)];
    assert_eq!(put(&service, "k", &same, b"4").status, 204);
    assert_eq!(put(&service, "k", &same, b"5").status, 412);
    assert_eq!(service.ask("DELETE", "/v1/entries/k", &same, b"").status, 412);
    assert_eq!(service.get("/v1/entries/k").body, b"4");
    assert_eq!(service.ask("DELETE", "/v1/entries/k", &replace, b"").status, 204);
    assert_eq!(service.ask("DELETE", "/v1/entries/k", &replace, b"").status, 412);
    assert_eq!(service.ask("DELETE", "/v1/entries/k", &[], b"").status, 404);
}

/// Compare and set by ETag: of several who count together, none is lost.
#[test]
fn nobody_overwrites_what_he_has_not_seen() {
    let service = Service::new();
    put(&service, "n", &[("Content-Type", "text/plain")], b"0");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = service.client();
                let mut done = 0;
                while done < 25 {
                    let seen = client.ask("GET", "/v1/entries/n", &[], b"");
                    let next = (seen.text().parse::<u64>().expect("a number") + 1).to_string();
                    let etag = seen.header("etag").expect("an etag");
                    let headers = [("Content-Type", "text/plain"), ("If-Match", etag)];
                    let put = client.ask("PUT", "/v1/entries/n", &headers, next.as_bytes());
                    done += usize::from(put.status == 204);
                }
            });
        }
    });
    assert_eq!(service.get("/v1/entries/n").body, b"100");
}

#[test]
fn looking_at_an_entry_neither_counts_nor_refreshes_it() {
    let service = Service::with(&["--max-items", "2"]);
    put(&service, "old", &[], b"1");
    put(&service, "new", &[], b"2");
    for _ in 0..3 {
        assert_eq!(service.get("/v1/entries/old?peek=true").status, 200);
        assert_eq!(service.ask("HEAD", "/v1/entries/old", &[], b"").status, 200);
    }
    assert_eq!(service.get("/v1/stats").json()["hits"], 0);
    put(&service, "newest", &[], b"3");
    assert_eq!(
        service.get("/v1/entries/old").status,
        404,
        "it was the least recently used"
    );
}

#[test]
fn entries_go_by_prefix() {
    let service = Service::new();
    for key in ["user:1", "user:2", "page:1"] {
        put(&service, key, &[], b"v");
    }
    assert_eq!(service.ask("DELETE", "/v1/entries", &[], b"").status, 400);
    let removed = service.ask("DELETE", "/v1/entries?prefix=user%3A", &[], b"");
    assert_eq!(removed.json()["removed"], 2);
    assert_eq!(
        service.ask("DELETE", "/v1/entries?prefix=", &[], b"").json()["removed"],
        1
    );
}

#[test]
fn what_is_too_long_says_how_long_it_may_be() {
    let service = Service::with(&["--max-key", "10", "--max-value", "100", "--max-bytes", "5000"]);
    for (key, len, status, code) in [
        ("k", 101, 413, "VALUE_TOO_LONG"),
        ("kkkkkkkkkkk", 1, 400, "KEY_TOO_LONG"),
        ("k", 100_000, 413, "BODY_TOO_LONG"),
    ] {
        let answer = put(&service, key, &[], &vec![0; len]);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (status, &code.into()),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn what_would_be_lost_of_a_value_is_refused() {
    let service = Service::new();
    service.ask("PUT", "/v1/entries/k", &[], b"abc");
    let put = |name: &str, value: &str| service.ask("PUT", "/v1/entries/k", &[(name, value)], b"Z");
    let coded = put("Content-Encoding", "gzip");
    assert_eq!(
        (coded.status, &coded.json()["code"]),
        (415, &"UNSUPPORTED_ENCODING".into())
    );
    assert_eq!(coded.header("accept-encoding"), Some("identity"));
    assert_eq!(put("Content-Range", "bytes 1-1/3").status, 400);
    assert_eq!(service.get("/v1/entries/k").body, b"abc");
    assert_eq!(put("Content-Encoding", "identity").status, 204);
}

#[test]
fn who_stores_is_told_the_etag_with_which_he_goes_on() {
    let service = Service::new();
    let mut etag = service
        .ask("PUT", "/v1/entries/n", &[], b"0")
        .header("etag")
        .expect("an etag")
        .to_owned();
    for number in 1..4 {
        assert_eq!(service.get("/v1/entries/n").header("etag"), Some(etag.as_str()));
        let weak = format!("W/{etag}");
        let value = number.to_string();
        let put = |etag: &str| service.ask("PUT", "/v1/entries/n", &[("If-Match", etag)], value.as_bytes());
        assert_eq!(put(&weak).status, 412, "a weak one names no bytes");
        let answer = put(&etag);
        assert_eq!(answer.status, 204);
        etag = answer.header("etag").expect("an etag").to_owned();
    }
    let known = service.ask(
        "GET",
        "/v1/entries/n",
        &[("If-None-Match", &format!("W/{etag}"))],
        b"",
    );
    assert_eq!(known.status, 304);
}

#[test]
fn what_expires_at_once_is_not_created_and_has_no_etag() {
    let service = Service::new();
    let answer = service.ask("PUT", "/v1/entries/k?ttl=0", &[], b"v");
    assert_eq!((answer.status, answer.header("etag")), (204, None));
}

#[test]
fn a_parameter_that_is_not_there_is_an_error() {
    let service = Service::new();
    let answer = service.ask("PUT", "/v1/entries/k?tll=10", &[], b"v");
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("tll") && answer.text().contains("ttl"),
        "{}",
        answer.text()
    );
    assert_eq!(service.get("/v1/entries/k").status, 404);
    for path in ["/v1/stats?x", "/v1/keys?limits=1", "/v1/entries/k?ttl=1"] {
        assert_eq!(service.get(path).status, 400, "{path}");
    }
    for path in ["/livez?x=1", "/metrics?x", "/v1/keys?&limit=1&"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
}

/// URLs have no segments `.` and `..`, however they are written.
#[test]
fn keys_that_no_path_can_have_are_named_by_the_query() {
    let service = Service::new();
    for (query, key) in [
        ("key=.", "."),
        ("key=..", ".."),
        ("key_base64=%2Fw%3D%3D", "%FF"),
        ("key=", ""),
    ] {
        let path = format!("/v1/entries/?{query}");
        assert_eq!(
            service.ask("PUT", &path, &[], key.as_bytes()).status,
            201,
            "{query}"
        );
        assert_eq!(service.get(&path).body, key.as_bytes());
        assert_eq!(service.get(&format!("/v1/entries/{key}")).body, key.as_bytes());
        assert_eq!(service.ask("HEAD", &path, &[], b"").status, 200);
        assert_eq!(service.ask("DELETE", &path, &[], b"").status, 204);
        assert_eq!(service.get(&path).status, 404);
    }
    for query in ["key=a&key_base64=YQ%3D%3D", "key_base64=%3F"] {
        assert_eq!(
            service.get(&format!("/v1/entries/?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn a_key_is_named_once() {
    let service = Service::new();
    put(&service, "foo", &[], b"v");
    for path in ["/v1/entries/foo?key=bar", "/v1/entries/foo?key_base64=YmFy"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            assert_eq!(service.ask(method, path, &[], b"").status, 400, "{method} {path}");
        }
    }
    assert_eq!(service.get("/v1/entries/foo").body, b"v");
}

#[test]
fn head_knows_what_get_knows() {
    let service = Service::new();
    put(&service, "k", &[], b"v");
    assert_eq!(
        service.ask("HEAD", "/v1/entries/k?peek=true", &[], b"").status,
        200
    );
    let etag = service
        .get("/v1/entries/k")
        .header("etag")
        .expect("an ETag")
        .to_owned();
    let known = [("If-None-Match", etag.as_str())];
    assert_eq!(
        service.ask("HEAD", "/v1/entries/k?peek=true", &known, b"").status,
        304
    );
    let parameters = |method: &str| {
        let document = service.get("/openapi.json").json();
        let parameters = &document["paths"]["/v1/entries/{key}"][method]["parameters"];
        let names = parameters
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["name"].to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(parameters("head"), parameters("get"));
}

#[test]
fn a_value_has_an_etag_for_each_form_it_comes_in_and_both_are_good_to_replace_it() {
    let service = Service::new();
    let packed = b"\x01\x05\0\0\0packed";
    let store = || {
        put(
            &service,
            "k",
            &[("Content-Type", "application/vnd.rustcache.tag-66")],
            packed,
        )
    };
    store();
    let (whole, br) = (("Accept-Encoding", "identity"), ("Accept-Encoding", "br"));
    let etag = |asks: (&str, &str)| {
        let answers = ["GET", "HEAD"].map(|method| service.ask(method, "/v1/entries/k", &[asks], b""));
        let etags = answers.map(|answer| answer.header("etag").expect("an ETag").to_owned());
        assert_eq!(etags[0], etags[1]);
        etags[0].clone()
    };
    let etags = [etag(whole), etag(br)];
    assert_ne!(etags[0], etags[1]);
    for (asks, has, status) in [(whole, 0, 304), (br, 1, 304), (whole, 1, 200), (br, 0, 200)] {
        let headers = [asks, ("If-None-Match", etags[has].as_str())];
        let answer = service.ask("GET", "/v1/entries/k", &headers, b"");
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
    for etag in &etags {
        let guarded = [("If-Match", etag.as_str())];
        let transaction = json!({"if": [{"key": "k", "etag": etag}], "operations": []});
        assert_eq!(service.post("/v1/transactions", &transaction).status, 200);
        assert_eq!(
            service.ask("PUT", "/v1/entries/k", &guarded, b"other").status,
            204
        );
        assert_eq!(
            service.ask("PUT", "/v1/entries/k", &guarded, b"again").status,
            412
        );
        store();
        assert_eq!(service.ask("DELETE", "/v1/entries/k", &guarded, b"").status, 204);
        store();
    }
}
