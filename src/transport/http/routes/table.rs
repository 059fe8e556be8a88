//! The table itself: every path, what it may be asked, and what is said of that in the document. The types of the bodies, and the limits, are those of the code.

use super::super::code::Code;
use super::super::kv;
use super::super::top;
use super::super::traffic::Kind;
use super::super::v1::{admin, batch, increment, keys, transactions};
use super::{Asks, Body, Content, Manner, Operation, Parameter, Part, Path, Place, Told, Value, of};

/// What needs the cache.
const READS: &[Code] = &[Code::Loading];
const WRITES: &[Code] = &[Code::Loading, Code::DiskFailed, Code::NotDurable];
const HAS_BODY: &[Code] = &[Code::Timeout, Code::BodyTooLong];
const STORES: &[Code] = &[Code::KeyTooLong, Code::ValueTooLong, Code::TooLarge];

const fn header(name: &'static str, text: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Header,
        text,
        value: Value::Text,
    }
}

const fn query(name: &'static str, text: &'static str, value: Value) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        text,
        value,
    }
}

const fn told(status: u16, text: &'static str, content: Content) -> Told {
    Told {
        status,
        text,
        content,
    }
}

/// What most operations are: a GET of `/v1` without anything to it.
const GET: Operation = Operation {
    asks: Asks::Stats,
    method: "GET",
    name: "",
    summary: "",
    kind: Kind::Watch,
    is_open: false,
    parameters: &[],
    body: Body::Nothing,
    answers: &[],
    problems: &[],
};

/// A client takes `/v1/entries/.` for something else, encoded or not.
const KEY: Parameter = query(
    "key",
    "The key, where the path ends with /entries/: for . and .., which no path can have.",
    Value::Text,
);
const KEY_BASE64: Parameter = query("key_base64", "The same in base64.", Value::Text);

const PEEK: Parameter = query("peek", "Neither count nor refresh.", Value::Flag);
const IF_NONE_MATCH: Parameter = header("If-None-Match", "ETags that the reader has.");
const ACCEPT_ENCODING: Parameter = header("Accept-Encoding", "How a value that is kept compressed may come.");
const IF_MATCH: Parameter = header("If-Match", "ETags of which it must be one.");

const ENTRIES: &[Path] = &[Path {
    pattern: "/v1/entries/{key}",
    manner: Manner::Ours,
    operations: &[
        Operation {
            asks: Asks::GetEntry,
            name: "getEntry",
            summary: "Read",
            kind: Kind::Get,
            parameters: &[KEY, KEY_BASE64, PEEK, IF_NONE_MATCH, IF_MATCH, ACCEPT_ENCODING],
            answers: &[
                told(200, "The value, under its own Content-Type.", Content::Entry),
                told(304, "The reader has it.", Content::Known),
            ],
            problems: &[READS, &[Code::Miss, Code::NotStored]],
            ..GET
        },
        Operation {
            asks: Asks::HeadEntry,
            method: "HEAD",
            name: "headEntry",
            summary: "What a read would answer, without the body; neither counts nor refreshes",
            kind: Kind::Get,
            parameters: &[KEY, KEY_BASE64, PEEK, IF_NONE_MATCH, IF_MATCH, ACCEPT_ENCODING],
            answers: &[
                told(200, "It is there.", Content::Entry),
                told(304, "The reader has it.", Content::Known),
            ],
            problems: &[READS, &[Code::Miss, Code::NotStored]],
            ..GET
        },
        Operation {
            asks: Asks::PutEntry,
            method: "PUT",
            name: "putEntry",
            summary: "Store",
            kind: Kind::Set,
            parameters: &[
                KEY,
                KEY_BASE64,
                query(
                    "ttl",
                    "Seconds, with fractions; never; or keep: the deadline that the entry has.",
                    Value::Text,
                ),
                header("If-Match", "ETags of which what is there must be one; * for any."),
                header("If-None-Match", "* to create and never replace."),
                header(
                    "Cache-Control",
                    "max-age= or s-maxage=, which count without ttl; no-store is 400.",
                ),
                header("Content-Encoding", "None but identity: any other is 415."),
                header("Content-Range", "None: a part of a value is 400."),
            ],
            body: Body::Anything,
            answers: &[
                told(201, "Stored; the key was absent.", Content::Stored),
                told(
                    204,
                    "Stored; it was there. Without an ETag if it has expired already.",
                    Content::Stored,
                ),
            ],
            problems: &[
                WRITES,
                HAS_BODY,
                STORES,
                &[Code::NotStored, Code::UnsupportedEncoding],
            ],
            ..GET
        },
        Operation {
            asks: Asks::DeleteEntry,
            method: "DELETE",
            name: "deleteEntry",
            summary: "Remove",
            kind: Kind::Remove,
            parameters: &[
                KEY,
                KEY_BASE64,
                header("If-Match", "ETags of which what is there must be one."),
                header("If-None-Match", "ETags of which what is there must be none."),
            ],
            answers: &[told(204, "Removed.", Content::Nothing)],
            problems: &[WRITES, &[Code::Miss, Code::NotStored]],
            ..GET
        },
    ],
}];

