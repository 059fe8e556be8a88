// Who is compared with objects for values: ours, which stores them as they are; a Redis client with JSON.parse around it, as its users write it;
// and JSON.parse alone, which is no rival but the floor.

import { createCache } from "../../node/index.js";
import { IOREDIS, IOREDIS_PIPELINING, type Rival, rivals } from "./rivals.js";

export const OURS_JSON = "rustcache Cache, objects";
export const IOREDIS_JSON = `${IOREDIS} + JSON.parse`;
export const IOREDIS_PIPELINING_JSON = `${IOREDIS_PIPELINING} + JSON.parse`;
export const PARSE = "JSON.parse alone";

function withJson(name: string): Rival<unknown> {
  const rival = rivals.find((each) => each.name === name);
  if (!rival) throw new Error(`there is no rival "${name}"`);
  return {
    ...rival,
    name: `${name} + JSON.parse`,
    async open(bytes, socket) {
      const store = await rival.open(bytes, socket);
      return {
        get: async (key) => JSON.parse((await store.get(key)) as string),
        set: (key, value) => store.set(key, JSON.stringify(value)),
        close: () => store.close(),
      };
    },
  };
}

export const jsonRivals: readonly Rival<unknown>[] = [
  {
    name: OURS_JSON,
    note: "`createCache({})`, `get` and `set` of objects",
    async open() {
      const cache = createCache({});
      await cache.start();
      return {
        get: (key) => cache.get(key),
        set: (key, value) => cache.set(key, value),
        close: () => cache.close(),
      };
    },
  },
  withJson(IOREDIS),
  withJson(IOREDIS_PIPELINING),
  {
    name: PARSE,
    note: "of text that is there already, behind an async function",
    async open() {
      const texts = new Map<string, string>();
      return {
        get: async (key) => JSON.parse(texts.get(key) as string),
        async set(key, value) {
          texts.set(key, JSON.stringify(value));
        },
        close: () => texts.clear(),
      };
    },
  },
];
