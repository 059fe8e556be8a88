// Finding the binary, in trees of files as package managers leave them, and what is said when that fails.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { findBinary, type Machine } from "./binary.js";
import { whyEnded, whyNotRun } from "./binary-errors.js";
import { createCache, StartError } from "./index.js";
import { binaryIn, PLATFORMS, packageOf, platformsFor } from "./platforms.js";

const posix = { skip: process.platform === "win32" ? "has no such permissions" : false };
const directories: string[] = [];
after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** An installed tree: rustcache, which pins `pinned`, and of these platforms the packages that are `installed`. */
function installed(os: string, cpu: string, pinned: string[], installed: string[]) {
  const root = mkdtempSync(join(tmpdir(), "rustcache-tree-"));
  directories.push(root);
  const own = join(root, "node_modules/rustcache");
  mkdirSync(join(own, "dist"), { recursive: true });
  const optionalDependencies = Object.fromEntries(pinned.map((name) => [`@rustcache/${name}`, "1.2.3"]));
  writeFileSync(
    join(own, "package.json"),
    JSON.stringify({ name: "rustcache", version: "1.2.3", optionalDependencies }),
  );
  const files = new Map<string, string>();
  for (const name of installed) {
    const platform = PLATFORMS.find((each) => each.name === name)!;
    const file = join(root, "node_modules", packageOf(platform), binaryIn(platform));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "");
    chmodSync(file, 0o755);
    writeFileSync(
      join(root, "node_modules", packageOf(platform), "package.json"),
      JSON.stringify({ name: packageOf(platform) }),
    );
    files.set(name, file);
  }
  const machine: Machine = { os, cpu, module: pathToFileURL(join(own, "dist/binary.js")).href };
  return { root, own, files, machine };
}

const ALL = PLATFORMS.map((platform) => platform.name);

function notFound(machine: Machine): string {
  try {
    return assert.fail(`found ${findBinary(undefined, {}, machine)}`);
  } catch (error) {
    assert.ok(error instanceof StartError, `${error}`);
    return error.message;
  }
}

describe("the binary is found", () => {
  test("in the package of each platform that has one", () => {
    for (const { name, os, cpu } of PLATFORMS) {
      const { files, machine } = installed(os, cpu, ALL, [name]);
      assert.equal(findBinary(undefined, {}, machine), files.get(name), name);
    }
  });

  test("in the platform package before a local build, and there before the debug build", () => {
    const { own, files, machine } = installed("darwin", "arm64", ALL, ["darwin-arm64"]);
    const builds = ["release", "debug"].map((profile) => join(own, "target", profile, "rustcache"));
    for (const file of builds) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, "", { mode: 0o755 });
    }
    for (const file of [files.get("darwin-arm64")!, ...builds]) {
      assert.equal(findBinary(undefined, {}, machine), file);
      rmSync(file);
    }
    assert.throws(() => findBinary(undefined, {}, machine), StartError);
  });

  test("by the option before the variable, and by the variable before the package; an empty variable names none", () => {
    const { files, machine } = installed("linux", "x64", ALL, ["linux-x64"]);
    const [option, variable] = [process.execPath, join(machine.module.slice(7))];
    writeFileSync(variable, "");
    assert.equal(findBinary(option, { RUSTCACHE_BINARY: variable }, machine), option);
    assert.equal(findBinary(undefined, { RUSTCACHE_BINARY: variable }, machine), variable);
    assert.equal(findBinary(undefined, { RUSTCACHE_BINARY: "" }, machine), files.get("linux-x64"));
  });

  test("for the C library that is there, when both packages are installed", () => {
    const withGlibc = platformsFor("linux", "x64", (path) => path === "/lib64/ld-linux-x86-64.so.2");
    assert.deepEqual(
      withGlibc.map((platform) => platform.name),
      ["linux-x64", "linux-x64-musl"],
    );
    const withoutGlibc = platformsFor("linux", "arm64", () => false);
    assert.deepEqual(
      withoutGlibc.map((platform) => platform.name),
      ["linux-arm64-musl", "linux-arm64"],
    );
  });

  test(
    "without the permission to run it, which it is given; one that the user names keeps what it has",
    posix,
    () => {
      const { files, machine } = installed("linux", "x64", ALL, ["linux-x64"]);
      const file = files.get("linux-x64")!;
      chmodSync(file, 0o644);
      assert.equal(findBinary(file, {}, machine), file);
      assert.equal(statSync(file).mode & 0o777, 0o644);
      assert.equal(findBinary(undefined, {}, machine), file);
      assert.equal(statSync(file).mode & 0o777, 0o755);
    },
  );
});