const MANY: &[Path] = &[
    Path {
        pattern: "/v1/entries",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::DeleteEntries,
            method: "DELETE",
            name: "deleteEntries",
            summary: "Remove all whose keys begin with a prefix",
            kind: Kind::Clear,
            parameters: &[Parameter {
                place: Place::NeededQuery,
                ..query("prefix", "Empty: everything.", Value::Text)
            }],
            answers: &[told(
                200,
                "How many there were.",
                Content::Json(of::<admin::Removed>),
            )],
            problems: &[WRITES],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/keys",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::ListKeys,
            name: "listKeys",
            summary: "A page of the keys",
            kind: Kind::Keys,
            parameters: &[
                query("prefix", "What they begin with.", Value::Text),
                query(
                    "match",
                    "A pattern: * is any text, ? any character, \\ takes the meaning from the next.",
                    Value::Text,
                ),
                query("cursor", "From the page before.", Value::Text),
                query(
                    "limit",
                    "The most of a page, which ends with 1 MiB of keys, too.",
                    Value::Number(&keys::LIMIT),
                ),
            ],
            answers: &[told(
                200,
                "Some of them. Go on with cursor until it is null.",
                Content::Json(of::<keys::Page>),
            )],
            problems: &[READS],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/batch",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Batch,
            method: "POST",
            name: "batch",
            summary: "Operations, each done and answered by itself",
            kind: Kind::Batch,
            body: Body::Json(
                of::<batch::Asked>,
                r#"{"operations":[{"op":"set","key":"a","value":{"n":1},"ttl":60},{"op":"get","key":"a"}]}"#,
            ),
            answers: &[told(
                200,
                "An answer to each, in order.",
                Content::Json(of::<batch::Answered>),
            )],
            problems: &[WRITES, HAS_BODY],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/incr",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Increment,
            method: "POST",
            name: "increment",
            summary: "Add to an integer",
            kind: Kind::Increment,
            body: Body::Json(of::<increment::Asked>, r#"{"key":"visits","delta":1}"#),
            answers: &[told(200, "The sum.", Content::Json(of::<increment::Sum>))],
            problems: &[WRITES, HAS_BODY, STORES, &[Code::NotAnInteger, Code::Overflow]],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/transactions",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Transact,
            method: "POST",
            name: "transact",
            summary: "Operations that are all done, or none",
            kind: Kind::Transaction,
            body: Body::Json(
                of::<transactions::Asked>,
                r#"{"if":[{"key":"order:7","absent":true}],"operations":[{"op":"set","key":"order:7","value":"Ada"}]}"#,
            ),
            answers: &[
                told(200, "All are done.", Content::Json(of::<transactions::Applied>)),
                told(
                    409,
                    "None is done: these conditions did not hold.",
                    Content::Json(of::<transactions::Failed>),
                ),
            ],
            problems: &[WRITES, HAS_BODY, STORES, &[Code::TransactionTooLarge]],
            ..GET
        }],
    },
];

