// Shows openapi.json, and sends what is filled in. No text of it is ever taken for HTML.
"use strict";

const METHODS = ["get", "head", "put", "post", "delete"];

/** An element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolve(api, part) {
  if (part.$ref === undefined) return part;
  return part.$ref
    .slice(2)
    .split("/")
    .reduce((at, name) => at[name], api);
}

function answers(api, operation) {
  const list = element("dl");
  for (const [status, answer] of Object.entries(operation.responses)) {
    list.append(element("dt", {}, status), element("dd", {}, resolve(api, answer).description));
  }
  return list;
}

function field(parameter) {
  const input = element("input", { name: `${parameter.in}:${parameter.name}`, required: parameter.required === true });
  const about = `${parameter.in}${parameter.required ? ", needed" : ""}: ${parameter.description ?? ""}`;
  return element("label", {}, element("code", {}, parameter.name), input, element("small", {}, about));
}

function bodyFields(operation) {
  const content = operation.requestBody?.content;
  if (content === undefined) return [];
  const types = Object.keys(content);
  const example = content["application/json"]?.example;
  const type = element("input", { name: "type", value: types.at(-1) });
  const body = element("textarea", {
    name: "body",
    spellcheck: false,
    value: example === undefined ? "" : JSON.stringify(example, null, 2),
  });
  return [element("label", {}, "Content-Type", type), element("label", {}, "Body", body)];
}

async function send(form, method, path, output) {
  const fields = new FormData(form);
  const query = new URLSearchParams();
  const headers = {};
  let url = path;
  for (const [name, value] of fields) {
    const [place, ...rest] = name.split(":");
    const parameter = rest.join(":");
    if (place === "path") url = url.replace(`{${parameter}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (place === "query") query.set(parameter, value);
    else if (place === "header") headers[parameter] = value;
  }
  if (query.size > 0) url += `?${query}`;
  const token = document.getElementById("token").value;
  if (token !== "") headers.Authorization = `Bearer ${token}`;
  const body = fields.get("body") ?? undefined;
  if (body !== undefined) headers["Content-Type"] = fields.get("type");
  const began = performance.now();
  const answer = await fetch(url, { method: method.toUpperCase(), headers, body });
  const took = (performance.now() - began).toFixed(1);
  const lines = [`${answer.status} ${answer.statusText}   ${took} ms   ${method.toUpperCase()} ${url}`];
  for (const [name, value] of answer.headers) lines.push(`${name}: ${value}`);
  output.textContent = `${lines.join("\n")}\n\n`;
  if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
    output.textContent += await answer.text();
    return;
  }
  // It has no end: the first of it will do.
  const reader = answer.body.getReader();
  const first = await reader.read();
  output.textContent += `${new TextDecoder().decode(first.value)}\n… goes on`;
  await reader.cancel();
}

function show(api, method, path, operation, shared) {
  const output = element("pre", { hidden: true, ariaLive: "polite" });
  const parameters = [...shared, ...(operation.parameters ?? [])];
  const form = element(
    "form",
    {},
    ...parameters.map(field),
    ...bodyFields(operation),
    element("button", {}, "Send"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    send(form, method, path, output).catch((error) => {
      output.textContent = String(error);
    });
  });
  return element(
    "details",
    { id: operation.operationId },
    element(
      "summary",
      {},
      element("span", { className: "method" }, method.toUpperCase()),
      element("code", {}, path),
      ` ${operation.summary}`,
    ),
    element("section", {}, answers(api, operation)),
    form,
    element("section", {}, output),
  );
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  const place = document.getElementById("operations");
  document.getElementById("about").textContent = `${api.info.description} Version ${api.info.version}.`;
  for (const tag of api.tags) {
    place.append(element("h2", {}, `${tag.name}: ${tag.description}`));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        if (item[method]?.tags[0] === tag.name) place.append(show(api, method, path, item[method], item.parameters ?? []));
      }
    }
  }
  place.ariaBusy = "false";
}

main().catch((error) => {
  document.getElementById("about").textContent = `The document could not be shown: ${error}`;
});
