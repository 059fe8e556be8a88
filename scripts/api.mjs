// Writes the API reference from the types and their comments: `npm run api` makes docs/api/, one page for the package and one for its adapters.
// `--check` writes nothing and fails when a page is not what it would write.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** The comment of a declaration as one line, without its tags. */
function comment(symbol) {
  return ts.displayPartsToString(symbol.getDocumentationComment(checker)).replace(/\s+/g, " ").trim();
}

function defaultOf(symbol) {
  const tag = symbol.getJsDocTags(checker).find(({ name }) => name === "default");
  return ts.displayPartsToString(tag?.text).replace(/\s+/g, " ").trim();
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

function describeMembers(type) {
  const all = members(type);
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

function describe(exported) {
  const symbol = meant(exported);
  const declarations = symbol.declarations ?? [];
  const words = comment(symbol);
  let text = `### ${exported.name}\n\n${words === "" ? "" : `${words}\n\n`}`;
  const functions = signatures(exported.name, declarations);
  if (functions.length > 0) text += `\`\`\`ts\n${functions.join("\n")}\n\`\`\`\n\n`;
  for (const declaration of declarations) {
    if (ts.isClassDeclaration(declaration)) {
      const made = declaration.members.find(ts.isConstructorDeclaration);
      const parent = declaration.heritageClauses?.map(source).join(" ") ?? "";
      const parameters = made?.parameters.map(source).join(", ");
      const lines = [
        `class ${exported.name}${parent === "" ? "" : ` ${parent}`}`,
        ...(parameters === undefined ? [] : [`new ${exported.name}(${parameters})`]),
      ];
      text += `\`\`\`ts\n${lines.join("\n")}\n\`\`\`\n\n`;
      text += describeMembers(checker.getDeclaredTypeOfSymbol(symbol));
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

function page(title, modules) {
  let text = `# ${title}\n\nMade from the types by \`npm run api\`. Times are in milliseconds unless a line says otherwise.\n\n`;
  for (const { name, file } of modules) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file));
    const exported = checker.getExportsOfModule(module).sort((a, b) => a.name.localeCompare(b.name, "en"));
    for (const each of exported) described.add(meant(each));
    if (modules.length > 1) text += `## ${name}\n\n`;
    text += exported.map(describe).join("");
  }
  return `${text.trimEnd()}\n`;
}

const [main, ...adapters] = entries;
const pages = new Map([
  ["docs/api/rustcache.md", page("rustcache: the API", [main])],
  ["docs/api/adapters.md", page("Adapters: the API", adapters)],
]);
const check = process.argv.includes("--check");
mkdirSync(join(root, "docs/api"), { recursive: true });
for (const [path, text] of pages) {
  const file = join(root, path);
  if (!check) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    process.stderr.write(
      `api: ${relative(process.cwd(), file)} is not what the types say: run "npm run api"\n`,
    );
    process.exitCode = 1;
  }
}
