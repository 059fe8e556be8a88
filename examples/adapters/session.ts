// express-session over rustcache: sessions on disk, which outlive the application. Without `dir` they are in memory.

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import express from "express";
import session from "express-session";
import { SessionStore } from "rustcache/session";

declare module "express-session" {
  interface SessionData {
    name: string;
  }
}

/** The application, from its start to its end; resolves with what its only visitor got. */
async function run(path: string, cookie?: string) {
  const store = new SessionStore({ cache: { dir: "sessions" } });
  const app = express();
  app.use(session({ secret: "keep me elsewhere", resave: false, saveUninitialized: false, store }));
  app.get("/login", (request, response) => {
    request.session.name = "Ada";
    response.send("welcome");
  });
  app.get("/", (request, response) => {
    response.send(`hello ${request.session.name ?? "stranger"}`);
  });
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  const response = await fetch(url, { headers: cookie === undefined ? {} : { cookie } });
  console.log(await response.text());
  server.close();
  server.closeAllConnections();
  await store.close();
  return response.headers.get("set-cookie")?.split(";")[0];
}

const cookie = await run("/login");
await run("/", cookie);
await run("/");

// > welcome
// > hello Ada
// > hello stranger
