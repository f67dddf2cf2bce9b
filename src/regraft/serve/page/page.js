// Pictures -> what the models of this service say of them; nothing is asked of any other address.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const MOST_BARS = 8, MOST_SHOWN = 20;

const made = (name, { text, children = [], ...values } = {}) => {
  const found = document.createElement(name);
  if (text !== undefined) found.textContent = text;
  for (const [key, value] of Object.entries(values)) {
    if (key in found) found[key] = value;
    else found.setAttribute(key, value);
  }
  found.append(...children);
  return found;
};

// ---- what the service is asked ----

let token = "";
let models = [];
const thresholds = new Map(); // of models with one: what the reader has set
const pictures = []; // {name, file, answers: Map of model -> {picture, threshold} | {error}}

const ask = async (path, options = {}) => {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) throw Object.assign(new Error((await answer.text()).trim()), { status: answer.status });
  return answer;
};

const form = (field, file, name) => {
  const found = new FormData();
  found.append(field, file, name);
  return found;
};

const start = async () => {
  try {
    models = (await (await ask("models")).json()).models;
  } catch (error) {
    if (error.status !== 401) return trouble(error.message);
    at("token").hidden = false;
    if (token) trouble(error.message);
    at("secret").focus();
    return undefined;
  }
  at("token").hidden = true;
  at("trouble").hidden = true;
  at("service").hidden = false;
  showModels();
  return askMissing(); // pictures may have come before
};

const trouble = (text) => {
  at("trouble").textContent = text;
  at("trouble").hidden = false;
  if (at("service").hidden) at("token").before(at("trouble"));
};

// ---- what a model decides ----

const ruled = (model) => thresholds.has(model.name);

const decide = (model, picture) => {
  if (ruled(model)) {
    const positive = model.threshold.positive;
    const prob = picture.top.find((one) => one.label === positive).prob;
    const chosen = prob >= thresholds.get(model.name) ? positive : model.classes.find((name) => name !== positive);
    return { label: chosen, prob: picture.top.find((one) => one.label === chosen).prob };
  }
  const highest = Math.max(...picture.top.map((one) => one.prob));
  if (highest < at("abstain").value / 100) return { label: null, prob: highest };
  return { label: picture.top[0].label, prob: picture.top[0].prob };
};

// ---- settings ----

const showModels = () => {
  for (const [number, model] of models.entries()) {
    const box = made("input", { type: "checkbox", value: model.name, checked: number === 0, onchange: askMissing });
    const said = `${model.network}, ${model.classes.length} classes`;
    at("models").append(made("label", { children: [box, ` ${model.name} `, made("span", { className: "soft", text: said })] }));
    if (model.threshold) showThreshold(model, number);
  }
  const exempt = models.filter(ruled).map((model) => model.name);
  at("abstain").disabled = exempt.length === models.length;
  at("abstain-note").hidden = !exempt.length;
  at("abstain-note").textContent = `Not for ${exempt.join(", ")}: a threshold decides there.`;
};

const showThreshold = (model, number) => {
  const { positive, value, target, wanted } = model.threshold;
  thresholds.set(model.name, value);
  const id = `threshold-${number}`;
  const said = made("output", { text: percent(value) });
  said.setAttribute("for", id);
  const slider = made("input", { type: "range", id, min: 0, max: 1, step: 0.001, value });
  const note = made("p", { className: "soft", text: `The model's own, ${percent(value)}, was chosen for a ${target} of ${wanted}.` });
  const set = (chosen) => {
    thresholds.set(model.name, chosen);
    said.textContent = percent(chosen);
    again();
  };
  slider.oninput = () => set(Number(slider.value));
  const back = made("button", { type: "button", text: "The model's own", onclick: () => { slider.value = value; set(value); } });
  const label = made("label", { htmlFor: id, children: [`${positive} from a probability of `, said, " on"] });
  at("thresholds").append(made("fieldset", { children: [made("legend", { text: `Threshold of ${model.name}` }), label, slider, note, back] }));
};

