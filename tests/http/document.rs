//! The OpenAPI document says what there is: no more, no less.

use serde_json::Value;

use crate::support::Service;

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
