// A program on a directory that another process has. persistence.ts runs it in a process of its own.

import { DirectoryInUseError, RustCache } from "../../node/index.js";

try {
  console.log(await RustCache.insert("k", "v"));
} catch (error) {
  if (!(error instanceof DirectoryInUseError)) throw error;
  console.log(error.code, error.pid);
}
