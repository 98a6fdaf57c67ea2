// Sliders, buttons and pictures of one pair; what they show is decoded in this page.
"use strict";

const SHOWN = 12;  // sliders, until all are asked for
const STEPS = 9;  // values of a traversal

const content = JSON.parse(document.getElementById("content").textContent);
const stored = (name) => floats(document.getElementById(`floats-${name}`).textContent);
const find = (id) => document.getElementById(id);

const decoder = network(content.decoder, stored("decoder"));
const encoder = content.encoder ? network(content.encoder, stored("encoder")) : null;
const tests = content.tests ? stored("tests") : null;
const length = content.shape.reduce((a, b) => a * b, 1);

// The values of all latents, by site; a type is one-hot.
const code = {};
for (const name of content.order) code[name] = new Float32Array(content.sizes[name]);
for (const { site } of content.classes) code[site][0] = 1;

const decode = (latents) => decoder(...content.order.map((name) => latents[name]))[0];

// Posterior means by site; of a type, the class probabilities.
function encode(x, label) {
  const found = content.encoder.labels ? encoder(x, [label]) : encoder(x);
  return Object.fromEntries(content.encoder.sites.map((name, i) => [name, found[i]]));
}

const view = VIEWS[content.kind](content, find("view"));
const rows = content.units.map(sliderOf);
let selected = content.units[0];
let every = false;
let turn = 0;  // changes with every change of the code
let waiting = null;  // for the next frame
const listeners = [];  // called with each decoded datapoint

function sliderOf(unit) {
  const name = `${unit.site}[${unit.index}]`;
  const id = `unit-${unit.site}-${unit.index}`;
  const input = element("input", { type: "range", id, min: -unit.limit, max: unit.limit, step: 0.05 });
  const output = element("output", { for: id });
  const nats = element("span", { class: "nats" });
  if (unit.nats !== null) {
    const most = Math.max(...content.units.map((u) => u.nats || 0), 1e-9);
    nats.append(`${number(unit.nats)} nats`, element("i", { style: `width: ${100 * Math.max(0, unit.nats) / most}%` }));
  }
  const row = element("div", { class: "unit" }, element("label", { for: id }, name), input, output, nats);
  input.addEventListener("input", () => { set(unit.site, unit.index, Number(input.value)); select(unit); });
  input.addEventListener("focus", () => select(unit));
  row.addEventListener("pointerdown", () => select(unit));
  find("units").append(row);
  return { unit, name, row, input, output };
}

function set(site, index, value) {
  code[site][index] = value;
  changed();
}

function choose(site, k) {
  code[site].fill(0);
  code[site][k] = 1;
  changed();
}

// Takes the values of some sites; of a type the most probable class.
function take(latents) {
  const types = new Set(content.classes.map(({ site }) => site));
  for (const [site, values] of Object.entries(latents)) {
    if (types.has(site)) {
      code[site].fill(0);
      code[site][Array.from(values).indexOf(Math.max(...values))] = 1;
    } else code[site].set(values);
  }
  changed();
}

function select(unit) {
  if (unit === selected) return;
  selected = unit;
  changed();
}

// Shows the code at the next frame, however often it changes until then.
function changed() {
  turn++;
  waiting = waiting || new Promise((done) => requestAnimationFrame(() => { waiting = null; show().then(done); }));
  return waiting;
}

async function show() {
  const x = decode(code);
  view.show(x);
  for (const { unit, input, output, row, name } of rows) {
    const value = code[unit.site][unit.index];
    if (document.activeElement !== input || Number(input.value) !== value) input.value = value;
    output.textContent = number(value);
    input.setAttribute("aria-valuetext", `${name} = ${number(value)}`);
    row.classList.toggle("selected", unit === selected);
  }
  for (const { site } of content.classes) {
    const input = find(`class-${site}-${code[site].indexOf(1)}`);
    if (input) input.checked = true;
  }
  hideUnused();
  for (const listener of listeners) listener(x);
  await traverse();
}

// A unit that changes nothing under the chosen class has no slider, nor have the last ones of a long list.
function hideUnused() {
  const row = content.used ? content.used[code[content.classes[0].site].indexOf(1)] : null;
  const there = rows.filter((_, i) => !row || row[i]);
  if (row && there.length && !there.some(({ unit }) => unit === selected)) selected = there[0].unit;
  const shown = new Set(every ? there : there.slice(0, SHOWN));
  for (const one of rows) {
    one.row.hidden = !shown.has(one);
    one.row.style.display = shown.has(one) ? "" : "none";
    one.row.classList.toggle("selected", one.unit === selected);
  }
  find("more").hidden = there.length <= SHOWN;
  find("more").textContent = every ? "Show fewer" : `Show all ${there.length}`;
}

