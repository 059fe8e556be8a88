// The Node side of test_interop.py: opens a directory, does what the program on stdin says, prints its result as JSON.

const { createCache } = await import(process.argv[2]);
const cache = createCache({ dir: process.argv[3] });
let program = "";
for await (const piece of process.stdin) program += piece;
const AsyncFunction = (async () => {}).constructor;
const result = await new AsyncFunction("cache", program)(cache);
await cache.close();
console.log(JSON.stringify(result ?? null));
