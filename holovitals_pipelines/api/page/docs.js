"use strict";
// Every text of the document goes into the page as text, never as markup.
const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};
const classed = (element, ...names) => { element.classList.add(...names); return element; };

let spec;
const resolved = (schema) => {
  let found = schema || {};
  while (found.$ref) found = found.$ref.split("/").slice(1).reduce((at, name) => at[name], spec);
  return found;
};
const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `[${typeOf(schema.items) || "…"}]`;
  return schema.type || "any";
};
const exampleOf = (schema, depth = 0) => {
  const at = resolved(schema);
  if (at.example !== undefined) return at.example;
  if (at.examples && at.examples.length) return at.examples[0];
  if (schema && schema.examples && schema.examples.length) return schema.examples[0];
  if (at.default !== undefined) return at.default;
  if (at.enum) return at.enum[0];
  if (at.anyOf) return exampleOf(at.anyOf[0], depth);
  if (depth > 5) return null;
  if (at.type === "object" && at.properties)
    return Object.fromEntries(Object.entries(at.properties).map(([name, one]) => [name, exampleOf(one, depth + 1)]));
  if (at.type === "array") return [exampleOf(at.items, depth + 1)];
  return { string: "text", integer: 1, number: 1.5, boolean: true, object: {} }[at.type] ?? null;
};
const rows = (head, lines) => {
  const row = (cells, kind) => make("tr", "", ...cells.map((cell) => make(kind, String(cell ?? ""))));
  return make("table", "", row(head, "th"), ...lines.map((line) => row(line, "td")));
};
const fieldsOf = (schema, asked) => {
  const at = resolved(schema);
  const needed = new Set(at.required || []);
  const lines = Object.entries(at.properties || {}).map(([name, one]) =>
    [asked && needed.has(name) ? `${name} *` : name, typeOf(one), one.description || resolved(one).description || ""]);
  return lines.length ? rows(["field", "type", ""], lines) : make("span");
};
const bodyOf = (content) => {
  const [type, told] = Object.entries(content || {})[0] || [];
  if (!type) return null;
  const named = told.examples ? Object.values(told.examples)[0].value : told.example;
  return { type, schema: told.schema, example: named !== undefined ? named : exampleOf(told.schema) };
};
const tryIt = (method, path, operation, body) => {
  const box = make("div");
  const inputs = (operation.parameters || []).map((one) => {
    const input = make("input");
    input.placeholder = one.name;
    box.append(make("label", `${one.name} `, input), " ");
    return [one, input];
  });
  const text = body && make("textarea", JSON.stringify(body.example, null, 2));
  if (text) box.append(text);
  const button = make("button", "Call it");
  const answer = make("pre");
  answer.hidden = true;
  button.onclick = async () => {
    let url = path.slice(1);
    const query = new URLSearchParams();
    const headers = {};
    const token = document.getElementById("token").value.trim();
    if (token) headers.Authorization = `Bearer ${token}`;
    for (const [one, input] of inputs) {
      if (one.in === "path") url = url.replace(`{${one.name}}`, encodeURIComponent(input.value));
      else if (input.value && one.in === "query") query.append(one.name, input.value);
      else if (input.value && one.in === "header") headers[one.name] = input.value;
    }
    if (body) headers["Content-Type"] = body.type;
    const asked = { method, headers, body: body ? text.value : undefined };
    answer.hidden = false;
    try {
      const came = await fetch(query.size ? `${url}?${query}` : url, asked);
      const etag = came.headers.get("ETag");
      answer.textContent = `${came.status} ${came.statusText}${etag ? `\nETag: ${etag}` : ""}\n\n${await came.text()}`;
    } catch (error) { answer.textContent = String(error); }
  };
  box.append(make("div", "", button), answer);
  return box;
};
const call = (method, path, operation) => {
  const title = make("summary", "", classed(make("span", method), "method", method), make("code", path), ` ${operation.summary}`);
  const box = make("details", "", title, make("p", operation.description || ""));
  if (operation["x-roles"]) box.append(classed(make("p", `Roles: ${operation["x-roles"].join(", ")}`), "roles"));
  const parameters = (operation.parameters || []).map((one) =>
    [one.required ? `${one.name} *` : one.name, one.in, typeOf(one.schema), one.description || ""]);
  if (parameters.length) box.append(rows(["parameter", "in", "type", ""], parameters));
  const body = operation.requestBody && bodyOf(operation.requestBody.content);
  if (body) box.append(make("h4", `Body (${body.type})`), fieldsOf(body.schema, true), make("pre", JSON.stringify(body.example, null, 2)));
  const answers = Object.entries(operation.responses || {});
  box.append(make("h4", "Answers"), rows(["status", ""], answers.map(([status, one]) => [status, one.description])));
  const good = answers.find(([status, one]) => status.startsWith("2") && one.content);
  const shown = good && bodyOf(good[1].content);
  if (shown) box.append(make("pre", JSON.stringify(shown.example, null, 2)));
  box.addEventListener("toggle", () => box.append(make("h4", "Try it"), tryIt(method, path, operation, body)), { once: true });
  return box;
};
fetch("openapi.json").then((came) => came.json()).then((told) => {
  spec = told;
  document.getElementById("about").textContent = told.info.description;
  const calls = document.getElementById("calls");
  const parts = new Map();
  for (const [path, methods] of Object.entries(told.paths))
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!parts.has(tag)) parts.set(tag, []);
      parts.get(tag).push(call(method.toUpperCase(), path, operation));
    }
  calls.replaceChildren(...[...parts].map(([tag, found]) => make("section", "", make("h2", tag), ...found)));
}).catch((error) => { document.getElementById("calls").textContent = `The calls cannot be shown: ${error}`; });
