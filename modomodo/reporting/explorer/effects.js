// What one weight does: the score along it, and what each benchmark gains from more of a domain
// (modomodo/reporting/effects.py). Drawn when seen: each takes many predictions.

// A little beyond 0 and 1, where marks of single domains stand.
const EDGES = [-0.03, 1.03];
const SLICE = { width: 220, height: 165, left: 34, right: 8, top: 8, bottom: 34 };

// Their room is taken before they are drawn: what lies below must not move away under a pointer.
function buildEffects() {
  const { width, height } = SLICE;
  sayOfSlices();
  find("slice-charts").replaceChildren(...slicedDomains().map(() => element("figure", {}, element("svg", { viewBox: `0 0 ${width} ${height}` }))));
  sayOfEffects();
  fillEffects(slicedDomains(), () => element("td", { class: "number heat" }, "\u00a0"));
  showsWhenSeen("slices", drawSlices);
  showsWhenSeen("effects", drawEffects);
}

// Weights are closer near 0, where the first prompts of a domain teach most.
function sliceWeights() {
  const { points } = data.slices;
  return Array.from({ length: points }, (_, i) => (i / (points - 1)) ** 2);
}

// Expectation and spread of one run of a target along a domain's weight; the others keep their proportions.
function sliceOf(i, shares) {
  return sliceWeights().map((weight) => {
    const prediction = surrogate.predict(moved(weights, unlocked(), i, weight));
    return { weight, ...surrogate.aggregate(prediction, shares) };
  });
}

// Real runs near a slice, each at its own weight of the domain.
function runsNear(i, t) {
  return data.runs.filter((run) => run.weights && run.scores[t] !== null &&
    distance(run.weights, moved(weights, unlocked(), i, run.weights[i])) <= data.slices.near);
}

const slicedDomains = () => data.order.filter((i) => !data.untried.includes(i));
let drawing = 0;

function sayOfSlices() {
  const t = targetPlace(aim), target = data.targets[t], known = !data.undetermined[target.name];
  find("slices-said").textContent = `${target.title} along the weight of one domain, through the mixture above; the other ` +
    `domains keep their proportions. ${known ? "Band: 80% of what one run would score. " : ""}Points: real runs that differ from it in at ` +
    `most ${100 * data.slices.near}% of the prompts${data.runs.some((run) => run.errors[t]) ? ", with one standard error" : ""}.`;
}

// One small chart after another, so that the page answers in between; a newer mixture ends an older drawing.
function drawSlices() {
  const t = targetPlace(aim), target = data.targets[t], mine = ++drawing;
  const known = !data.undetermined[target.name];
  sayOfSlices();
  const all = data.runs.map((run) => run.scores[t]);
  const left = slicedDomains(), found = [];
  const next = () => {
    if (mine !== drawing) return;
    const i = left.shift();
    if (i !== undefined) {
      found.push({ i, line: sliceOf(i, target.shares) });
      setTimeout(next);
      return;
    }
    const ends = found.flatMap(({ line }) => line.flatMap(({ mean, run }) => (known ? [mean - Z80 * run, mean + Z80 * run] : [mean])));
    const ys = range([...ends, ...all], 0.03);
    find("slice-charts").replaceChildren(...found.map(({ i, line }) => sliceChart(i, line, t, ys, known)));
  };
  next();
}

