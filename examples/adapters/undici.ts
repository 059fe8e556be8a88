// undici with an HTTP cache in rustcache: the second request does not reach the server.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { UndiciStore } from "rustcache/undici";
import { Agent, interceptors, request } from "undici";

let asked = 0;
const server = createServer((_request, response) => {
  response.setHeader("cache-control", "public, max-age=60");
  response.end(`answer ${++asked}`);
}).listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

const store = new UndiciStore({ cache: { maxBytes: "256mb" } });
const agent = new Agent();
const dispatcher = agent.compose(interceptors.cache({ store }));
console.log(await (await request(url, { dispatcher })).body.text());
console.log(await (await request(url, { dispatcher })).body.text());

await agent.close();
await store.close();
server.close();

// > answer 1
// > answer 1
