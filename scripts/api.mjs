// Writes the API reference from the types and their comments: `npm run api` makes docs/api/, a page for each area of the package and one for its adapters.
// `--check` writes nothing and fails when a page is not what it would write. Both fail when an option has no default, or no example that compiles.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** The entry of a subpath, in the sources: `./dist/adapters/keyv.js` is made of `node/adapters/keyv.ts`. */
const entries = Object.entries(exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath, { default: file }]) => ({
    name: subpath.replace(".", "rustcache"),
    file: join(root, file.replace(/^\.\/dist\/(.*)\.js$/, "node/$1.ts")),
  }));

const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(
  entries.map(({ file }) => file),
  options,
);
const checker = program.getTypeChecker();

/** What is on which page, in this order; `methods` are those of CacheView that are described there instead of with the class. Each export has its place here: a new one that has none is an error. */
const areas = {
  cache: {
    title: "The cache and its options",
    names: "createCache Cache CacheOptions DirectoryOptions NearOptions RestartPolicy CallOptions Handshake",
  },
  entries: {
    title: "Entries and values",
    names:
      "CacheView Key SetOptions ExpiryOptions TagOptions Tag Entry ValueOptions Codec CompressOptions Storable",
  },
  many: {
    title: "Batches and iteration",
    methods: "getMany setMany deleteMany hasMany clear keys values entries scan __@asyncIterator",
    names:
      "GetManyOptions UndecodableOptions SetItemOptions WalkOptions ScanOptions Match ScannedEntry ScannedPage",
  },
  namespaces: {
    title: "Namespaces and tags",
    methods: "namespace counts invalidateTag",
    names: "Namespace NamespaceOptions Counts",
  },
  loading: {
    title: "Reading through",
    methods: "getOrSet getOrSetMany wrap",
    names:
      "LoadOptions FreshnessOptions WrapOptions Loader LoadContext ManyLoader LoadManyContext ManyLoaded Wrapped",
  },
  events: {
    title: "Events, figures and tracing",
    names: "CacheEvents Degradation Evictions Stats LoadCounts RequestTrace LoadTrace",
  },
  errors: { title: "Errors", names: /^ErrorCode$|Error$/ },
  rustcache: { title: "RustCache", names: "RustCache RustCacheOptions RustCacheEvents BatchInsertItem" },
};

const problems = [];
/** The code of each example, by the name of the file that it would be. */
const examples = new Map();

/** The comment of a declaration as one line, without its tags. */
function comment(symbol) {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).replace(/\s+/g, " ").trim();
}

function defaultOf(symbol) {
  const tag = symbol.getJsDocTags(checker).find(({ name }) => name === "default");
  return ts.displayPartsToString(tag?.text).replace(/\s+/g, " ").trim();
}

/** The example of an exported name, as a block of code. Notes what an interface of options has no default or no example for. */
function exampleOf(name, symbol) {
  const tag = symbol.getJsDocTags(checker).find((each) => each.name === "example");
  const text = ts.displayPartsToString(tag?.text).trim();
  const declaration = symbol.declarations?.find(ts.isInterfaceDeclaration);
  if (declaration !== undefined && /(Options|Policy)$/.test(name)) {
    for (const member of declaration.members) {
      const option = checker.getSymbolAtLocation(member.name);
      if (member.questionToken !== undefined && defaultOf(option) === "")
        problems.push(`${name}.${option.name} has no @default`);
      if (!new RegExp(`\\b${option.name}\\b`).test(text))
        problems.push(`${name}.${option.name} is not in the @example of ${name}`);
    }
  }
  if (text === "") return "";
  examples.set(join(root, `node/example-${name}.ts`), text);
  return `\`\`\`ts\n${text}\n\`\`\`\n\n`;
}

