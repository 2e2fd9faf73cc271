"use strict";
// The surrogate in plain JavaScript, then the page around it. No network, no library.

// --- surrogate: modomodo/mixtures/surrogates/{gaussian_processes,posterior}.py, from exported coefficients ----

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}

class Surrogate {
  constructor(data) {
    Object.assign(this, data);
    for (const group of this.groups) {
      for (const kernel of group.kernels) {
        for (const name of ["vectors", "values", "scores", "offsets", "weights", "explained"]) {
          kernel[name] = unpack(kernel[name]);
        }
      }
    }
  }

  // ProcessPredictor.predict. weights [domains] → {mean, deviation, noise}, each [benchmarks]: of the expected score;
  // noise is what one run adds.
  predict(weights) {
    const mean = this.benchmarks.map(() => 0), variance = this.benchmarks.map(() => 1);
    for (const group of this.groups) {
      const moments = this.moments(group, weights);
      group.columns.forEach((column, place) => {
        mean[column] = moments.mean[place];
        variance[column] = moments.variance[place];
      });
    }
    return {
      mean: mean.map((value, b) => value * this.scale[b] + this.center[b]),
      deviation: variance.map((value, b) => Math.sqrt(value) * this.scale[b]),
      noise: this.noise.map((value, b) => Math.sqrt(value) * this.scale[b]),
    };
  }

  // FittedGroup.moments: the average over kernels.
  moments(group, weights) {
    const runs = group.runs.length, count = group.columns.length;
    const mean = new Float64Array(count), square = new Float64Array(count);
    const terms = group.terms.map((term) => this.cross(term, group.runs, weights));
    const meanTerms = group.mean_terms.map((term) => this.meanTerm(term, weights));
    for (const kernel of group.kernels) {
      const cross = new Float64Array(runs).fill(this.level);
      for (const [term, share] of kernel.terms) {
        for (let i = 0; i < runs; i++) cross[i] += share * terms[term][i];
      }
      const prior = kernel.mean_terms.map((terms) => terms.reduce((sum, [term, share]) => sum + share * meanTerms[term], 0));
      const rotated = new Float64Array(runs);  // in the eigenbasis
      for (let i = 0; i < runs; i++) {
        for (let r = 0; r < runs; r++) rotated[r] += cross[i] * kernel.vectors[i * runs + r];
      }
      for (let b = 0; b < count; b++) {
        group.pairs.forEach(({ signal, noise }, pair) => {
          const weightOf = (m) => kernel.weights[(m * group.pairs.length + pair) * count + b];
          if (prior.every((_, m) => weightOf(m) === 0)) return;
          const solved = new Float64Array(runs);
          for (let r = 0; r < runs; r++) solved[r] = signal * rotated[r] / (signal * kernel.values[r] + noise[b]);
          let first = 0;
          for (let r = 0; r < runs; r++) first += solved[r] * kernel.scores[b * runs + r];
          for (let m = 0; m < prior.length; m++) {  // hypotheses that share the kernel
            const weight = weightOf(m);
            if (weight === 0) continue;
            let expected = prior[m] + first;
            for (let r = 0; r < runs; r++) expected += solved[r] * kernel.offsets[m * runs + r];
            mean[b] += weight * expected;
            square[b] += weight * expected * expected;
          }
        });
        let explained = 0;
        for (let r = 0; r < runs; r++) explained += rotated[r] * rotated[r] * kernel.explained[b * runs + r];
        square[b] += Math.max(kernel.prior[b] - explained, 0);
      }
    }
    return { mean, variance: square.map((value, b) => Math.max(value - mean[b] * mean[b], 0)) };
  }

  // MeanTerm: one domain's power, or the sum of all, standardised over the runs.
  meanTerm({ power, domain, center, spread }, weights) {
    if (spread === null) return 0;
    const chosen = domain === null ? weights : [weights[domain]];
    const distance = chosen.reduce((sum, weight) => sum + weight ** power, 0) - center;
    return Math.max(-this.farthest, Math.min(this.farthest, distance / spread));
  }

  // KernelTerm, scaled, between the runs and a mixture: the mean over its blocks of domains.
  cross({ power, length, blocks, scale }, runs, weights) {
    return runs.map((run) => {
      const squares = weights.map((weight, i) => (weight ** power - run[i] ** power) ** 2);
      const curves = blocks.map((block) => Math.exp(-block.reduce((sum, i) => sum + squares[i], 0) / (2 * length ** 2)));
      return curves.reduce((sum, curve) => sum + curve, 0) / blocks.length / scale;
    });
  }