describe("a binary that is not found: the error has", () => {
  test("each place that was looked at, and code and class of a failed start", () => {
    const { own, machine } = installed("linux", "x64", ALL, []);
    const text = notFound(machine);
    for (const place of [
      "the option binary: not given",
      "the environment variable RUSTCACHE_BINARY: not set",
      "the package @rustcache/linux-x64: not installed",
      "the package @rustcache/linux-x64-musl: not installed",
      `${join(own, "target/release/rustcache")}: not there`,
      `${join(own, "target/debug/rustcache")}: not there`,
    ])
      assert.ok(text.includes(place), `${place} is not in\n${text}`);
  });

  test("optional dependencies left out, a foreign lock file and the registry, when no platform package is there", () => {
    const text = notFound(installed("darwin", "x64", ALL, []).machine);
    assert.match(text, /--omit=optional/);
    assert.match(text, /remove node_modules and package-lock\.json/);
    assert.match(text, /registry .* does not have @rustcache\/darwin-x64@1\.2\.3/);
    assert.match(text, /cargo build --release/);
  });

  test("that node_modules is of another platform, when the package of one is there", () => {
    const text = notFound(installed("linux", "arm64", ALL, ["darwin-arm64"]).machine);
    assert.match(text, /@rustcache\/darwin-arm64 is installed, so node_modules comes from another platform/);
    assert.match(text, /npm ci/);
    assert.doesNotMatch(text, /omit=optional/);
  });

  test("which platforms the release has, when it has none for this one", () => {
    const text = notFound(installed("freebsd", "x64", ["linux-x64", "darwin-arm64"], ["linux-x64"]).machine);
    assert.match(
      text,
      /Release 1\.2\.3 has no binary for this platform; it has @rustcache\/linux-x64, @rustcache\/darwin-arm64/,
    );
    assert.match(notFound(installed("win32", "x64", ["linux-x64"], []).machine), /in WSL/);
  });

  test("the bundler, when the module is no longer in its package", () => {
    const { root, machine } = installed("linux", "x64", ALL, []);
    mkdirSync(join(root, "build"));
    writeFileSync(join(root, "package.json"), JSON.stringify({ name: "an-application" }));
    const text = notFound({ ...machine, module: pathToFileURL(join(root, "build/server.js")).href });
    assert.match(text, /declare "rustcache" as external/);
  });

  test("the build, when it is a checkout", () => {
    assert.match(
      notFound(installed("linux", "x64", [], []).machine),
      /nothing is built yet.*cargo build --release/,
    );
  });
});

describe("a binary that does not run: the error says", () => {
  test("chmod and noexec, when it may not be executed", posix, async () => {
    const file = join(installed("linux", "x64", ALL, []).root, "rustcache");
    writeFileSync(file, "", { mode: 0o644 });
    await assert.rejects(createCache({ binary: file }).start(), {
      code: "ERR_RUSTCACHE_START",
      message: /could not be run.*EACCES.*chmod \+x .*rustcache".*noexec/,
    });
  });

  test(
    "that its loader is missing, when the file is there and the system does not find it",
    posix,
    async () => {
      const file = join(installed("linux", "x64", ALL, []).root, "rustcache");
      writeFileSync(file, "#!/no/such/loader\n", { mode: 0o755 });
      await assert.rejects(createCache({ binary: file }).start(), {
        code: "ERR_RUSTCACHE_START",
        message: /ENOENT.*what the system loads it with is not/,
      });
    },
  );

  test(
    "that it is for another machine or damaged, when the system does not know its format",
    posix,
    async () => {
      const file = join(installed("linux", "x64", ALL, []).root, "rustcache");
      // The head of a program for another processor.
      writeFileSync(
        file,
        Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 8, 0]),
        {
          mode: 0o755,
        },
      );
      await assert.rejects(createCache({ binary: file }).start(), {
        code: "ERR_RUSTCACHE_START",
        message: /program for this machine \(\w+-\w+\).*install again/,
      });
      // Where the C library asks no shell.
      assert.match(whyNotRun(file, "ENOEXEC"), /program for this machine/);
    },
  );

  test("the PATH, the policy and the limits, each by its code, and nothing of a code it does not know", () => {
    assert.match(whyNotRun("no-such-program", "ENOENT"), /not in PATH/);
    assert.match(whyNotRun("/bin/sh", "EPERM"), /policy/);
    for (const code of ["EMFILE", "ENFILE", "EAGAIN", "ENOMEM"])
      assert.match(whyNotRun("/bin/sh", code), /limit/, code);
    assert.equal(whyNotRun("/bin/sh", "ERR_INVALID_ARG_TYPE"), "");
    assert.equal(whyNotRun("/bin/sh", undefined), "");
  });

  test("which C library is too old, when the loader says so and the process ends", posix, async () => {
    const file = join(installed("linux", "x64", ALL, []).root, "rustcache");
    const words = "rustcache: /lib/libc.so.6: version `GLIBC_2.99' not found (required by rustcache)";
    writeFileSync(file, `#!/bin/sh\necho "${words.replaceAll("`", "\\`")}" >&2\nexit 1\n`, { mode: 0o755 });
    assert.equal(spawnSync(file, { encoding: "utf8" }).stderr, `${words}\n`);
    await assert.rejects(createCache({ binary: file }).start(), {
      code: "ERR_RUSTCACHE_START",
      message: /GLIBC_2\.99' not found.*\nIt needs a newer C library/,
    });
    assert.equal(whyEnded("it exited with code 3"), "");
  });
});
