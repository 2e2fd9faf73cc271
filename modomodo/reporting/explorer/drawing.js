// Elements, scales and axes that the views share.

const SVG = "http://www.w3.org/2000/svg";
const MARKS = ["circle", "square", "up", "down", "cross", "diamond"];
const three = (value) => (value === null ? "–" : value.toFixed(3).replace("-", "−"));
const signed = (value) => (Math.abs(value) < 5e-4 ? "0.000" : (value > 0 ? "+" : "−") + Math.abs(value).toFixed(3));
// A domain's colour: lighter on a dark page.
const shade = (i) => `color-mix(in srgb, ${data.colours[i]}, white var(--lift))`;

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "rect", "path", "text", "circle", "polyline", "polygon", "title"].includes(tag);
  const made = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// From the least to the greatest, with some room.
function range(values, pad) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), room = Math.max(high - low, 0.02) * pad;
  return [low - room, high + room];
}

function ticks(low, high, most) {
  const step = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1].find((size) => (high - low) / size <= most) || 2;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-9; i++) found.push(+(i * step).toFixed(4));
  return found;
}

function mark(shape, x, y, size, attributes) {
  const s = size;
  const paths = {
    circle: `M${x - s} ${y}a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0z`,
    square: `M${x - s} ${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    up: `M${x} ${y - s * 1.2}l${s * 1.15} ${s * 2}h${-s * 2.3}z`,
    down: `M${x} ${y + s * 1.2}l${s * 1.15} ${-s * 2}h${-s * 2.3}z`,
    diamond: `M${x} ${y - s * 1.3}l${s * 1.3} ${s * 1.3}l${-s * 1.3} ${s * 1.3}l${-s * 1.3} ${-s * 1.3}z`,
    cross: `M${x - s} ${y - s}l${2 * s} ${2 * s}M${x - s} ${y + s}l${2 * s} ${-2 * s}`,
  };
  return element("path", { d: paths[shape], ...attributes });
}

// Marks of runs: the shape says which group of strategies.
function runMark(run, x, y, size) {
  const group = data.groups.indexOf(run.group);
  const shape = MARKS[group % MARKS.length];
  return mark(shape, x, y, size, {
    fill: shape === "cross" ? "none" : group % 2 ? "var(--quiet)" : "var(--card)", stroke: "var(--ink)", "stroke-width": 1.2,
  });
}

// A chart with axes. `plot` is where things are drawn, cut off at its edges; x and y bring values to it.
function chart({ width, height, left, right, top, bottom }, xs, ys, [xTitle, yTitle], most = [6, 6]) {
  const across = width - left - right, up = height - top - bottom;
  const x = (value) => across * (value - xs[0]) / (xs[1] - xs[0]);
  const y = (value) => up - up * (value - ys[0]) / (ys[1] - ys[0]);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}` });
  for (const tick of ticks(...xs, most[0])) {
    svg.append(element("line", { class: "grid", x1: left + x(tick), x2: left + x(tick), y1: top, y2: height - bottom }),
      element("text", { x: left + x(tick), y: height - bottom + 14, "text-anchor": "middle" }, String(tick)));
  }
  for (const tick of ticks(...ys, most[1])) {
    svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: top + y(tick), y2: top + y(tick) }),
      element("text", { x: left - 5, y: top + y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  if (xTitle) svg.append(element("text", { x: left + across / 2, y: height - 4, "text-anchor": "middle" }, xTitle));
  if (yTitle) {
    svg.append(element("text", { x: 11, y: top + up / 2, "text-anchor": "middle",
      transform: `rotate(-90 11 ${top + up / 2})` }, yTitle));
  }
  const plot = element("svg", { x: left, y: top, width: across, height: up, class: "plot-area" });
  svg.append(plot);
  return { svg, plot, x, y, across, up };
}

// A cross of one standard error each way; `sizes` in scores, null where not known.
function errorBars({ x, y }, [across, up], [acrossSize, upSize]) {
  const bars = element("g", { class: "error", "aria-hidden": "true" });
  if (acrossSize) bars.append(element("line", { x1: x(across - acrossSize), x2: x(across + acrossSize), y1: y(up), y2: y(up) }));
  if (upSize) bars.append(element("line", { x1: x(across), x2: x(across), y1: y(up - upSize), y2: y(up + upSize) }));
  return bars;
}

// Names beside points, each where it covers no point and no other name; what finds no room is left out.
function names(labelled, points, { across, up }) {
  const taken = points.map(({ px, py }) => [px - 5, py - 5, px + 5, py + 5]);
  const found = [];
  for (const { px, py, text } of labelled) {
    const width = (matchMedia("(max-width: 480px)").matches ? 8.2 : 6) * text.length;
    const places = [[px + 8, py + 4, "start"], [px - 8, py + 4, "end"], [px, py - 9, "middle"], [px, py + 17, "middle"]];
    for (const [left, base, anchor] of places) {
      const start = anchor === "start" ? left : anchor === "end" ? left - width : left - width / 2;
      const box = [start, base - 10, start + width, base + 3];
      const free = box[0] >= 0 && box[2] <= across && box[1] >= 0 && box[3] <= up &&
        taken.every(([a, b, c, d]) => box[2] < a || box[0] > c || box[3] < b || box[1] > d);
      if (!free) continue;
      taken.push(box);
      found.push(element("text", { class: "name", x: left, y: base, "text-anchor": anchor }, text));
      break;
    }
  }
  return found;
}

// A name that must fit beside others; whole where it is spoken or pointed at.
function short(name, most) {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}

function mixtureText(mixture) {
  return data.order.filter((i) => mixture[i] > 0).map((i) => `${domains[i]} ${mixture[i].toFixed(2)}`).join(", ");
}

function mixtureBar(mixture) {
  const text = mixtureText(mixture);
  const bar = element("span", { class: "bar", role: "img", "aria-label": text, title: text });
  for (const i of data.order) {
    if (mixture[i] > 0) bar.append(element("span", { style: `width:${100 * mixture[i]}%;background:${shade(i)}` }));
  }
  return bar;
}