  // A weighted sum of scores: Prediction.aggregate and Prediction.run_spread.
  aggregate(prediction, shares) {
    let mean = 0, expectation = 0, run = 0;
    for (let i = 0; i < shares.length; i++) {
      mean += shares[i] * prediction.mean[i];
      for (let j = 0; j < shares.length; j++) {
        const weight = shares[i] * shares[j] * this.correlation[i][j];
        expectation += weight * prediction.deviation[i] * prediction.deviation[j];
        run += weight * prediction.noise[i] * prediction.noise[j];
      }
    }
    const deviation = Math.sqrt(Math.max(expectation, 0));
    return { mean, deviation, run: Math.sqrt(deviation ** 2 + Math.max(run, 0)) };
  }
}

// --- mixtures -------------------------------------------------------------------------------------------------

// The weights after one is set: the others that are not locked share what is left, in proportion. The sum stays 1.
function moved(weights, locks, place, value) {
  const free = weights.map((_, i) => i).filter((i) => i !== place && !locks[i]);
  const fixed = weights.reduce((sum, w, i) => (i !== place && locks[i] ? sum + w : sum), 0);
  const room = Math.max(0, 1 - fixed);
  const chosen = free.length ? Math.min(Math.max(value, 0), room) : room;
  const before = free.reduce((sum, i) => sum + weights[i], 0);
  const left = room - chosen;
  const after = weights.slice();
  after[place] = chosen;
  for (const i of free) after[i] = before > 1e-12 ? (weights[i] / before) * left : left / free.length;
  return after;
}

// Six digits whose sum is 1: what rounding leaves goes to the largest weight (mixtures.round_weights).
function rounded(weights) {
  const units = weights.map((weight) => Math.round(weight * 1e6));
  const largest = units.indexOf(Math.max(...units));
  units[largest] += 1e6 - units.reduce((sum, unit) => sum + unit, 0);
  return units.map((unit) => unit / 1e6);
}

// Total variation distance: the share of prompts that differs.
function distance(one, other) {
  return one.reduce((sum, weight, i) => sum + Math.abs(weight - other[i]), 0) / 2;
}

// --- page -----------------------------------------------------------------------------------------------------

const Z80 = 1.2815515655446004;
const data = JSON.parse(document.getElementById("data").textContent);
const surrogate = new Surrogate(data.predictor);
const domains = surrogate.domains;
const count = domains.length;
const find = (id) => document.getElementById(id);
const three = (value) => (value === null ? "–" : value.toFixed(3));
const targetPlace = (name) => data.targets.findIndex((target) => target.name === name);
const MARKS = ["circle", "square", "up", "down", "cross", "diamond"];

let weights = data.best[data.aim].weights.slice();
// Nothing is known of a domain that no run has tried: its weight stays 0.
const unlocked = () => domains.map((_, i) => data.untried.includes(i));
let locks = unlocked();
let aim = data.aim;

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "rect", "path", "text", "circle", "polyline", "title"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Axis of the scores: as wide as what was scored and what is predicted at the best mixtures.
function range(values, pad) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), room = Math.max(high - low, 0.02) * pad;
  return [low - room, high + room];
}

function ticks(low, high, most) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1].find((size) => (high - low) / size <= most) || 2;
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

// --- sliders

const controls = [];