function sliceChart(i, line, t, ys, known) {
  const made = chart(SLICE, EDGES, ys, [short(`weight of ${domains[i]}`, 28), ""], [5, 5]);
  const { svg, plot, x, y } = made;
  const path = (points) => points.map(([across, up]) => `${x(across)},${y(up)}`).join(" ");
  if (known) {
    plot.append(element("polygon", { class: "band", fill: shade(i), points: path([
      ...line.map(({ weight, mean, run }) => [weight, mean + Z80 * run]),
      ...line.slice().reverse().map(({ weight, mean, run }) => [weight, mean - Z80 * run]),
    ]) }));
  }
  plot.append(element("polyline", { class: "slice", stroke: shade(i), points: path(line.map(({ weight, mean }) => [weight, mean])) }));
  for (const run of runsNear(i, t)) {
    plot.append(errorBars(made, [run.weights[i], run.scores[t]], [0, run.errors[t]]));
    const point = runMark(run, x(run.weights[i]), y(run.scores[t]), 3);
    point.append(element("title", {}, `${run.label}: ${three(run.scores[t])}`));
    plot.append(point);
  }
  plot.append(element("line", { class: "here", x1: x(weights[i]), x2: x(weights[i]), y1: 0, y2: made.up }));
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    if (!locks[i]) set(i, Math.min(Math.max(EDGES[0] + (EDGES[1] - EDGES[0]) * (event.clientX - box.left) / box.width, 0), 1), null);
  });
  const best = line.reduce((one, other) => (other.mean > one.mean ? other : one));
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${data.targets[t].title} along the weight of ${domains[i]}: ${three(line[0].mean)} without it, ` +
    `${three(line[line.length - 1].mean)} with nothing else, greatest ${three(best.mean)} at ${best.weight.toFixed(2)}`);
  return element("figure", {}, svg);
}

function slicesTable() {
  const rows = [["domain", "weight", "target", "mean", "deviation", "run"]];
  const target = data.targets[targetPlace(aim)];
  for (const i of slicedDomains()) {
    for (const { weight, mean, deviation, run } of sliceOf(i, target.shares)) rows.push([domains[i], weight, target.title, mean, deviation, run]);
  }
  return rows;
}

// --- effects

// Of `data.slices.step` more weight of a domain on every target: { effect, error } by target.
function effectsOf(i) {
  const after = moved(weights, unlocked(), i, Math.min(weights[i] + data.slices.step, 1));
  const gain = surrogate.difference(after, weights);
  return data.targets.map(({ shares }) => {
    const { mean, deviation } = surrogate.aggregate(gain, shares);
    return { effect: mean, error: deviation };
  });
}

function drawEffects() {
  const shown = slicedDomains();
  const columns = shown.map((i) => ({ i, cells: effectsOf(i) }));
  const most = Math.max(...columns.flatMap(({ cells }) => cells.map(({ effect }) => Math.abs(effect))), 0.005);
  sayOfEffects();
  fillEffects(shown, (target, t, place) => effectCell(columns[place].i, target, columns[place].cells[t], most));
}

function sayOfEffects() {
  find("effects-said").textContent = `What each score is expected to gain from ${data.slices.step.toFixed(2)} more weight of a domain in the mixture above; the ` +
    "others keep their proportions. Blue gains, orange loses. Bold: beyond the doubt of the fit (1.96 standard errors of the difference).";
}

// The table, with a cell for each target and domain.
function fillEffects(shown, cell) {
  find("effect").tHead.rows[0].replaceChildren(element("th", { scope: "col" }, "score"),
    ...shown.map((i) => element("th", { scope: "col", class: "number" }, domains[i])));
  find("effect").tBodies[0].replaceChildren(...data.targets.map((target, t) => element("tr", { class: target.aggregate ? "aggregate" : "" },
    element("th", { scope: "row" }, target.title),
    ...shown.map((_, place) => cell(target, t, place)))));
}

function effectCell(i, target, { effect, error }, most) {
  const full = weights[i] > 1 - 1e-9, known = !data.undetermined[target.name];
  const clear = known && Math.abs(effect) > 1.96 * error;
  const strength = Math.round(70 * Math.min(Math.abs(effect) / most, 1));
  const colour = effect >= 0 ? "var(--gain)" : "var(--loss)";
  const text = full ? "–" : signed(effect);
  const cell = element("td", { class: `number heat${clear ? " clear" : ""}`, style: full ? "" : `background:color-mix(in srgb, ${colour} ${strength}%, var(--card))`,
    title: full ? "it has all the weight" : `${domains[i]} on ${target.title}: ${text}${known ? ` ± ${error.toFixed(3)}` : ""}` }, text);
  if (!full && known) cell.append(element("span", { class: "hidden" }, ` plus or minus ${error.toFixed(3)}`));
  return cell;
}

function effectsTable() {
  const rows = [["domain", "target", "change", "effect", "error"]];
  for (const i of slicedDomains()) {
    const change = Math.min(weights[i] + data.slices.step, 1) - weights[i];
    effectsOf(i).forEach(({ effect, error }, t) => rows.push([domains[i], data.targets[t].title, change, effect, error]));
  }
  return rows;
}