const DAEMON: &[Path] = &[
    Path {
        pattern: "/v1/stats",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Stats,
            name: "stats",
            summary: "Its numbers",
            answers: &[told(200, "By name.", Content::Json(admin::stats_schema))],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/top",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Top,
            name: "top",
            summary: "What is read most, and what takes the room, by sampling",
            parameters: &[query("limit", "The most of each.", Value::Number(&top::LIMIT))],
            answers: &[told(
                200,
                "As of the last minute or so.",
                Content::Json(of::<top::Told>),
            )],
            problems: &[READS],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/events",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Events,
            name: "events",
            summary: "A sample each second, and those of the last ten minutes first",
            parameters: &[header("Last-Event-ID", "Where to go on.")],
            answers: &[told(
                200,
                "Server-sent events: history, an array of samples; then sample. With Cache-Control: no-store.",
                Content::Text("text/event-stream"),
            )],
            ..GET
        }],
    },
    Path {
        pattern: "/v1/snapshot",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Snapshot,
            method: "POST",
            name: "snapshot",
            summary: "Write a snapshot now",
            kind: Kind::Snapshot,
            answers: &[told(204, "It is durable.", Content::Nothing)],
            problems: &[READS, &[Code::NoDirectory, Code::DiskFailed]],
            ..GET
        }],
    },
    Path {
        pattern: "/livez",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Live,
            name: "livez",
            summary: "Whether it lives",
            is_open: true,
            answers: &[told(200, "It does.", Content::Text("text/plain"))],
            ..GET
        }],
    },
    Path {
        pattern: "/readyz",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Ready,
            name: "readyz",
            summary: "Whether it can be used",
            is_open: true,
            answers: &[told(200, "It can.", Content::Text("text/plain"))],
            problems: &[&[Code::Loading, Code::DiskFailed, Code::Stopping]],
            ..GET
        }],
    },
    Path {
        pattern: "/metrics",
        manner: Manner::Ours,
        operations: &[Operation {
            asks: Asks::Metrics,
            name: "metrics",
            summary: "Everything that is counted, as OpenMetrics text",
            answers: &[told(
                200,
                "For Prometheus.",
                Content::Text("application/openmetrics-text"),
            )],
            ..GET
        }],
    },
];

const KV: &[Path] = &[
    Path {
        pattern: "/kv/insert",
        manner: Manner::FastApi,
        operations: &[Operation {
            asks: Asks::KvInsert,
            method: "PUT",
            name: "kvInsert",
            summary: "Store",
            kind: Kind::Set,
            body: Body::Json(
                of::<kv::Body<'_>>,
                r#"{"key":"user:1","value":{"name":"Ada"},"ttl":3600}"#,
            ),
            answers: &[
                told(200, "Stored.", Content::Json(kv::success_schema)),
                told(
                    422,
                    "Something is wrong with the body.",
                    Content::Json(kv::invalid_schema),
                ),
            ],
            problems: &[WRITES, HAS_BODY, STORES, &[Code::BadRequest]],
            ..GET
        }],
    },
    Path {
        pattern: "/kv/{key}",
        manner: Manner::FastApi,
        operations: &[Operation {
            asks: Asks::KvGet,
            name: "kvGet",
            summary: "Read",
            kind: Kind::Get,
            answers: &[told(200, "It is there.", Content::Json(kv::found_schema))],
            problems: &[READS, &[Code::Miss, Code::NotJson]],
            ..GET
        }],
    },
    Path {
        pattern: "/kv/delete/{key}",
        manner: Manner::FastApi,
        operations: &[Operation {
            asks: Asks::KvDelete,
            method: "DELETE",
            name: "kvDelete",
            summary: "Remove",
            kind: Kind::Remove,
            answers: &[told(
                200,
                "Removed, or not there.",
                Content::Json(kv::success_schema),
            )],
            // A key with a / in it is another path.
            problems: &[WRITES, &[Code::Miss]],
            ..GET
        }],
    },
];

/// Those that are asked for most come first.
pub(super) static PARTS: [Part; 4] = [
    Part {
        name: "entries",
        text: "One entry, with its value as the body",
        paths: ENTRIES,
    },
    Part {
        name: "kv",
        text: "As a FastAPI service has it",
        paths: KV,
    },
    Part {
        name: "many",
        text: "Several at once, in JSON",
        paths: MANY,
    },
    Part {
        name: "daemon",
        text: "How it is, and what it does",
        paths: DAEMON,
    },
];
