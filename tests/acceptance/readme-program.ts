// The program of the documentation, word for word but for the import's path. functional.ts runs it in a process of its own.

import { RustCache } from "../../node/index.js";

async function main() {
  // Start the cache
  await RustCache.start();

  // Insert a key with a 60-second expiration
  await RustCache.insert("user:1234", JSON.stringify({ name: "John", role: "admin" }), 60);

  // Retrieve a value
  const userJson = await RustCache.get("user:1234");
  console.log("User data:", JSON.parse(userJson));

  // Remove a key
  await RustCache.remove("user:1234");

  // Close the cache when done
  RustCache.close();
}

main().catch(console.error);
