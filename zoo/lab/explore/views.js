// How a datapoint is shown: as an image, as a point of the plane, or as words.
"use strict";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes = {}, ...children) {  // in SVG
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A marker of a class: colours differ, and so do the forms, so that colours are not needed.
function marker(label, x, y, r) {
  const form = label % 4;
  const fill = { fill: COLOURS[label % COLOURS.length] };
  if (form === 0) return drawn("circle", { cx: x, cy: y, r, ...fill });
  if (form === 1) return drawn("path", { d: `M${x} ${y - 1.2 * r}L${x + 1.1 * r} ${y + r}L${x - 1.1 * r} ${y + r}Z`, ...fill });
  if (form === 2) return drawn("rect", { x: x - 0.9 * r, y: y - 0.9 * r, width: 1.8 * r, height: 1.8 * r, ...fill });
  return drawn("path", { d: `M${x} ${y - 1.3 * r}L${x + 1.3 * r} ${y}L${x} ${y + 1.3 * r}L${x - 1.3 * r} ${y}Z`, ...fill });
}

// Puts pixels in [0, 1], [C, H, W], into a canvas with one pixel for each, at a place.
function paint(canvas, [channels, height, width], x, left = 0, top = 0) {
  const area = height * width;
  const image = new ImageData(width, height);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round(255 * x[(channels === 3 ? c : 0) * area + i]);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, left, top);
}

// Images of fewer than 16 pixels a side, such as digits of 8 x 8, are hard to read as squares: they are shown smooth.
function canvasOf([, height, width]) {
  return element("canvas", { width, height, "aria-hidden": "true", class: Math.min(height, width) < 16 ? "smooth" : "" });
}

function imageView(content, root) {
  const canvas = canvasOf(content.shape);
  canvas.id = "image";
  const original = canvasOf(content.shape);
  const aside = element("figure", { class: "original", hidden: "" }, original, element("figcaption"));
  root.append(element("figure", { class: "main" }, canvas, element("figcaption", {}, meanOf(content))), aside);
  return {
    show: (x) => paint(canvas, content.shape, x),
    original(x, caption) {
      aside.hidden = !x;
      if (x) paint(original, content.shape, x);
      aside.lastChild.textContent = caption;
    },
    small(x) {
      const one = canvasOf(content.shape);
      paint(one, content.shape, x);
      return one;
    },
  };
}

function pointView(content, root) {
  const dots = content.cloud ? content.cloud.x : [];
  const reach = Math.max(1, ...dots.flat().map(Math.abs)) * 1.1;
  const svg = drawn("svg", { viewBox: `${-reach} ${-reach} ${2 * reach} ${2 * reach}`, role: "img", "aria-label": "The plane of the data" });
  const r = reach / 70;
  dots.forEach(([x, y], i) => svg.append(drawn("g", { opacity: 0.75 }, marker(content.cloud.labels[i], x, -y, r))));
  const path = drawn("polyline", { fill: "none", stroke: "var(--mark)", "stroke-width": r });
  const here = drawn("circle", { r: 3 * r, fill: "none", stroke: "var(--ink)", "stroke-width": r });
  svg.append(path, here);
  const caption = element("figcaption");
  root.append(element("figure", { class: "main", style: "flex-basis: 20rem" }, svg, caption));
  return {
    show([x, y]) {
      here.setAttribute("cx", x);
      here.setAttribute("cy", -y);
      caption.textContent = `circle: ${meanOf(content)}, (${number(x)}, ${number(y)})` +
        `${dots.length ? "; dots: the test set" : ""}; line: the traversal`;
    },
    original() {},
    small: ([x, y]) => `(${number(x)}, ${number(y)})`,
    path(points) { path.setAttribute("points", points.map(([x, y]) => `${x},${-y}`).join(" ")); },
  };
}

function wordView(content, root) {
  const list = element("ol", { class: "words" });
  root.append(list);
  // The words of largest share, with that share.
  const first = (x, count) => {
    const total = x.reduce((a, b) => a + b, 0);
    const order = Array.from(x.keys()).sort((a, b) => x[b] - x[a]).slice(0, count);
    return order.filter((w) => x[w] > 0).map((w) => [content.vocabulary[w], x[w] / total]);
  };
  return {
    show(x) {
      const found = first(x, 12);
      list.replaceChildren(...found.map(([word, share]) => element(
        "li", {}, element("i", { style: `width: ${100 * share / found[0][1]}%` }), word, element("span", {}, `${(100 * share).toFixed(2)} %`))));
    },
    original() {},
    small: (x) => element("ol", {}, ...first(x, 5).map(([word]) => element("li", {}, word))),
  };
}

const meanOf = ({ order }) => `the mean of p(x | ${order.join(", ")})`;

const VIEWS = { image: imageView, point: pointView, words: wordView };

// Two decimals, with a minus sign.
function number(value) {
  const text = value.toFixed(2);
  return text === "-0.00" ? "0.00" : text.replace("-", "\u2212");
}
