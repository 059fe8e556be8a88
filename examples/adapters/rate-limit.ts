// express-rate-limit over rustcache: 3 requests a minute for each client, counted in one place.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import express from "express";
import { rateLimit } from "express-rate-limit";
import { RateLimitStore } from "rustcache/rate-limit";

const store = new RateLimitStore({ cache: { maxItems: 1_000_000 } });
const app = express();
app.use(rateLimit({ windowMs: 60_000, limit: 3, store }));
app.get("/", (_request, response) => {
  response.send("hello");
});

const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
for (let i = 1; i <= 4; i++) console.log(i, (await fetch(`http://127.0.0.1:${port}/`)).status);

server.close();
server.closeAllConnections();
await store.shutdown();

// > 1 200
// > 2 200
// > 3 200
// > 4 429