function buildSliders() {
  for (const i of data.order) {
    const id = `weight-${i}`;
    const label = element("label", { for: id });
    label.append(element("span", { class: "swatch", style: `background:${data.colours[i]}` }), domains[i]);
    const slider = element("input", { type: "range", id, min: 0, max: 1, step: 0.005 });
    const number = element("input", {
      type: "number", min: 0, max: 1, step: 0.01, "aria-label": `weight of ${domains[i]}`,
    });
    const lock = element("button", {
      type: "button", class: "lock", "aria-pressed": "false", "aria-label": `lock the weight of ${domains[i]}`,
    }, "lock");
    slider.addEventListener("input", () => set(i, Number(slider.value), slider));
    // An emptied field, or what is no number, leaves the weight as it was.
    number.addEventListener("change", () => (number.value === "" ? show(null) : set(i, Number(number.value), null)));
    lock.addEventListener("click", () => {
      locks[i] = !locks[i];
      lock.setAttribute("aria-pressed", locks[i]);
      lock.textContent = locks[i] ? "locked" : "lock";
      slider.disabled = number.disabled = locks[i];
    });
    if (locks[i]) {
      slider.disabled = number.disabled = lock.disabled = true;
      lock.textContent = "not tried";
      lock.title = "no run has any of it, so nothing is known of it";
    }
    const track = element("span", { class: "track" }, slider);
    const { minimum, maximum, dry } = data.limits;
    const bounds = [[minimum[i], "least"], [maximum[i], "most"], [dry[i], "runs out above"]];
    for (const [value, what] of bounds) {
      if (value === null || value <= 0 || value >= 1) continue;
      track.append(element("span", {
        // The thumb is 16 px wide: its middle travels the track less half of it at each end.
        class: "bound", style: `left:calc(8px + (100% - 16px) * ${value})`, title: `${what} ${value.toFixed(2)}`,
      }));
    }
    find("sliders").append(element("div", { class: "slider" }, label, track, number, lock));
    controls.push({ i, slider, number, lock });
  }
  const tried = count - data.untried.length;
  const presets = [["equal weights", () => unlocked().map((out) => (out ? 0 : 1 / tried))]];
  for (const name of Object.keys(data.best)) {
    const target = data.targets[targetPlace(name)];
    presets.unshift([`best for ${target.title}`, () => data.best[name].weights]);
  }
  for (const [text, chosen] of presets) {
    find("presets").append(element("button", { type: "button", onclick: () => use(chosen()) }, text));
  }
}

function set(place, value, held) {
  weights = moved(weights, locks, place, value);
  show(held);
}

function use(chosen) {
  locks = unlocked();
  for (const { i, slider, number, lock } of controls) {
    if (locks[i]) continue;
    slider.disabled = number.disabled = false;
    lock.setAttribute("aria-pressed", "false");
    lock.textContent = "lock";
  }
  weights = chosen.slice();
  show(null);
}

function showMixture(held) {
  for (const { i, slider, number } of controls) {
    // Above what the locked weights leave, a slider snaps back: its place is always the weight.
    if (slider !== held || Math.abs(Number(slider.value) - weights[i]) > 0.003) slider.value = weights[i];
    slider.setAttribute("aria-valuetext", `${(100 * weights[i]).toFixed(1)} percent`);
    number.value = weights[i].toFixed(3);
  }
  find("total").textContent = `sum ${weights.reduce((sum, weight) => sum + weight, 0).toFixed(3)}`;
  const { minimum, maximum, dry } = data.limits;
  const complaints = [];
  for (const i of data.order) {
    if (weights[i] < minimum[i] - 1e-6) complaints.push(`${domains[i]} is below its least weight ${minimum[i]}`);
    if (weights[i] > maximum[i] + 1e-6) complaints.push(`${domains[i]} is above its greatest weight ${maximum[i]}`);
    if (dry[i] !== null && weights[i] > dry[i] + 1e-6) {
      complaints.push(`${domains[i]} may run out of examples before the last step (above ${dry[i].toFixed(2)})`);
    }
  }
  find("warning").textContent = complaints.join("; ");
  find("yaml").value = yaml();
  find("copied").textContent = "";
}

function yaml() {
  const values = rounded(weights);
  const lines = data.order.map((i) => `        ${JSON.stringify(domains[i])}: ${values[i]}`);
  return ["strategies:", "  explored:", "    propose: explicit", "    group: own", "    label: Explored",
    "    options:", "      weights:", ...lines, ""].join("\n");
}

async function copy() {
  try {
    await navigator.clipboard.writeText(yaml());
  } catch {
    // Pages from disk may not use the clipboard in every browser: the older way asks for no permission.
    const details = find("yaml").closest("details");
    details.open = true;
    find("yaml").select();
    if (!document.execCommand("copy")) {
      find("copied").textContent = "select the text below and copy it";
      return;
    }
  }
  find("copied").textContent = "copied: paste it into a study";
}

// --- predicted scores

const bars = [];
let axis;