const traversal = { key: null, buttons: [] };

// The selected unit at several values, all else unchanged; one at a time, so that the sliders stay quick.
async function traverse() {
  if (!selected) return;
  const { site, index, limit } = selected;
  const rest = content.order.map((name) => Array.from(code[name]).map((v, i) => (name === site && i === index ? "" : v)));
  const key = `${site}[${index}] ${rest.join(" ")}`;
  const values = Array.from({ length: STEPS }, (_, i) => limit * ((2 * i) / (STEPS - 1) - 1));
  const mark = () => traversal.buttons.forEach((button, i) => {
    const near = Math.abs(values[i] - code[site][index]) <= limit / (STEPS - 1);
    button.setAttribute("aria-pressed", String(near));
  });
  if (key !== traversal.key) {
    const mine = turn;
    const found = [];
    for (const value of values) {
      found.push(decode({ ...code, [site]: code[site].map((v, i) => (i === index ? value : v)) }));
      await new Promise((done) => setTimeout(done));
      if (turn !== mine) return;
    }
    find("strip-title").textContent = `Traversal: ${site}[${index}] from ${number(-limit)} to ${number(limit)}, all else unchanged`;
    traversal.key = key;
    traversal.buttons = values.map((value, i) => {
      const button = element("button", { type: "button", "aria-label": `set ${site}[${index}] to ${number(value)}` });
      button.append(view.small(found[i]), element("div", {}, number(value)));
      button.addEventListener("click", () => set(site, index, value));
      return button;
    });
    find("steps").replaceChildren(...traversal.buttons);
    if (view.path) view.path(found);
  }
  mark();
}

function classChoices() {
  for (const { site, names, nats } of [...content.classes].reverse()) {
    const legend = element("legend", {}, `Classes of ${site}`);
    if (nats !== null) legend.append(element("span", { class: "note" }, `, ${number(nats)} nats`));
    const choices = element("div", { class: "choices" });
    const labelled = names.some(([, label]) => label !== "");
    names.forEach(([name, label], k) => {
      const input = element("input", { type: "radio", name: `class-${site}`, id: `class-${site}-${k}`, "aria-label": `${site} = ${name}${label && `, most frequent label ${label}`}` });
      input.addEventListener("change", () => choose(site, k));
      choices.append(element("label", { class: "choice" }, input, element("span", {}, name, element("small", {}, label))));
    });
    const made = element("fieldset", {}, legend, choices);
    if (labelled) made.append(element("p", { class: "note" }, "Below each class: the most frequent label of the test datapoints in it."));
    find("types").prepend(made);
  }
}

function testButtons() {
  if (!tests) return;
  find("tests").hidden = false;
  find("test-buttons").classList.toggle("texts", content.kind !== "image");
  content.tests.forEach((test, n) => {
    const name = test.name === "" ? `${test.number}` : test.name;
    const button = element("button", { type: "button", "aria-label": `encode test datapoint ${test.number}, ${name}` });
    button.append(view.small(datapoint(n)), element("div", {}, name));
    button.addEventListener("click", () => encodeTest(n));
    find("test-buttons").append(button);
  });
}

const datapoint = (n) => tests.subarray(n * length, (n + 1) * length);

function encodeTest(n) {
  const test = content.tests[n];
  const found = encode(datapoint(n), test.label);
  if (content.encoder.labels) {
    const labels = content.classes.find(({ site }) => site === "y");
    if (labels) choose("y", test.label);
  }
  take(found);
  view.original(datapoint(n), `encoded: test datapoint ${test.number}${test.name === "" ? "" : `, label ${test.name}`}`);
  const certain = content.classes.filter(({ site }) => site in found).map(({ site, names }) => {
    const largest = Math.max(...found[site]);
    return `${site} = ${names[found[site].indexOf(largest)][0]} with probability ${largest.toFixed(2)}`;
  });
  find("said").textContent = certain.length ? `encoder: ${certain.join("; ")}` : "";
  find("test-buttons").childNodes.forEach((button, i) => button.setAttribute("aria-pressed", String(i === n)));
}

