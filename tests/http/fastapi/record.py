"""Asks app.py all that is in cases() and writes what it answers to golden.json, which tests/http/fastapi.rs asks the daemon. With fastapi and uvicorn installed:

    python3 tests/http/fastapi/record.py
"""

import http.client
import json
import pathlib
import threading
import time

import fastapi
import pydantic
import uvicorn

from app import app

HERE = pathlib.Path(__file__).parent
JSON = "application/json"


def cases():
    def put(body, content_type=JSON, path="/kv/insert"):
        return ("PUT", path, content_type, body if isinstance(body, str) else json.dumps(body))

    yield from [
        put('{"key": "user:123","value": {"name": "Alice", "age": 30},"ttl": 3600}'),
        ("GET", "/kv/user:123", None, None),
        ("GET", "/kv/nonexistent", None, None),
        ("DELETE", "/kv/delete/user:123", None, None),
        ("DELETE", "/kv/delete/user:123", None, None),
        ("GET", "/kv/user:123", None, None),
    ]
    # Values of each type.
    for number, value in enumerate(
        ["null", "true", "false", "0", "-1", "1.5", "12345678901234567890", '""', '"text"', '"\\u00e4\\n\\"\\\\\\/\\ud83d\\ude00\\u007f\\u001f"',
         '"ä"', "[]", "{}", "[1, [2, {\"a\": null}]]", '{ "b" : 1 , "a" : [ true , false ] }'],
    ):
        yield put(f'{{"key": "v{number}", "value": {value}}}')
        yield ("GET", f"/kv/v{number}", None, None)
    # Keys.
    for key in ["", "a b", "ä", "\"", "\\", "insert", "delete", "%41", "a?b", "a#b", "\u0000", "\n"]:
        yield put({"key": key, "value": key})
    for path in ["/kv/a%20b", "/kv/%C3%A4", "/kv/%22", "/kv/%5C", "/kv/insert", "/kv/delete", "/kv/%2541", "/kv/a%3Fb", "/kv/a%23b", "/kv/%00", "/kv/%0A", "/kv/a%20b?x=1"]:
        yield ("GET", path, None, None)
    # TTL.
    for ttl in ["null", "0", "0.0", "60", "60.5", "1e3", '"60"', '" 60.5 "', "true", "1e300"]:
        yield put(f'{{"key": "t", "value": 1, "ttl": {ttl}}}')
        if ttl not in ("true",):
            yield ("GET", "/kv/t", None, None)
    for ttl in ["-1", "-0.5", "NaN", "Infinity", "-Infinity", '"soon"', '""', '"nan"', '"inf"', '"-1"', "[]", "{}", '"1_0"', '"0x10"', "1e999"]:
        yield put(f'{{"key": "t", "value": 1, "ttl": {ttl}}}')
    # Fields.
    for body in [
        "{}", '{"key": "k"}', '{"value": 1}', '{"ttl": 1}', '{"key": 1, "value": 1}', '{"key": null, "value": 1}', '{"key": true, "value": 1}',
        '{"key": ["a"], "value": 1}', '{"key": {"a": 1.0, "b": 1e16, "c": 1e-7, "d": 123456789.125}, "value": 1}', '{"key": 1.5, "value": 1, "ttl": "x"}',
        '{"key": "k", "value": 1, "more": 2}', '{"key": "a", "key": "k2", "value": 1, "value": 2}', '{"KEY": "k", "value": 1}',
        '{"key": "k", "value": 1, "ttl": -1e-7}', '{"key": 1, "value": "ä\\u0001\\ud83d\\ude00"}',
    ]:
        yield put(body)
    yield ("GET", "/kv/k2", None, None)
    # Not an object.
    for body in ["[]", '"text"', "1", "1.0", "null", "true", "[1, 2]", '[{"key": "k", "value": 1}]']:
        yield put(body)
    # Not JSON.
    for body in [
        "", " ", "{", "}", "{\"", "{\"key", "{\"key\"", "{\"key\":", "{\"key\": ", "{\"key\": \"k\"", "{\"key\": \"k\",", "{\"key\": \"k\", }", "{\"key\": \"k\" \"value\": 1}",
        "{key: 1}", "{'key': 1}", "[1,]", "[1 2]", "[1", "[", "{\"a\": [1, 2}", "nul", "tru", "nan", "-", "01", "1.", ".5", "+1", "1e", "--1", "{\"key\": \"k\", \"value\": 1} x",
        "{\"key\": \"k\nl\", \"value\": 1}", "{\"key\": \"\\x\", \"value\": 1}", "{\"key\": \"\\u12\", \"value\": 1}", "{\"key\": \"\\", "{\"key\": \"\\u", "\"ä", "ä", "{\"ä\": ä}",
        "{\"a\": 1,, \"b\": 2}", "{\"a\" 1}", "{,}", "[,]", "{\"a\": }", "\t\n\r {", "\ufeff{}", "{\"a\":1}}", "{1: 2}", "<html>", "key=k&value=v", "{\"key\": tru}", "[1, 2, 3,\n\n 4, ]",
        "{\"key\": \"k\", \"value\": 1,\n \"ttl\": x}", "Infinit", "-Infinit", "\x00",
    ]:
        yield put(body)
    # Types of bodies.
    good = '{"key": "k", "value": 1}'
    for content_type in ["text/plain", "application/x-www-form-urlencoded", None, "application/json; charset=utf-8", "application/problem+json", "APPLICATION/JSON", "application/jsonx", "json"]:
        yield put(good, content_type)
    yield put("ä", "text/plain")
    yield ("PUT", "/kv/insert", None, None)
    yield ("PUT", "/kv/insert", JSON, None)
    # Methods and paths.
    for method in ["POST", "DELETE", "PATCH", "OPTIONS", "HEAD"]:
        yield (method, "/kv/insert", None, None)
    for method in ["POST", "PUT", "DELETE", "HEAD"]:
        yield (method, "/kv/x", None, None)
    for method in ["GET", "POST", "PUT"]:
        yield (method, "/kv/delete/x", None, None)
    for method, path in [
        ("GET", "/kv"), ("GET", "/kv/"), ("GET", "/kvx"), ("GET", "/kv/a/b"), ("GET", "/nope"), ("PUT", "/nope"), ("DELETE", "/kv/delete"), ("DELETE", "/kv/delete/"),
        ("DELETE", "/kv/delete/a/b"), ("GET", "/KV/x"), ("GET", "/kv//x"), ("GET", "/kv/x/"), ("DELETE", "/kv/delete/x/"), ("PUT", "/kv/insert/"), ("GET", "/kv/x/?a=1"),
    ]:
        yield (method, path, None, None)


def main():
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    recorded = []
    for method, path, content_type, body in cases():
        headers = {} if content_type is None else {"Content-Type": content_type}
        try:
            connection.request(method, path, None if body is None else body.encode(), headers)
            response = connection.getresponse()
        except ConnectionError:
            # After a fault of the service, such as one that cannot write the NaN that it wants to complain about.
            connection.close()
            connection.request(method, path, None if body is None else body.encode(), headers)
            response = connection.getresponse()
        text = response.read().decode()
        answer = {"status": response.status, "body": text}
        for name in ["allow", "content-type", "location"]:
            if response.headers.get(name) is not None:
                answer[name] = response.headers[name].replace(f"http://127.0.0.1:{port}", "")
        recorded.append({"method": method, "path": path, "type": content_type, "sent": body, "answer": answer})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in recorded)
    versions = json.dumps({"fastapi": fastapi.__version__, "pydantic": pydantic.VERSION})
    (HERE / "golden.json").write_text(f'{{"versions": {versions}, "cases": [\n{lines}\n]}}\n')


main()