function buildScores() {
  const every = data.targets.flatMap((target, t) => [target.base, ...data.runs.map((run) => run.scores[t])]);
  axis = range(every, 0.06);
  axis = [Math.max(axis[0], Math.min(0, ...every.filter((v) => v !== null))), axis[1]];
  const at = (value) => 100 * (value - axis[0]) / (axis[1] - axis[0]);
  find("axis").append(...[axis[0], axis[1]].map((value) => element("span", {}, value.toFixed(2))));
  data.targets.forEach((target, t) => {
    const runs = data.runs.map((run) => run.scores[t]).filter((value) => value !== null);
    const svg = element("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", height: 18, "aria-hidden": "true" });
    svg.append(element("line", { class: "grid", x1: 0, x2: 100, y1: 8, y2: 8, "vector-effect": "non-scaling-stroke" }));
    const interval = element("rect", { y: 4, height: 8, fill: "var(--accent)", opacity: 0.35 });
    const middle = element("rect", { y: 2, height: 12, width: 1.2, fill: "var(--accent)" });
    svg.append(interval, middle);
    if (target.base !== null) svg.append(element("line", {
      x1: at(target.base), x2: at(target.base), y1: 1, y2: 15, stroke: "var(--base)", "stroke-width": 2,
      "stroke-dasharray": "2 2", "vector-effect": "non-scaling-stroke",
    }));
    if (runs.length) svg.append(element("line", {
      x1: at(Math.max(...runs)), x2: at(Math.max(...runs)), y1: 1, y2: 15, stroke: "var(--best)", "stroke-width": 2,
      "vector-effect": "non-scaling-stroke",
    }));
    const score = element("td", { class: "number", id: `score-${target.name}` });
    const spread = element("td", { class: "number", id: `interval-${target.name}` });
    find("scores").tBodies[0].append(element("tr", { class: target.aggregate ? "aggregate" : "" },
      element("th", { scope: "row" }, target.title), score, spread, element("td", { class: "plot" }, svg)));
    bars.push({ score, spread, interval, middle, at });
  });
}

let saying;

function showScores(prediction) {
  const said = [];
  data.targets.forEach((target, t) => {
    const { mean, run } = surrogate.aggregate(prediction, target.shares);
    const { score, spread, interval, middle, at } = bars[t];
    score.textContent = mean.toFixed(3);
    score.dataset.value = mean;
    score.dataset.deviation = run;
    const known = !data.undetermined[target.name];
    spread.textContent = known ? `± ${(Z80 * run).toFixed(3)}` : "unknown";
    const reach = known ? Z80 * run : 0;
    const low = Math.max(at(mean - reach), 0), high = Math.min(at(mean + reach), 100);
    interval.setAttribute("x", low);
    interval.setAttribute("width", Math.max(high - low, 0.5));
    middle.setAttribute("x", at(mean) - 0.6);
    if (target.aggregate) said.push(`${target.title} ${mean.toFixed(3)}` + (known ? `, give or take ${(Z80 * run).toFixed(3)}` : ""));
  });
  clearTimeout(saying);
  saying = setTimeout(() => { find("spoken").textContent = said.join("; "); }, 400);
}

// --- In against Out

const PLANE = { width: 460, height: 330, left: 46, right: 12, top: 10, bottom: 40 };
let plane;