function forget() {  // the encoded datapoint
  view.original(null, "");
  find("said").textContent = "";
  find("test-buttons").childNodes.forEach((button) => button.setAttribute("aria-pressed", "false"));
}

// For two units: a map of decoded images, the test set's codes, and the place of the code.
function plane() {
  find("units").style.setProperty("--name", `${Math.max(0, ...rows.map(({ name }) => name.length))}ch`);
  if (content.units.length !== 2) return;
  const [first, second] = [...content.units].sort((a, b) => a.index - b.index || (a.site < b.site ? -1 : 1));
  const limits = [first.limit, second.limit];
  const many = 9;
  const frame = element("div", { class: "frame" });
  const svg = drawn("svg", { viewBox: "-1 -1 2 2", preserveAspectRatio: "none", tabindex: 0, role: "application",
    "aria-label": `The plane of ${first.site}[${first.index}] and ${second.site}[${second.index}]; arrow keys move` });
  const image = content.kind === "image" ? canvasOf([1, many * content.shape[1], many * content.shape[2]]) : null;
  if (image) frame.append(image);
  const cloud = content.cloud && rows.every(({ unit }) => unit.site === first.site) ? content.cloud : { codes: [], labels: [] };
  cloud.codes.forEach((z, i) => {
    const [x, y] = [z[first.index] / limits[0], -z[second.index] / limits[1]];
    svg.append(drawn("g", { opacity: 0.9, stroke: "var(--paper)", "stroke-width": 0.006 }, marker(cloud.labels[i], x, y, 0.02)));
  });
  const cross = drawn("g", { fill: "none", stroke: "var(--mark)", "stroke-width": 0.02 },
    drawn("circle", { r: 0.05 }), drawn("path", { d: "M-.12 0H-.05M.05 0H.12M0-.12V-.05M0 .05V.12" }));
  svg.append(cross);
  frame.append(svg);
  find("plane").append(frame, element("p", { class: "note" }, `across: ${first.site}[${first.index}], ${number(-limits[0])} to ` +
    `${number(limits[0])}; up: ${second.site}[${second.index}], ${number(-limits[1])} to ${number(limits[1])}` +
    `${cloud.codes.length ? "; dots: posterior means of the test set, a form and a colour for each class" : ""}`));
  find("plane").hidden = false;

  const move = (x, y) => {
    code[first.site][first.index] = Math.max(-1, Math.min(1, x)) * limits[0];
    code[second.site][second.index] = Math.max(-1, Math.min(1, y)) * limits[1];
    changed();
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    move((2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height);
  };
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); follow(event); });
  svg.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(code[first.site][first.index] / limits[0] + step[0] / 40, code[second.site][second.index] / limits[1] + step[1] / 40);
  });
  let drawnFor = null;
  listeners.push(() => {
    const [x, y] = [code[first.site][first.index] / limits[0], -code[second.site][second.index] / limits[1]];
    cross.setAttribute("transform", `translate(${x} ${y})`);
    const types = content.classes.map(({ site }) => code[site].indexOf(1)).join();
    if (!image || types === drawnFor) return;
    drawnFor = types;
    for (let row = 0; row < many; row++) {
      for (let column = 0; column < many; column++) {
        const latents = Object.fromEntries(content.order.map((name) => [name, Float32Array.from(code[name])]));
        latents[first.site][first.index] = ((2 * column + 1) / many - 1) * limits[0];
        latents[second.site][second.index] = (1 - (2 * row + 1) / many) * limits[1];
        paintTile(decode(latents), row, column);
      }
    }
  });
  const paintTile = (x, row, column) => paint(image, content.shape, x, column * content.shape[2], row * content.shape[1]);
}

let draws = 0;
find("draw").addEventListener("click", () => { forget(); take(content.draws[draws++ % content.draws.length]); });
find("zero").addEventListener("click", () => {
  forget();
  for (const { unit } of rows) code[unit.site][unit.index] = 0;
  changed();
});
find("more").addEventListener("click", () => { every = !every; hideUnused(); });
if (!rows.length) { find("sliders").hidden = true; find("strip").hidden = true; }
classChoices();
testButtons();
plane();
if (tests) encodeTest(0);
else take(content.draws[draws++]);

// For a console: explorer.take({z: [0, 1, ...], c: [1, 0, ...]}), explorer.decode(explorer.code).
globalThis.explorer = { content, code, take, decode, encode, settled: () => changed() };