const asked = () => models.filter((model) => [...at("models").querySelectorAll("input:checked")].some((box) => box.value === model.name));

// ---- asking ----

const add = async (files) => {
  if (!files.length) return;
  for (const file of files) pictures.unshift({ name: file.name || "pasted picture", file, answers: new Map(), heats: new Map() });
  await askMissing();
};

let queue = Promise.resolve();
const askMissing = () => (queue = queue.then(askAll));

const askAll = async () => {
  const missing = pictures.flatMap((picture) => asked().filter((model) => !picture.answers.has(model.name)).map((model) => [picture, model]));
  for (const [number, [picture, model]] of missing.entries()) {
    at("said").textContent = `Asking: ${number + 1} of ${missing.length}`;
    picture.answers.set(model.name, await predicted(picture, model));
    again();
  }
  at("said").textContent = missing.length ? `${missing.length} ${missing.length === 1 ? "answer" : "answers"}.` : "";
  again();
};

const predicted = async (picture, model) => {
  const path = `predict?model=${encodeURIComponent(model.name)}&top=${model.classes.length}`;
  try {
    const answer = await (await ask(path, { method: "POST", body: form("files", picture.file, picture.name) })).json();
    return answer.pictures[0];
  } catch (error) {
    return { error: error.message.replace("Error: ", "").replace(`${picture.name}: `, "") };
  }
};

// ---- answers ----

const again = () => {
  const open = document.activeElement?.id;
  at("answers").replaceChildren(...pictures.slice(0, MOST_SHOWN).map(shown));
  if (open) at(open)?.focus();
  const rows = decided();
  at("history").hidden = !rows.length;
  at("rows").replaceChildren(...rows.map((row) => made("tr", {
    children: [row.filename, row.model, row.error ? row.error : row.label ?? "unsure", row.prob === "" ? "" : percent(row.prob)].map((text) => made("td", { text })),
  })));
};

const shown = (picture, number) => {
  picture.address ??= URL.createObjectURL(picture.file);
  const image = made("img", { src: picture.address, alt: picture.name });
  image.onerror = () => image.remove(); // DICOM and TIFF: the browser shows none, the service reads them
  const columns = asked().filter((model) => picture.answers.has(model.name)).map((model) => column(picture, model, number));
  return made("article", {
    className: "picture",
    children: [
      made("h3", { text: picture.name }),
      made("div", { className: "answers", children: [made("div", { className: "shown", children: [image] }), made("div", { className: "models", children: columns })] }),
    ],
  });
};

const column = (picture, model, number) => {
  const answer = picture.answers.get(model.name);
  const head = models.length > 1 ? [made("p", { className: "soft", text: model.name })] : [];
  if (answer.error) return made("div", { children: [...head, made("p", { className: "bad", text: `Cannot be read: ${answer.error}` })] });
  const found = decide(model, answer);
  const verdict = found.label === null ? "Unsure: for a human" : `${found.label}, ${percent(found.prob)}`;
  const parts = [...head, made("p", { className: "verdict", text: verdict }), bars(model, answer, found.label)];
  if (model.explains) parts.push(heat(picture, model, `${number}-${models.indexOf(model)}`));
  return made("div", { children: parts });
};

const bars = (model, answer, chosen) => {
  const rows = [...answer.top].sort((a, b) => b.prob - a.prob).slice(0, MOST_BARS);
  return made("ol", { className: "bars", "aria-label": "Probabilities", children: rows.map((one) => bar(model, one, chosen)) });
};

const bar = (model, one, chosen) => {
  const length = made("i");
  length.style.width = `${100 * one.prob}%`;
  const marks = [length];
  if (ruled(model) && model.threshold.positive === one.label) {
    const mark = made("b", { title: "threshold" });
    mark.style.left = `${100 * thresholds.get(model.name)}%`;
    marks.push(mark);
  }
  const parts = [made("span", { className: "name", text: one.label }), made("span", { className: "bar", "aria-hidden": "true", children: marks }), made("span", { className: "number", text: percent(one.prob) })];
  return made("li", { className: one.label === chosen ? "chosen" : "", children: parts });
};