function buildPlane() {
  const inside = targetPlace("in_score"), outside = targetPlace("out_score");
  if (inside < 0 || outside < 0) {
    find("tradeoff").hidden = true;
    return;
  }
  const front = data.front;
  const runs = data.runs.filter((run) => run.scores[inside] !== null && run.scores[outside] !== null);
  const xs = range([...runs.map((run) => run.scores[inside]), ...front.map((point) => point.score[0])], 0.07);
  const ys = range([...runs.map((run) => run.scores[outside]), ...front.map((point) => point.score[1])], 0.07);
  const { width, height, left, right, top, bottom } = PLANE;
  const x = (value) => left + (width - left - right) * (value - xs[0]) / (xs[1] - xs[0]);
  const y = (value) => height - bottom - (height - top - bottom) * (value - ys[0]) / (ys[1] - ys[0]);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Runs by In- and Out-Score, the predicted Pareto front, and this mixture. The tables hold the numbers." });
  for (const tick of ticks(...xs, 6)) {
    svg.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }),
      element("text", { x: x(tick), y: height - bottom + 15, "text-anchor": "middle" }, String(tick)));
  }
  for (const tick of ticks(...ys, 6)) {
    svg.append(element("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      element("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  svg.append(element("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, "In-Score"),
    element("text", { x: 11, y: (top + height - bottom) / 2, "text-anchor": "middle",
      transform: `rotate(-90 11 ${(top + height - bottom) / 2})` }, "Out-Score"));
  svg.append(element("polyline", { points: front.map((point) => `${x(point.score[0])},${y(point.score[1])}`).join(" "),
    fill: "none", stroke: "var(--front)", "stroke-width": 2 }));
  for (const run of runs) {
    const group = data.groups.indexOf(run.group);
    const shape = MARKS[group % MARKS.length];
    const point = mark(shape, x(run.scores[inside]), y(run.scores[outside]), 4, {
      fill: shape === "cross" ? "none" : group % 2 ? "var(--quiet)" : "var(--card)", stroke: "var(--ink)", "stroke-width": 1.2,
    });
    point.append(element("title", {}, `${run.label}: In ${three(run.scores[inside])}, Out ${three(run.scores[outside])}`));
    if (run.weights) {
      point.style.cursor = "pointer";
      point.addEventListener("click", () => use(run.weights));
    }
    svg.append(point);
  }
  const horizontal = element("line", { stroke: "var(--accent)", "stroke-width": 1.5 });
  const vertical = element("line", { stroke: "var(--accent)", "stroke-width": 1.5 });
  const now = element("g", {});
  svg.append(horizontal, vertical, now);
  find("plane").append(svg);
  const legend = find("plane-legend");
  data.groups.forEach((group, place) => {
    const key = element("svg", { width: 14, height: 12, viewBox: "0 0 14 12", style: "display:inline-block;width:14px;vertical-align:-1px", "aria-hidden": "true" });
    const shape = MARKS[place % MARKS.length];
    key.append(mark(shape, 7, 6, 4, { fill: shape === "cross" ? "none" : place % 2 ? "var(--quiet)" : "var(--card)", stroke: "var(--ink)", "stroke-width": 1.2 }));
    legend.append(key, ` ${group}   `);
  });
  const line = element("svg", { viewBox: "0 0 18 12", style: "display:inline-block;width:18px;height:12px;vertical-align:-1px", "aria-hidden": "true" });
  line.append(element("line", { x1: 0, x2: 18, y1: 6, y2: 6, stroke: "var(--front)", "stroke-width": 2 }));
  legend.append(line, " predicted front; diamond: this mixture, 80 %");
  if (front.length > 1) {
    const slider = element("input", { type: "range", id: "along", min: 0, max: front.length - 1, step: 1,
      value: front.length - 1, style: "width:100%;accent-color:var(--accent)" });
    slider.addEventListener("input", () => {
      const point = front[Number(slider.value)];
      slider.setAttribute("aria-valuetext", `In ${three(point.score[0])}, Out ${three(point.score[1])}`);
      use(point.mixture);
    });
    find("front-choice").append(element("label", { for: "along", class: "quiet" },
      "Walk along the front, from best Out-Score to best In-Score"), slider);
    slider.value = 0;
  }
  plane = { inside, outside, x, y, xs, ys, horizontal, vertical, now };
}

function showPlane(prediction) {
  if (!plane) return;
  const { x, y, xs, ys } = plane;
  const [across, up] = [plane.inside, plane.outside].map((t) => surrogate.aggregate(prediction, data.targets[t].shares));
  const inside = (value, [low, high]) => Math.min(Math.max(value, low), high);
  const ends = (one, t, limits) => {
    const reach = data.undetermined[data.targets[t].name] ? 0 : Z80 * one.run;
    return [one.mean - reach, one.mean + reach].map((value) => inside(value, limits));
  };
  const [x1, x2] = ends(across, plane.inside, xs).map(x), [y1, y2] = ends(up, plane.outside, ys).map(y);
  const cx = x(inside(across.mean, xs)), cy = y(inside(up.mean, ys));
  for (const [name, value] of Object.entries({ x1, x2, y1: cy, y2: cy })) plane.horizontal.setAttribute(name, value);
  for (const [name, value] of Object.entries({ x1: cx, x2: cx, y1, y2 })) plane.vertical.setAttribute(name, value);
  plane.now.replaceChildren(mark("diamond", cx, cy, 6, { fill: "var(--accent)", stroke: "var(--card)", "stroke-width": 1.5 }));
}

// --- runs

function mixtureBar(mixture) {
  const text = data.order.filter((i) => mixture[i] > 0).map((i) => `${domains[i]} ${mixture[i].toFixed(2)}`).join(", ");
  const bar = element("span", { class: "bar", role: "img", "aria-label": text, title: text });
  for (const i of data.order) {
    if (mixture[i] > 0) bar.append(element("span", { style: `width:${100 * mixture[i]}%;background:${data.colours[i]}` }));
  }
  return bar;
}

function scored(run, t) {
  if (t < 0 || run.scores[t] === null) return "–";
  const error = run.errors[t] === null ? "" : ` ± ${three(run.errors[t])}`;
  return three(run.scores[t]) + error + (run.near[t] ? " ≈" : "");
}

function choice(run) {
  return run.weights
    ? element("button", { type: "button", class: "use", title: "show this mixture", onclick: () => use(run.weights) }, run.label)
    : run.label;
}

function showNearest() {
  const near = data.runs.filter((run) => run.weights)
    .map((run) => ({ run, apart: distance(weights, run.weights) }))
    .sort((one, other) => one.apart - other.apart).slice(0, 4);
  const [main, ...others] = shownTargets();
  find("nearest").tBodies[0].replaceChildren(...near.map(({ run, apart }) => element("tr", {},
    element("th", { scope: "row" }, choice(run)),
    element("td", { class: "number" }, `${(100 * apart).toFixed(0)} %`),
    element("td", { class: "number" }, scored(run, main)),
    element("td", {}, mixtureBar(run.weights)),
    ...others.map((t) => element("td", { class: "number" }, scored(run, t))))));
}

// What mixtures are compared by, and the other aggregates; of a table without any, the benchmarks.
function shownTargets() {
  const others = [...data.targets.keys()].filter((t) => data.targets[t].name !== data.aim);
  const aggregates = others.filter((t) => data.targets[t].aggregate);
  return [targetPlace(data.aim), ...(aggregates.length ? aggregates : others)];
}

function buildNearest() {
  const [main, ...others] = shownTargets();
  const score = (t) => element("th", { scope: "col", class: "number" }, data.targets[t].title);
  find("nearest").tHead.rows[0].append(score(main), element("th", { scope: "col" }, "weights"), ...others.map(score));
}

let sorting = { column: 1, falling: true };
let columns;

function buildRuns() {
  // Label, aggregates, group, weights, benchmarks: what is asked for first stands first.
  const order = [...data.targets.keys()].sort((a, b) =>
    (data.targets[b].name === data.aim) - (data.targets[a].name === data.aim) ||
    data.targets[b].aggregate - data.targets[a].aggregate);
  const leading = (t) => data.targets[t].aggregate || data.targets[t].name === data.aim;
  const score = (t) => ({ head: data.targets[t].title, number: true, value: (run) => run.scores[t],
    cell: (run) => (leading(t) ? scored(run, t) : three(run.scores[t])) });
  const aggregates = order.filter(leading), others = order.filter((t) => !leading(t));
  columns = [
    { head: "run", value: (run) => run.label, cell: choice },
    ...aggregates.map(score),
    { head: "strategies", value: (run) => run.group, cell: (run) => run.group },
    ...data.order.map((i) => ({ head: domains[i], number: true, value: (run) => (run.weights ? run.weights[i] : null),
      cell: (run) => (run.weights ? run.weights[i].toFixed(2) : "–") })),
    ...others.map(score),
  ];
  columns.forEach((column, place) => {
    const button = element("button", { type: "button", onclick: () => {
      sorting = { column: place, falling: sorting.column === place ? !sorting.falling : Boolean(column.number) };
      showRuns();
    } }, column.head);
    find("runs").tHead.rows[0].append(element("th", { scope: "col", class: column.number ? "number" : "" }, button));
  });
  showRuns();
}

function showRuns() {
  const { column, falling } = sorting;
  const value = columns[column].value;
  const rows = data.runs.slice().sort((one, other) => {
    const a = value(one), b = value(other);
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return falling ? -order : order;
  });
  [...find("runs").tHead.rows[0].cells].forEach((cell, place) => {
    if (place === column) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
    cell.firstChild.textContent = columns[place].head + (place === column ? (falling ? " ▾" : " ▴") : "");
  });
  find("runs").tBodies[0].replaceChildren(...rows.map((run) => element("tr", {}, ...columns.map((one, place) =>
    element(place ? "td" : "th", { class: one.number ? "number" : "", scope: place ? null : "row" }, one.cell(run))))));
}

// --- best mixture

function buildOptimum() {
  for (const name of Object.keys(data.best)) {
    const button = element("button", { type: "button", "aria-pressed": String(name === aim) }, data.targets[targetPlace(name)].title);
    button.addEventListener("click", () => {
      aim = name;
      for (const other of find("aims").children) other.setAttribute("aria-pressed", String(other === button));
      showOptimum();
    });
    find("aims").append(button);
  }
  showOptimum();
}

function showOptimum() {
  const { weights: chosen, spread } = data.best[aim];
  find("not-known").textContent = spread ? "" : data.undetermined[aim] ?
    `No best mixture is claimed: ${data.undetermined[aim]}.` : "Fewer than four mixtures say nothing of how sure it is.";
  if (!spread) {
    find("spread").tBodies[0].replaceChildren(...(data.undetermined[aim] ? [] : data.order.map((i) => element("tr", {},
      element("th", { scope: "row" }, domains[i]),
      element("td", { class: "number" }, chosen[i].toFixed(2)),
      element("td", { class: "number" }, "unknown")))));
    return;
  }
  find("spread").tBodies[0].replaceChildren(...data.order.map((i) => {
    const [low, quarter, , threeQuarters, high] = spread[i];
    const svg = element("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", height: 18, role: "img",
      "aria-label": `${domains[i]}: in 90 percent of the refits from ${low.toFixed(2)} to ${high.toFixed(2)}` });
    svg.append(element("line", { class: "grid", x1: 0, x2: 100, y1: 8, y2: 8, "vector-effect": "non-scaling-stroke" }),
      element("rect", { x: 100 * low, width: Math.max(100 * (high - low), 0.5), y: 7, height: 2, fill: data.colours[i] }),
      element("rect", { x: 100 * quarter, width: Math.max(100 * (threeQuarters - quarter), 0.5), y: 4, height: 8, fill: data.colours[i] }),
      element("rect", { x: 100 * chosen[i] - 0.6, width: 1.2, y: 1, height: 14, fill: "var(--ink)" }));
    return element("tr", {}, element("th", { scope: "row" }, domains[i]),
      element("td", { class: "number" }, chosen[i].toFixed(2)),
      element("td", { class: "number" }, `${low.toFixed(2)} – ${high.toFixed(2)}`),
      element("td", { style: "padding:0 0 0 8px" }, svg));
  }));
}

function about() {
  const { runs, spearman, rmse, rmse_constant: constant, coverage_80: covered } = data.quality;
  const trust = spearman === null ? "" : `, rank correlation ${spearman.toFixed(2).replace("-", "−")}`;
  const inside = covered === null ? "" : `, ${(100 * covered).toFixed(0)} % of scores inside the 80 % interval`;
  const doubt = rmse === null || rmse >= constant
    ? " It predicts them no better than their mean does: take the numbers below for guesses." : "";
  const untried = data.untried.map((i) => domains[i]);
  const gaps = (untried.length ? ` No run has tried ${untried.join(", ")}: nothing is known of a mixture with it.` : "") +
    (data.undetermined[data.aim] ? ` How far mixtures differ is not known: ${data.undetermined[data.aim]}.` : "");
  find("about").textContent = `Predicted by ${data.surrogate} fitted to ${data.runs.filter((run) => run.weights).length} runs. ` +
    `Tested on ${runs} runs left out by mixture${trust}${inside}.${doubt}${gaps}`;
}

function show(held) {
  const prediction = surrogate.predict(weights);
  showMixture(held);
  showScores(prediction);
  showPlane(prediction);
  showNearest();
}

function buildTheme() {
  const button = find("theme");
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  button.setAttribute("aria-pressed", dark());
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    button.setAttribute("aria-pressed", dark());
  });
}

function buildVerdict() {
  const [answer, ...why] = data.verdict.words;
  find("answer").textContent = answer;
  find("why").replaceChildren(...why.map((text) => element("li", {}, text)));
  find("chosen").textContent = data.verdict.yaml;
  find("chosen").closest("details").hidden = !data.verdict.yaml;
}

buildVerdict();
about();
buildTheme();
buildSliders();
buildScores();
buildPlane();
buildNearest();
buildRuns();
buildOptimum();
find("copy").addEventListener("click", copy);
show(null);
