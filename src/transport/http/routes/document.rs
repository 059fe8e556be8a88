//! The OpenAPI document, made of the table and of the types of the bodies.

use hyper::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::super::code::Code;
use super::super::problem::{Detail, Written};
use super::table::PARTS;
use super::{ANY, Body, Content, GUARDED, Manner, Operation, Parameter, Path, Place, Value, of};

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// The document, as it is served.
pub(in super::super) fn document() -> Json {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut schemas = Schemas {
        given: settings().for_deserialize().into_generator(),
        told: settings().for_serialize().into_generator(),
    };
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for part in &PARTS {
        tags.push(json!({ "name": part.name, "description": part.text }));
        for path in part.paths {
            paths.insert(path.pattern.to_owned(), schemas.path(path, part.name));
        }
    }
    let mut components = schemas.given.take_definitions(true);
    components.extend(schemas.told.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rustcache",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A cache beside your process",
            "description": "Two APIs on one cache: /v1, and /kv for programs that know a FastAPI service with these routes. docs/http.md says more. A method that a path does not have is answered with 405 and Allow. Every answer has X-Content-Type-Options and Content-Security-Policy. Who may ask is decided by Host, Origin, Sec-Fetch-Site, and Authorization.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Where the daemon was given a token.",
                },
            },
            "schemas": components,
        },
    })
}

/// What is known of types, as they are given and as they are told.
struct Schemas {
    given: SchemaGenerator,
    told: SchemaGenerator,
}

impl Schemas {
    fn path(&mut self, path: &Path, part: &str) -> Json {
        let mut item = Map::new();
        if path.pattern.ends_with("{key}") {
            let text = match path.manner {
                Manner::Ours => "The key, percent-encoded. A / in it may stay what it is.",
                Manner::FastApi => "The key, percent-encoded, also a / in it.",
            };
            let schema = json!({ "type": "string", "minLength": 1 });
            let key = json!({ "name": "key", "in": "path", "required": true, "description": text, "schema": schema });
            item.insert("parameters".to_owned(), json!([key]));
        }
        for operation in path.operations {
            let told = self.operation(operation, path.manner, part);
            item.insert(operation.method.to_lowercase(), told);
        }
        Json::Object(item)
    }

    fn operation(&mut self, operation: &Operation, manner: Manner, part: &str) -> Json {
        let mut told = json!({
            "operationId": operation.name,
            "summary": operation.summary,
            "tags": [part],
            "responses": self.responses(operation, manner),
        });
        if operation.is_open {
            told["security"] = json!([]);
        }
        if !operation.parameters.is_empty() {
            told["parameters"] = operation.parameters.iter().map(parameter).collect();
        }
        let content = match &operation.body {
            Body::Nothing => return told,
            // Its type is any, and is kept.
            Body::Anything => {
                json!({ "application/octet-stream": {}, "text/plain": { "schema": { "type": "string" } }, JSON: {} })
            }
            Body::Json(schema, example) => {
                // A test reads all of them.
                let example: Json = serde_json::from_str(example).unwrap_or_default();
                json!({ JSON: { "schema": schema(&mut self.given), "example": example } })
            }
        };
        told["requestBody"] = json!({ "required": true, "content": content });
        told
    }

    fn responses(&mut self, operation: &Operation, manner: Manner) -> Json {
        let mut responses = Map::new();
        for told in operation.answers {
            let mut response = json!({ "description": told.text });
            match &told.content {
                Content::Nothing => {}
                Content::Entry => response["headers"] = entry_headers(true),
                Content::Known => response["headers"] = entry_headers(false),
                Content::Stored => response["headers"] = json!({ "ETag": etag_header() }),
                Content::Text(name) => {
                    response["content"] = json!({ *name: { "schema": { "type": "string" } } });
                }
                Content::Json(schema) => {
                    response["content"] = json!({ JSON: { "schema": schema(&mut self.told) } });
                }
            }
            if matches!(told.content, Content::Entry) && operation.method != "HEAD" {
                response["content"] = json!({ "*/*": {} });
            }
            responses.insert(told.status.to_string(), response);
        }
        let mut codes: Vec<Code> = operation.codes().collect();
        codes.sort_by_key(|code| (code.status(), code.name()));
        for same in codes.chunk_by(|one, other| one.status() == other.status()) {
            let problem = self.problem(same, operation, manner);
            let status = same[0].status().as_str().to_owned();
            match responses.get_mut(&status) {
                // There is another answer of this status.
                Some(response) => merge(response, problem),
                None => {
                    responses.insert(status, problem);
                }
            }
        }
        Json::Object(responses)
    }

