import { fileURLToPath } from "node:url";

export default {
  cacheHandler: fileURLToPath(new URL("./cache-handler.mjs", import.meta.url)),
  // No second copy in the heap of Next.
  cacheMaxMemorySize: 0,
};
