//! The OpenAPI document says what there is: no more, no less.

use serde_json::Value;

use crate::support::{Service, command};

/// What is not there is 404 without the code of a key that is missing, or 405.
#[test]
fn each_path_of_the_document_is_there_with_the_methods_that_it_names_and_no_others() {
    let service = Service::new();
    let document = service.get("/openapi.json").json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "put", "post", "delete", "patch"] {
            // One has no end; to GET the other is to ask for a key of that name.
            if method == "get" && ["/v1/events", "/kv/insert"].contains(&path.as_str()) {
                continue;
            }
            let answer = service.ask(&method.to_uppercase(), &path.replace("{key}", "k"), &[], b"");
            let is_there = answer.status != 405
                && (answer.status != 404
                    || !["NOT_FOUND", "{\"detail\":\"Not Found\"}"]
                        .iter()
                        .any(|text| answer.text().contains(text)));
            assert_eq!(
                is_there,
                item.get(method).is_some(),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            let documented = item.get(method).map(|operation| &operation["responses"]);
            if let Some(documented) = documented {
                assert!(
                    documented.get(answer.status.to_string()).is_some(),
                    "{method} {path}: {}",
                    answer.status
                );
                asked += 1;
            }
        }
    }
    assert!(asked >= 17, "{asked}");
}

/// Those that any answer may have are not told of each.
#[test]
fn the_document_tells_of_the_headers_that_are_answered() {
    let any = [
        "content-type",
        "content-length",
        "content-security-policy",
        "x-content-type-options",
        "date",
        "connection",
    ];
    let service = Service::new();
    let secret = Service::start(command(&[]).env("RUSTCACHE_HTTP_TOKEN", "0123456789abcdef"));
    let document = service.get("/openapi.json").json();
    // As the Node client compresses: a tag, and what is inside.
    let compressed = [("Content-Type", "application/vnd.rustcache.tag-66")];
    let packed = b"\x01\x06\0\0\0packed";
    assert_eq!(
        service
            .ask("PUT", "/v1/entries/packed?ttl=60", &compressed, packed)
            .status,
        201
    );
    let etag = service
        .get("/v1/entries/packed")
        .header("etag")
        .expect("an ETag")
        .to_owned();
    for (service, method, path, headers, status) in [
        (&service, "GET", "packed", ("Accept-Encoding", "br"), 200),
        (&service, "HEAD", "packed", ("Accept-Encoding", "br"), 200),
        (&service, "GET", "packed", ("If-None-Match", etag.as_str()), 304),
        (&service, "HEAD", "packed", ("If-None-Match", etag.as_str()), 304),
        (&service, "GET", "packed", ("If-Match", "\"x\""), 412),
        (&service, "GET", "nowhere", ("X", "x"), 404),
        (&service, "PUT", "new", ("X", "x"), 201),
        (&service, "PUT", "new", ("Content-Encoding", "gzip"), 415),
        (&service, "PUT", "new", ("Content-Range", "bytes 0-0/9"), 400),
        (&service, "DELETE", "new", ("If-None-Match", "*"), 412),
        (&service, "DELETE", "new", ("X", "x"), 204),
        (&secret, "GET", "k", ("X", "x"), 401),
    ] {
        let answer = service.ask(method, &format!("/v1/entries/{path}"), &[headers], b"");
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        let operation = &document["paths"]["/v1/entries/{key}"][method.to_lowercase()];
        let told = operation["responses"][status.to_string()]["headers"].as_object();
        for (name, _) in &answer.headers {
            let mut names = told.into_iter().flatten().map(|(name, _)| name.to_lowercase());
            let is_told = any.contains(&name.as_str()) || names.any(|told| told == *name);
            assert!(is_told, "{method} {path} {status}: {name}");
        }
        let parameters = operation["parameters"].as_array().expect("parameters");
        let is_known = parameters.iter().any(|parameter| parameter["name"] == headers.0);
        assert!(is_known || headers.0 == "X", "{method}: {headers:?}");
    }
    let busy = &document["paths"]["/v1/batch"]["post"]["responses"]["503"];
    assert!(busy["headers"]["Retry-After"].is_object());
}

#[test]
fn all_that_the_document_refers_to_is_in_it() {
    let document = Service::new().get("/openapi.json").json();
    let mut left = vec![&document];
    let mut references = 0;
    while let Some(part) = left.pop() {
        match part {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').expect("within the document");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    references += 1;
                }
                left.extend(members.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    assert!(references > 50);
}

#[test]
fn the_page_for_people_takes_nothing_from_elsewhere() {
    let service = Service::new();
    for path in ["/docs", "/docs/ui.js", "/docs/ui.css"] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("://"), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
    }
}