    /// The problems of one status.
    fn problem(&mut self, codes: &[Code], operation: &Operation, manner: Manner) -> Json {
        let mut texts: Vec<&str> = codes.iter().map(|code| code.text()).collect();
        texts.dedup();
        let mut response = json!({ "description": texts.join(" ") });
        if let Some(headers) = codes.first().and_then(|code| problem_headers(code.status())) {
            response["headers"] = headers;
        }
        if operation.method == "HEAD" {
            return response;
        }
        let mut content = Map::new();
        // Who may not ask at all is told so in our manner, whatever he asks for.
        let is_any = |code: &Code| ANY.contains(code) || GUARDED.contains(code);
        if manner == Manner::Ours || codes.iter().any(is_any) {
            let mut names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
            names.dedup();
            let schema = of::<Written<'_>>(&mut self.told);
            let schema = json!({ "allOf": [schema, { "properties": { "code": { "enum": names } } }] });
            content.insert(PROBLEM.to_owned(), json!({ "schema": schema }));
        }
        let own = operation.problems.iter().copied().flatten();
        if manner == Manner::FastApi && own.copied().any(|own| codes.contains(&own)) {
            let schema = of::<Detail<'_>>(&mut self.told);
            content.insert(JSON.to_owned(), json!({ "schema": schema }));
        }
        response["content"] = Json::Object(content);
        response
    }
}

/// Adds texts and types of bodies. No problem has headers where there is another answer.
fn merge(response: &mut Json, other: Json) {
    let text = |of: &Json| of["description"].as_str().unwrap_or_default().to_owned();
    let both = format!("{} {}", text(response), text(&other));
    response["description"] = both.into();
    if let (Some(content), Json::Object(more)) = (response["content"].as_object_mut(), &other["content"]) {
        content.extend(more.clone());
    }
}

fn parameter(parameter: &Parameter) -> Json {
    let schema = match parameter.value {
        Value::Text => json!({ "type": "string" }),
        Value::Flag => json!({ "type": "boolean" }),
        Value::Number(number) => json!({
            "type": "integer",
            "minimum": number.least,
            "maximum": number.most,
            "default": number.by_default,
        }),
    };
    let place = if parameter.place == Place::Header {
        "header"
    } else {
        "query"
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::NeededQuery,
        "description": parameter.text,
        "schema": schema,
    })
}

fn etag_header() -> Json {
    json!({ "description": "Of value and type, and of the Content-Encoding, if there is one.", "schema": { "type": "string" } })
}

fn header(text: &str) -> Json {
    json!({ "description": text, "schema": { "type": "string" } })
}

fn entry_headers(with_body: bool) -> Json {
    let mut headers = json!({
        "ETag": etag_header(),
        "Cache-Control": header("max-age= whole seconds left, or no-cache."),
        "Rustcache-Ttl": header("Seconds left; absent if it does not expire."),
        "Rustcache-Tag": header("The value tag."),
        "Vary": header("Accept-Encoding, if the value is compressed."),
    });
    if with_body {
        let text = "How a compressed value is, for those whose Accept-Encoding names it.";
        headers["Content-Encoding"] = header(text);
    }
    headers
}

/// What is told beside the body of a problem.
fn problem_headers(status: StatusCode) -> Option<Json> {
    Some(match status {
        StatusCode::UNAUTHORIZED => json!({ "WWW-Authenticate": header("Bearer.") }),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => json!({ "Accept-Encoding": header("identity.") }),
        StatusCode::SERVICE_UNAVAILABLE => json!({ "Retry-After": header("Seconds.") }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_bodies_are_json() {
        for operation in super::super::paths().flat_map(|path| path.operations) {
            if let Body::Json(_, example) = operation.body {
                assert!(
                    serde_json::from_str::<Json>(example).is_ok(),
                    "{}",
                    operation.name
                );
            }
        }
    }

    #[test]
    fn the_limits_in_the_document_are_those_of_the_code() {
        let document = document();
        let limit = &document["paths"]["/v1/keys"]["get"]["parameters"][3]["schema"];
        assert_eq!(limit["maximum"], super::super::super::v1::keys::LIMIT.most);
        let operations = &document["components"]["schemas"]["Batch"]["properties"]["operations"];
        assert_eq!(operations["maxItems"], super::super::super::v1::batch::MOST);
    }
}
