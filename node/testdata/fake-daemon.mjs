// A daemon that misbehaves on order, for daemon.test.ts and loading.test.ts: `node fake-daemon.mjs MODE [ARGUMENT]`. It speaks as much of protocol
// version 2 as the tests need. What it is to do wrong is its first argument; see `modes`.

import { spawn } from "node:child_process";
import { appendFileSync, closeSync, readFileSync } from "node:fs";

const [mode, argument] = process.argv.slice(2);
const PREFACE = Buffer.from([0xf5, 0x52, 0x43, 0xf5]);
const [HELLO, PING, STATS, GET, SET, REMOVE, CONTAINS, SET_MANY] = [
  0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x14, 0x21,
];
const [OK, MISS, UNSUPPORTED_VERSION, DISK_FAILED, NOT_DURABLE] = [0, 1, 0x87, 0x8c, 0x8d];

function reply(id, status, body = "", tag = 1) {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(12 + bytes.length, 0);
  header.writeUInt32LE(id, 4);
  header[8] = status;
  header[10] = tag;
  return Buffer.concat([header, bytes]);
}

function hello() {
  const fields = Buffer.alloc(24);
  for (const at of [0, 2, 4]) fields.writeUInt16LE(2, at);
  fields.writeUInt32LE(65536, 12);
  fields.writeUInt32LE(1 << 26, 16);
  fields.writeUInt32LE(67239936, 20);
  return Buffer.concat([fields, Buffer.from("fake 1")]);
}

/** Answers HELLO, misses every GET, accepts everything else, ends with its input. */
function serve(on = {}) {
  let rest = Buffer.alloc(0);
  let prefaced = false;
  process.stdin.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    if (!prefaced && rest.length >= 4) {
      rest = rest.subarray(4);
      prefaced = true;
    }
    while (prefaced && rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE(0)) {
      const [id, op] = [rest.readUInt32LE(4), rest[8]];
      rest = rest.subarray(4 + rest.readUInt32LE(0));
      if (on[op]) on[op](id);
      else if (op === HELLO) process.stdout.write(Buffer.concat([PREFACE, reply(id, OK, hello())]));
      else process.stdout.write(reply(id, op === GET ? MISS : OK));
    }
  });
  process.stdin.on("end", on.end ?? (() => process.exit(0)));
}

/**
 * Is loading its directory: `ping` is called when it is asked for a sign of life, `asked` with the times that it was asked for STATS, which
 * tell of `step` bytes for each time. What they are given ends the loading.
 */
function load({ ping = () => {}, asked = () => {}, step = 0 }) {
  const held = [];
  let times = 0;
  const loaded = () => {
    for (const [id, op] of held.splice(0)) process.stdout.write(reply(id, op === GET ? MISS : OK));
  };
  serve({
    [CONTAINS]: (id) => held.push([id, CONTAINS]),
    [PING](id) {
      process.stdout.write(reply(id, OK));
      ping(loaded);
    },
    [STATS](id) {
      const stats = { loading: 1, loaded_bytes: ++times * step, load_bytes: 1000, loaded_entries: 0 };
      process.stdout.write(reply(id, OK, JSON.stringify(stats), 2));
      asked(times, loaded);
    },
    // Nothing else may come before it is loaded.
    [GET]: (id) => (held.length > 0 ? process.exit(9) : process.stdout.write(reply(id, MISS))),
  });
}

/** How often this was called with the same file. */
function count() {
  appendFileSync(argument, "x");
  return readFileSync(argument).length;
}