/** Compiles the examples, each as a file beside the sources. */
function checkExamples() {
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  const virtual = new Map(
    [...examples].map(([file, text]) => {
      const code = text.replace(/"rustcache(\/[\w-]+)?"/g, (_, subpath) =>
        subpath === undefined ? '"./index.js"' : `"./adapters${subpath}.js"`,
      );
      return [file, code];
    }),
  );
  host.fileExists = (file) => virtual.has(file) || fileExists(file);
  host.readFile = (file) => virtual.get(file) ?? readFile(file);
  host.getSourceFile = (file, ...rest) =>
    virtual.has(file)
      ? ts.createSourceFile(file, virtual.get(file), ...rest)
      : getSourceFile.call(host, file, ...rest);
  const compiled = ts.createProgram([...virtual.keys()], { ...options, noUnusedLocals: false }, host);
  for (const file of virtual.keys()) {
    const source = compiled.getSourceFile(file);
    const found = [...compiled.getSyntacticDiagnostics(source), ...compiled.getSemanticDiagnostics(source)];
    for (const { messageText } of found)
      problems.push(
        `${relative(root, file)} does not compile: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
      );
  }
}

/** The `code` that an error class passes on. */
function errorCode(declaration) {
  return /"(ERR_RUSTCACHE_\w+)"/.exec(
    declaration.members.find(ts.isConstructorDeclaration)?.getText() ?? "",
  )?.[1];
}

/** The source of a piece of a declaration, on one line. */
function source(node) {
  return node === undefined ? "" : node.getText().replace(/\s+/g, " ");
}

function cell(text) {
  return text.replaceAll("|", "\\|");
}

function code(text) {
  return text === "" ? "" : `\`${cell(text)}\``;
}

function isMethod(node) {
  return ts.isMethodDeclaration(node) || ts.isMethodSignature(node) || ts.isFunctionDeclaration(node);
}

/** `name(parameters): result`, for each way to call it: an implementation that has overloads is none of them. */
function signatures(name, declarations) {
  const callable = declarations.filter(isMethod);
  const overloads = callable.filter((node) => node.body === undefined);
  return (overloads.length > 0 ? overloads : callable).map((node) => {
    const parameters = node.parameters.map((parameter) => source(parameter)).join(", ");
    const generic =
      node.typeParameters === undefined ? "" : `<${node.typeParameters.map(source).join(", ")}>`;
    return `${name}${generic}(${parameters})${node.type === undefined ? "" : `: ${source(node.type)}`}`;
  });
}

/** The members that are to be described here: not private, not of a class of Node, not of another one that has its own place on the page. */
function members(type) {
  return checker.getPropertiesOfType(type).filter((symbol) => {
    const declaration = symbol.declarations?.[0];
    const owner = declaration?.parent;
    if (owner !== undefined && ts.isClassDeclaration(owner) && owner.name !== undefined) {
      const home = checker.getSymbolAtLocation(owner.name);
      if (home !== type.symbol && described.has(home)) return false;
    }
    if (declaration === undefined || !declaration.getSourceFile().fileName.startsWith(join(root, "node/")))
      return false;
    return (
      !ts.isPrivateIdentifier(declaration.name ?? declaration) &&
      !(ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Private)
    );
  });
}

function memberName(symbol) {
  const { name } = symbol.declarations[0];
  return name === undefined ? symbol.name : source(name);
}

/** Whether a member of CacheView is one of those that an area names. Symbols such as asyncIterator have a number behind their names. */
function isOf({ methods = "" }, { name }) {
  return methods.split(" ").includes(name.replace(/@\d+$/, ""));
}

function describeMembers(type, isShown = (_symbol) => true) {
  const all = members(type).filter(isShown);
  if (all.length === 0) return "";
  const calls = all.filter((symbol) => symbol.declarations.some(isMethod));
  const fields = all.filter((symbol) => !calls.includes(symbol));
  let text = "";
  if (fields.length > 0) {
    const hasDefaults = fields.some((symbol) => defaultOf(symbol) !== "");
    text += hasDefaults ? "| | type | default | |\n|---|---|---|---|\n" : "| | type | |\n|---|---|---|\n";
    for (const symbol of fields) {
      const [declaration] = symbol.declarations;
      const type =
        declaration.type === undefined
          ? checker.typeToString(checker.getTypeOfSymbolAtLocation(symbol, declaration))
          : source(declaration.type).replace(declaration.questionToken ? / \| undefined$/ : "", "");
      const columns = [code(memberName(symbol)), code(type)];
      if (hasDefaults) columns.push(cell(defaultOf(symbol)));
      text += `| ${[...columns, cell(comment(symbol))].join(" | ")} |\n`;
    }
    text += "\n";
  }
  for (const symbol of calls) {
    for (const signature of signatures(memberName(symbol), symbol.declarations))
      text += `- \`${signature}\`\n`;
    const words = comment(symbol);
    if (words !== "") text += `  <br>${words}\n`;
  }
  return calls.length > 0 ? `${text}\n` : text;
}

/** Whether a constructor takes only what users have: one that takes a class or interface which is not exported is called by this package alone. */
function isForUsers(made) {
  return (made?.parameters ?? []).every(({ type }) => {
    if (type === undefined || !ts.isTypeReferenceNode(type)) return true;
    const named = meant(checker.getSymbolAtLocation(type.typeName));
    const isOurs = named.declarations?.[0].getSourceFile().fileName.startsWith(join(root, "node/"));
    return (
      !isOurs || described.has(named) || !(named.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))
    );
  });
}

function describe(exported) {
  const symbol = meant(exported);
  const declarations = symbol.declarations ?? [];
  const words = comment(symbol);
  let text = `### ${exported.name}\n\n${words === "" ? "" : `${words}\n\n`}`;
  const code = declarations.filter(ts.isClassDeclaration).map(errorCode)[0];
  if (code !== undefined) text += `\`code\`: \`${code}\`\n\n`;
  text += exampleOf(exported.name, symbol);
  const functions = signatures(exported.name, declarations);
  if (functions.length > 0) text += `\`\`\`ts\n${functions.join("\n")}\n\`\`\`\n\n`;
  for (const declaration of declarations) {
    if (ts.isClassDeclaration(declaration)) {
      const made = declaration.members.find(ts.isConstructorDeclaration);
      const parent = declaration.heritageClauses?.map(source).join(" ") ?? "";
      const parameters = isForUsers(made) ? made?.parameters.map(source).join(", ") : undefined;
      const lines = [
        `class ${exported.name}${parent === "" ? "" : ` ${parent}`}`,
        ...(parameters === undefined ? [] : [`new ${exported.name}(${parameters})`]),
      ];
      text += `\`\`\`ts\n${lines.join("\n")}\n\`\`\`\n\n`;
      const elsewhere = exported.name === "CacheView" ? Object.values(areas) : [];
      text += describeMembers(
        checker.getDeclaredTypeOfSymbol(symbol),
        (member) => !elsewhere.some((area) => isOf(area, member)),
      );
    } else if (ts.isInterfaceDeclaration(declaration)) {
      text += describeMembers(checker.getDeclaredTypeOfSymbol(symbol));
    } else if (ts.isTypeAliasDeclaration(declaration)) {
      text += `\`\`\`ts\ntype ${exported.name} = ${source(declaration.type)}\n\`\`\`\n\n`;
    } else if (ts.isVariableDeclaration(declaration)) {
      const type = checker.getTypeOfSymbolAtLocation(symbol, declaration);
      text +=
        members(type).length > 0 ? describeMembers(type) : `\`\`\`ts\n${source(declaration)}\n\`\`\`\n\n`;
    }
  }
  return text;
}

/** What an exported name stands for. */
function meant(exported) {
  return exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
}

/** Everything that has a place of its own on a page. */
const described = new Set();

function exportsOf(file) {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file));
  return checker.getExportsOfModule(module).sort((a, b) => a.name.localeCompare(b.name, "en"));
}

