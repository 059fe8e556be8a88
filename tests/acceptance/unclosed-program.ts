// A program that forgets close(). functional.ts runs it in a process of its own and expects it to end by itself.

import { RustCache } from "../../node/index.js";

const stored = await RustCache.insert("k", "v");
console.log(`stored ${stored}, read ${await RustCache.get("k")}`);
// Nobody awaits these: they must neither keep the program alive for ever nor end it with an unhandled rejection.
void RustCache.insert("late", "v");