// ---- heat maps: one PNG, on the left the picture, on the right its heat ----

const heat = (picture, model, id) => {
  const known = picture.heats.get(model.name);
  if (known?.text) return made("p", { className: "soft", text: known.text });
  if (known) return slider(picture, known, id);
  const button = made("button", { type: "button", id: `heat-${id}`, text: "Show where it looked" });
  button.setAttribute("aria-label", `Show where ${model.name} looked in ${picture.name}`);
  button.onclick = async () => {
    button.disabled = true;
    at("said").textContent = "Drawing a heat map; the first one takes some seconds.";
    picture.heats.set(model.name, await explained(picture, model));
    at("said").textContent = "";
    again();
    at(`slider-${id}`)?.focus();
  };
  return made("div", { className: "heat", children: [button] });
};

const explained = async (picture, model) => {
  const label = decide(model, picture.answers.get(model.name)).label;
  const chosen = label === null ? "" : `&label=${encodeURIComponent(label)}`;
  try {
    const answer = await ask(`explain?model=${encodeURIComponent(model.name)}${chosen}`, { method: "POST", body: form("file", picture.file, picture.name) });
    if (answer.status === 204) return { text: "No place in the picture speaks for this class." };
    return { address: URL.createObjectURL(await answer.blob()), label: decodeURIComponent(answer.headers.get("X-Label")), opacity: 0.7 };
  } catch (error) {
    return { text: error.message };
  }
};

const slider = (picture, known, id) => {
  const image = (name) => made("img", { src: known.address, className: name, alt: name ? `where ${known.label} was seen` : "what the network sees" });
  const hot = image("hot");
  hot.style.opacity = known.opacity;
  const range = made("input", { type: "range", id: `slider-${id}`, min: 0, max: 1, step: 0.05, value: known.opacity });
  range.oninput = () => { known.opacity = Number(range.value); hot.style.opacity = known.opacity; };
  const label = made("label", { htmlFor: `slider-${id}`, className: "soft", text: `What speaks for ${known.label}: bright places` });
  return made("div", { className: "heat", children: [made("div", { className: "pair", children: [image(""), hot] }), label, range] });
};

// ---- history ----

const decided = () => pictures.flatMap((picture) => [...picture.answers].map(([name, answer]) => {
  const model = models.find((one) => one.name === name);
  const row = { filename: picture.name, model: name };
  if (answer.error) return { ...row, label: "", prob: "", error: answer.error };
  return { ...row, ...decide(model, answer), error: "" };
}));

const cell = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && typeof value !== "number" ? `'${text}` : text; // no formula of a file's name runs in a spreadsheet
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const download = () => {
  const head = ["filename", "model", "label", "prob", "error"];
  const lines = [head, ...decided().map((row) => head.map((name) => row[name]))].map((row) => row.map(cell).join(","));
  const address = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  made("a", { href: address, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};

const clear = () => {
  for (const picture of pictures.splice(0)) {
    URL.revokeObjectURL(picture.address);
    for (const heat of picture.heats.values()) if (heat.address) URL.revokeObjectURL(heat.address);
  }
  again();
};

// ---- what the reader does ----

const over = (yes) => (event) => {
  event.preventDefault();
  at("drop").classList.toggle("over", yes);
};
document.addEventListener("dragover", over(true));
document.addEventListener("dragleave", over(false));
document.addEventListener("drop", (event) => {
  over(false)(event);
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
for (const id of ["files", "camera"]) at(id).addEventListener("change", () => { add([...at(id).files]); at(id).value = ""; });
at("abstain").addEventListener("input", () => { at("abstain-said").textContent = `${at("abstain").value} %`; again(); });
at("csv").addEventListener("click", download);
at("clear").addEventListener("click", clear);
at("token").addEventListener("submit", (event) => { event.preventDefault(); token = at("secret").value; start(); });
start();