function page(title, text) {
  return `# ${title}\n\nMade from the types by \`npm run api\`. Times are in milliseconds unless a line says otherwise.\n\n${text.trimEnd()}\n`;
}

/** The exports of an area, in the order in which it names them. */
function ofArea({ names }, exported) {
  if (names instanceof RegExp) return exported.filter(({ name }) => names.test(name));
  return names.split(" ").flatMap((name) => {
    const found = exported.find((each) => each.name === name);
    if (found === undefined) problems.push(`${name} is not exported any more: take it out of the areas`);
    return found ?? [];
  });
}

function methodNames({ methods }) {
  if (methods === undefined) return "";
  const names = methods.split(" ").filter((name) => !name.startsWith("__"));
  return `${names.map(code).join(", ")}; `;
}

/** What an area tells of the methods that every cache and namespace has. */
function describeMethods(area) {
  if (area.methods === undefined) return "";
  const view = exported.find(({ name }) => name === "CacheView");
  const type = checker.getDeclaredTypeOfSymbol(meant(view));
  const found = members(type).filter((member) => isOf(area, member));
  if (found.length !== area.methods.split(" ").length)
    problems.push(`CacheView has not all of ${area.methods}: correct the areas of scripts/api.mjs`);
  const text = describeMembers(type, (member) => isOf(area, member));
  return `Of every cache and namespace, beside those of ${link("entries.md", view)}:\n\n${text}`;
}

/** The heading of an export, as a link points to it. */
function link(file, { name }) {
  return `[${name}](${file}#${name.toLowerCase()})`;
}

const [main, ...adapters] = entries;
const pages = new Map();
let contents = "";
const exported = exportsOf(main.file);
for (const each of [...exported, ...adapters.flatMap(({ file }) => exportsOf(file))])
  described.add(meant(each));
const placed = new Set();
for (const [name, area] of Object.entries(areas)) {
  const own = ofArea(area, exported);
  for (const each of own) placed.add(each);
  pages.set(`${name}.md`, page(area.title, describeMethods(area) + own.map(describe).join("")));
  contents += `## [${area.title}](${name}.md)\n\n${methodNames(area)}${own.map((each) => link(`${name}.md`, each)).join(" · ")}\n\n`;
}
for (const { name } of exported.filter((each) => !placed.has(each)))
  problems.push(`${name} is exported, and has no place in the areas of scripts/api.mjs`);
const ofAdapters = adapters.map(
  ({ name, file }) => `## ${name}\n\n${exportsOf(file).map(describe).join("")}`,
);
pages.set("adapters.md", page("Adapters", ofAdapters.join("")));
contents += "## [Adapters](adapters.md)\n\n";
contents += `${adapters.map(({ name }) => `[${name}](adapters.md#${name.replace("/", "")})`).join(" · ")}\n`;
pages.set("README.md", page("The API of the Node package", contents));
checkExamples();

const check = process.argv.includes("--check");
const directory = join(root, "docs/api");
mkdirSync(directory, { recursive: true });
const stray = readdirSync(directory).filter((name) => !pages.has(name));
for (const name of stray) {
  if (check) problems.push(`docs/api/${name} is not made any more: run "npm run api"`);
  else rmSync(join(directory, name));
}
for (const [name, text] of pages) {
  const file = join(directory, name);
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, "utf8") !== text)
    problems.push(`docs/api/${name} is not what the types say: run "npm run api"`);
}
for (const problem of problems) process.stderr.write(`api: ${problem}\n`);
if (problems.length > 0) process.exitCode = 1;
