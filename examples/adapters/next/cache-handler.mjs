// The module that `cacheHandler` in next.config.mjs names. With `dir`, what was rendered outlives the server.

import { createCacheHandler } from "rustcache/next";

export default createCacheHandler({ cache: { maxBytes: "256mb", dir: ".rustcache" } });
