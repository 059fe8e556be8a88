// Whether each public item of the crate has an example in its documentation: `node scripts/examples.mjs`. It asks rustdoc, which tells what is
// public only in the words of the nightly compiler (RUSTCACHE_NIGHTLY names another than `nightly`). That the examples run is what `cargo test --doc` is for.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const toolchain = process.env.RUSTCACHE_NIGHTLY ?? "nightly";
const target = join(process.env.CARGO_TARGET_DIR ?? "target", "examples");

const made = spawnSync(
  "cargo",
  [
    `+${toolchain}`,
    "rustdoc",
    "--quiet",
    "--locked",
    "--lib",
    "--all-features",
    "--target-dir",
    target,
    "--",
    "-Zunstable-options",
    "--output-format=json",
    "--cap-lints=allow",
  ],
  { stdio: ["ignore", "inherit", "inherit"] },
);
if (made.status !== 0) process.exit(made.status ?? 1);

const { index, root, paths, format_version } = JSON.parse(
  readFileSync(join(target, "doc/rustcache.json"), "utf8"),
);

const item = (id) => index[id];
// Attributes are text or, in later formats, objects.
const isHidden = ({ attrs }) => attrs.some((attribute) => /doc.*hidden/.test(JSON.stringify(attribute)));

const seen = new Set();
const without = [];
const look = (found, path) => {
  seen.add(found.id);
  if (found.docs?.includes("```")) return;
  const { filename, begin } = found.span ?? { filename: "?", begin: [0] };
  without.push(`${filename}:${begin[0]}: ${path}`);
};

const visit = (id, path) => {
  const found = item(id);
  if (!found || seen.has(id) || isHidden(found)) return;
  const [kind] = Object.keys(found.inner);
  const inner = found.inner[kind];
  if (kind === "use") {
    visit(inner.id, path);
    return;
  }
  const name = `${path}::${found.name}`;
  look(found, name);
  if (kind === "module") for (const child of inner.items) visit(child, name);
  for (const block of inner.impls ?? []) {
    const { trait, items } = item(block).inner.impl;
    if (trait) continue;
    for (const member of items.map(item)) {
      if (member.visibility === "public" && !isHidden(member)) look(member, `${name}::${member.name}`);
    }
  }
  if (kind === "trait") for (const member of inner.items.map(item)) look(member, `${name}::${member.name}`);
};

for (const child of item(root).inner.module.items) visit(child, paths[root].path.join("::"));

// A format that this does not understand shows few items or none.
if (seen.size < 200) {
  console.error(
    `rustdoc's JSON, format ${format_version}, shows ${seen.size} public items: this script understands it no more`,
  );
  process.exit(1);
}
for (const line of without) console.error(`${line} has no example`);
console.log(`${seen.size - without.length} of ${seen.size} public items have an example`);
process.exit(without.length === 0 ? 0 : 1);
