// openapi.json -> a section for each address, with its parameters, its answers and an example
"use strict";

const made = (name, text = "", children = []) => {
  const found = document.createElement(name);
  found.textContent = text;
  if (name === "div") found.className = "wide";
  found.append(...children);
  return found;
};

const table = (head, rows) => made("div", "", [made("table", "", [
  made("thead", "", [made("tr", "", head.map((one) => made("th", one)))]),
  made("tbody", "", rows.map((row) => made("tr", "", row.map((one) => made("td", one))))),
])]);

const example = (path, method, asked) => {
  const form = asked.requestBody?.content["multipart/form-data"];
  const files = form ? ` -F ${Object.keys(form.schema.properties)[0]}=@photo.png` : "";
  return `curl${files} ${location.origin}${path}`;
};

const kind = (schema) => schema.type ?? (schema.anyOf ?? []).map((one) => one.type).filter((one) => one !== "null").join(" or ");

const fields = (schema, all) => {
  const named = schema?.$ref?.split("/").pop();
  if (!named) return [];
  return Object.entries(all[named].properties ?? {}).map(([name, one]) => {
    const inner = one.$ref ?? one.items?.$ref ?? one.anyOf?.find((some) => some.$ref)?.$ref;
    return [name, inner ? `${one.items ? "list of " : ""}${inner.split("/").pop()}: ${Object.keys(all[inner.split("/").pop()].properties).join(", ")}` : kind(one)];
  });
};

const section = (path, method, asked, all) => {
  const parts = [made("h2", `${method.toUpperCase()} ${path}`), ...asked.description.split("\n\n").map((one) => made("p", one.replaceAll("`", "")))];
  parts.push(made("pre", example(path, method, asked)));
  if (asked.parameters) parts.push(table(["Parameter", "Kind", "Default", "Meaning"], asked.parameters.map((one) => [one.name, kind(one.schema), String(one.schema.default ?? ""), one.description ?? ""])));
  const answer = fields(asked.responses["200"]?.content?.["application/json"]?.schema, all);
  if (answer.length) parts.push(table(["Field of the answer", "Kind"], answer));
  parts.push(table(["Status", "Meaning"], Object.entries(asked.responses).map(([status, one]) => [status, one.description])));
  return made("section", "", parts);
};

fetch("openapi.json").then((answer) => answer.json()).then((said) => {
  for (const [path, methods] of Object.entries(said.paths)) {
    for (const [method, asked] of Object.entries(methods)) document.getElementById("all").append(section(path, method, asked, said.components?.schemas ?? {}));
  }
});