const modes = {
  serve: () => serve(),
  /** Says why and exits. */
  exit() {
    process.stderr.write("first line\nerror: the disk is on fire\n");
    process.exit(3);
  },
  /** Reads, and says nothing. */
  silent: () => process.stdin.resume(),
  /** Prints what is no protocol. */
  garbage() {
    process.stdin.resume();
    process.stdout.write("Listening on port 7070\n");
  },
  refuse: () =>
    serve({
      [HELLO](id) {
        process.stdout.write(
          Buffer.concat([PREFACE, reply(id, UNSUPPORTED_VERSION, "you speak 2, I speak 9")]),
        );
      },
    }),
  /** Refuses a SET and the second item of a SET_MANY, and does a REMOVE that it cannot write down: the disk has failed. */
  "disk-failed": () =>
    serve({
      [SET]: (id) => process.stdout.write(reply(id, DISK_FAILED, "journal-1: no space left")),
      [SET_MANY]: (id) => process.stdout.write(reply(id, OK, Buffer.from([2, 0, 0, 0, OK, DISK_FAILED]))),
      [REMOVE]: (id) => process.stdout.write(reply(id, NOT_DURABLE, "journal-1: no space left")),
    }),
  /** Many lines on stderr, the last without an end. */
  noisy() {
    for (let i = 1; i <= 50; i++) process.stderr.write(`line ${i}\n`);
    process.stderr.write("no newline");
    serve({ [SET]: () => process.exit(1) });
  },
  /** Dies when asked to store something. */
  "crash-on-set": () => serve({ [SET]: () => process.kill(process.pid, "SIGKILL") }),
  /** Answers one SET, and dies right after: the reply must still be read. */
  "answer-and-crash": () =>
    serve({
      [SET](id) {
        process.stdout.write(reply(id, OK), () => process.exit(9));
      },
    }),
  /** Nonsense in the middle of the stream. */
  "garbage-on-set": () => serve({ [SET]: () => process.stdout.write("\xff".repeat(100)) }),
  /** Never answers a SET. */
  "hang-on-set": () => serve({ [SET]() {} }),
  /** Closes its output and lives on. */
  "mute-on-set": () =>
    serve({
      [SET]() {
        process.stdout.end();
        setInterval(() => {}, 1000);
      },
      end() {},
    }),
  /** Closes its input and lives on. */
  "deaf-on-get": () =>
    serve({
      [GET](id) {
        process.stdin.destroy();
        // Node itself leaves the descriptors of stdio open.
        process.stdin.once("close", () => closeSync(0));
        process.stdout.write(reply(id, MISS));
        setInterval(() => {}, 1000);
      },
      end() {},
    }),
  /** Ends neither with its input nor at SIGTERM. */
  stubborn() {
    process.on("SIGTERM", () => process.stderr.write("not me\n"));
    serve({
      end() {
        setInterval(() => {}, 1000);
      },
    });
  },
  /** Leaves a grandchild behind that holds its pipes. */
  "grandchild-on-set": () =>
    serve({
      [SET]() {
        const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 20000)"], { stdio: "inherit" });
        child.on("spawn", () => {
          process.stderr.write(`grandchild ${child.pid}\n`, () => process.exit(1));
        });
      },
    }),
  /** The first start works until a SET; the next two fail; the fourth serves. */
  "fails-twice"() {
    const start = count();
    if (start === 2 || start === 3) process.exit(5);
    serve(start === 1 ? { [SET]: () => process.exit(4) } : {});
  },
  /** Works once, until a SET; never again. */
  "works-once"() {
    if (count() > 1) process.exit(6);
    serve({ [SET]: () => process.exit(4) });
  },
  /** Loads its directory until it gets a PING. */
  loading: () => load({ ping: (loaded) => loaded(), step: 1 }),
  /** Loads its directory until it gets a PING, and finds damage. */
  "loading-fails": () =>
    load({
      ping() {
        process.stderr.write("rustcache: there is damage: journal-1\n", () => process.exit(5));
      },
    }),
  /** Finds damage while a PING is unanswered, or cannot have its directory while STATS are. */
  "loading-fails-unanswered"() {
    const end = (line, code) => () => process.stderr.write(`rustcache: ${line}\n`, () => process.exit(code));
    serve({
      [CONTAINS]() {},
      [PING]: end("there is damage: journal-1", 5),
      [STATS]: end("the directory /d is in use by process 4711: use another directory", 6),
    });
  },
  /** Comes no further. */
  "loading-hangs": () => load({}),
  /** Takes until it was asked for its progress a second time. */
  "loading-asked": () =>
    load({
      asked(times, loaded) {
        if (times === 2) loaded();
      },
    }),
  /** Takes until it was asked for its progress three times. */
  "loading-long": () =>
    load({
      asked(times, loaded) {
        if (times === 3) loaded();
      },
      step: 100,
    }),
  /** Works until a SET, then it cannot have its directory. */
  "loses-its-directory"() {
    if (count() > 1) {
      process.stderr.write("rustcache: the directory /d is in use by process 4711: use another directory\n");
      process.exit(6);
    }
    serve({ [SET]: () => process.exit(5) });
  },
};

modes[mode]();
