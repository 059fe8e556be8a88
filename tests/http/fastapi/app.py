"""The service that /kv stands in for: FastAPI on an LRU in a dict, with one worker. What is recorded in golden.json, and what bench/http compares with."""

import time
from collections import OrderedDict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

CAPACITY = 1_000_000
app = FastAPI()
entries: OrderedDict[str, tuple[Any, float | None]] = OrderedDict()


class Item(BaseModel):
    key: str
    value: Any
    ttl: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


@app.put("/kv/insert")
async def insert(item: Item):
    entries[item.key] = (item.value, None if item.ttl is None else time.monotonic() + item.ttl)
    entries.move_to_end(item.key)
    if len(entries) > CAPACITY:
        entries.popitem(last=False)
    return {"status": "success"}


@app.get("/kv/{key}")
async def get(key: str):
    value, deadline = entries.get(key, (None, 0.0))
    if deadline is not None and deadline <= time.monotonic():
        entries.pop(key, None)
        raise HTTPException(status_code=404, detail="Key not found")
    entries.move_to_end(key)
    return {"key": key, "value": value}


@app.delete("/kv/delete/{key}")
async def delete(key: str):
    entries.pop(key, None)
    return {"status": "success"}
