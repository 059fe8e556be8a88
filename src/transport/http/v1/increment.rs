//! `POST /v1/incr`: adds to a number.

use hyper::Request;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::body::Incoming;
use super::super::problem::Problem;
use super::super::reply::{Answer, json};
use super::super::service::Service;
use super::names::{Base64, Name, Ttl};
use super::read_json;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Increment", extend("oneOf" = [{ "required": ["key"] }, { "required": ["key_base64"] }]))]
pub(in super::super) struct Asked {
    key: Option<String>,
    key_base64: Option<Base64>,
    #[serde(default = "one")]
    delta: i64,
    #[serde(default)]
    ttl: Ttl,
}

fn one() -> i64 {
    1
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Sum {
    value: i64,
}

pub(in super::super) async fn answer(
    service: &Service,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let (asked, _held): (Asked, _) = read_json(service, request, Ok).await?;
    let key = Name::given(asked.key, asked.key_base64)?;
    let cache = service.backing.writable()?;
    let value = cache.increment(key, asked.delta, asked.ttl.0)?;
    service.settle().await?;
    Ok(json(&Sum { value }))
}
