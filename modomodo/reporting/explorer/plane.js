// Two scores against each other: the runs with their errors, the predicted front, and this mixture. It can be zoomed.

const PLANE = { width: 520, height: 360, left: 50, right: 12, top: 10, bottom: 42 };
const NAMED = 3;  // best runs that carry their name; all do where so few are left in view
let plane = null;  // what is drawn, null where the table has one score only
let zoom = null;  // [xs, ys] of the part that is shown, null: all

function buildPlane() {
  const buttons = [["zoom in", () => scaled(0.5)], ["zoom out", () => scaled(2)],
    ["best quarter of the runs", () => zoomTo(quarter())], ["show all", () => zoomTo(null)]];
  for (const [text, act] of buttons) find("zoom").append(element("button", { type: "button", onclick: act }, text));
  find("errors").addEventListener("change", drawPlane);
  const area = find("plane");
  area.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, 0.2], ArrowDown: [0, -0.2] };
    if (event.key === "+" || event.key === "=") scaled(0.5);
    else if (event.key === "-") scaled(2);
    else if (event.key === "0") zoomTo(null);
    else if (steps[event.key] && plane) zoomTo(shifted(...steps[event.key]));
    else return;
    event.preventDefault();
  });
  area.addEventListener("pointerdown", (event) => event.pointerType !== "touch" && event.button === 0 && drag(event));
  shows({
    reset: () => { zoom = null; },
    target: () => { measurePlane(); buildFront(); drawPlane(); },
    mixture: showPlane,
    link: (parts) => zoom && parts.append("zoom", zoom.flat().join(",")),
    follow: (parts) => {
      const ends = (parts.get("zoom") || "").split(",").map(Number);
      const right = ends.length === 4 && ends.every(Number.isFinite) && ends[0] < ends[1] && ends[2] < ends[3];
      zoom = right ? [ends.slice(0, 2), ends.slice(2)] : null;
    },
  });
}

// Which two scores, their runs, and how far they reach. The score that mixtures are judged by stands upright.
function measurePlane() {
  const names = data.targets.map((target) => target.name);
  const up = aim === "in_score" && names.includes("out_score") ? "out_score" : aim;
  const across = ["in_score", "out_score", ...names].find((name) => name !== up && names.includes(name));
  find("tradeoff").hidden = across === undefined;
  plane = null;
  if (across === undefined) return;
  const [a, u] = [targetPlace(across), targetPlace(up)];
  const runs = data.runs.filter((run) => run.scores[a] !== null && run.scores[u] !== null);
  const front = across === "in_score" && up === "out_score" ? data.front : [];
  const reach = (t, place) => range([...runs.map((run) => run.scores[t]), ...front.map((point) => point.score[place])], 0.07);
  find("with-errors").hidden = !runs.some((run) => run.errors[a] || run.errors[u]);
  find("tradeoff-title").textContent = `${data.targets[u].title} against ${data.targets[a].title}`;
  plane = { a, u, runs, front, whole: [reach(a, 0), reach(u, 1)] };
}

function zoomTo(ranges) {
  zoom = ranges && ranges.map((ends) => ends.map((value) => +value.toFixed(5)));  // as the link holds them
  drawPlane();
  keep();
  const [xs, ys] = zoom || plane.whole;
  find("zoomed").textContent = zoom ? `shown: ${data.targets[plane.a].title} ${three(xs[0])} to ${three(xs[1])}, ` +
    `${data.targets[plane.u].title} ${three(ys[0])} to ${three(ys[1])}` : "";
}

function scaled(factor) {
  const ranges = zoom || plane.whole;
  const next = ranges.map(([low, high]) => {
    const middle = (low + high) / 2, half = Math.max((high - low) / 2 * factor, 0.004);
    return [middle - half, middle + half];
  });
  zoomTo(next.every(([low, high], i) => high - low >= plane.whole[i][1] - plane.whole[i][0]) ? null : next);
}

function shifted(across, up) {
  return (zoom || plane.whole).map(([low, high], i) => [low, high].map((end) => end + (i ? up : across) * (high - low)));
}

// Where the best quarter of the runs lies, by the upright score.
function quarter() {
  const sorted = plane.runs.slice().sort((one, other) => other.scores[plane.u] - one.scores[plane.u]);
  const best = sorted.slice(0, Math.max(2, Math.ceil(sorted.length / 4)));
  return [plane.a, plane.u].map((t) => range(best.map((run) => run.scores[t]), 0.15));
}

// A rectangle drawn with the mouse becomes the view.
function drag(event) {
  const svg = find("plane").querySelector("svg");
  if (!svg) return;
  const { left, top } = PLANE;
  const at = (move) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [move.clientX - box.left, move.clientY - box.top].map((value) => value * PLANE.width / box.width);
    return [Math.min(Math.max(x - left, 0), plane.across), Math.min(Math.max(y - top, 0), plane.up)];
  };
  const start = at(event);
  const frame = element("rect", { class: "frame" });
  plane.plot.append(frame);
  const move = (moving) => {
    const end = at(moving);
    for (const [name, value] of Object.entries({ x: Math.min(start[0], end[0]), y: Math.min(start[1], end[1]),
      width: Math.abs(end[0] - start[0]), height: Math.abs(end[1] - start[1]) })) frame.setAttribute(name, value);
  };
  const stop = (ended) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", stop);
    removeEventListener("pointercancel", stop);
    frame.remove();
    const end = at(ended);
    if (ended.type === "pointercancel" || Math.abs(end[0] - start[0]) < 8 || Math.abs(end[1] - start[1]) < 8) return;
    const [xs, ys] = zoom || plane.whole;
    const x = (place) => xs[0] + (xs[1] - xs[0]) * place / plane.across, y = (place) => ys[1] - (ys[1] - ys[0]) * place / plane.up;
    zoomTo([[start[0], end[0]].sort((p, q) => p - q).map(x), [start[1], end[1]].sort((p, q) => q - p).map(y)]);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop);
  addEventListener("pointercancel", stop);
}

function drawPlane() {
  if (!plane) return;
  const { a, u, runs, front } = plane;
  const [xs, ys] = zoom || plane.whole;
  const made = chart(PLANE, xs, ys, [data.targets[a].title, data.targets[u].title]);
  Object.assign(plane, made, { xs, ys });
  const { x, y, plot } = made;
  const path = (points) => points.map(([across, up]) => `${x(across)},${y(up)}`).join(" ");
  made.svg.setAttribute("role", "img");
  made.svg.setAttribute("aria-label", `Runs by ${data.targets[a].title} and ${data.targets[u].title}, and this mixture. The table of all runs holds the numbers.`);
  if (find("errors").checked) {
    plot.append(...runs.map((run) => errorBars(made, [run.scores[a], run.scores[u]], [run.errors[a], run.errors[u]])));
  }
  for (const seeds of repeated(runs)) {
    plot.append(element("polyline", { class: "seeds", points: path(seeds.map((run) => [run.scores[a], run.scores[u]])) }));
  }
  if (front.length) plot.append(element("polyline", { class: "front", points: path(front.map((point) => point.score)) }));
  const inside = runs.filter((run) => run.scores[a] >= xs[0] && run.scores[a] <= xs[1] && run.scores[u] >= ys[0] && run.scores[u] <= ys[1]);
  const points = inside.map((run) => ({ run, px: x(run.scores[a]), py: y(run.scores[u]) }));
  for (const { run, px, py } of points) {
    const point = runMark(run, px, py, 4);
    point.append(element("title", {}, `${run.label}: ${data.targets[a].title} ${three(run.scores[a])}, ${data.targets[u].title} ${three(run.scores[u])}`));
    if (run.weights) {
      point.style.cursor = "pointer";
      point.addEventListener("click", () => use(run.weights));
    }
    plot.append(point);
  }
  const best = points.slice().sort((one, other) => other.run.scores[u] - one.run.scores[u]);
  const labelled = zoom && best.length <= 15 ? best : best.slice(0, NAMED);
  plot.append(...names(labelled.map(({ run, px, py }) => ({ px, py, text: run.label })), points, made));
  plane.now = element("g", {});
  plot.append(plane.now);
  find("plane").replaceChildren(made.svg);
  drawPlaneLegend();
  showPlane(surrogate.predict(weights));
}

// The runs of each mixture that has several.
function repeated(runs) {
  const seeds = new Map();
  for (const run of runs) seeds.set(run.mixture, [...(seeds.get(run.mixture) || []), run]);
  return [...seeds.values()].filter((found) => found.length > 1);
}

function drawPlaneLegend() {
  const key = (...drawn) => {
    const svg = element("svg", { width: 18, height: 12, viewBox: "0 0 18 12", class: "symbol", "aria-hidden": "true" });
    svg.append(...drawn);
    return svg;
  };
  const entries = data.groups.map((group) => [key(runMark({ group }, 9, 6, 4)), group]);
  if (repeated(plane.runs).length) entries.push([key(element("line", { class: "seeds", x1: 0, x2: 18, y1: 6, y2: 6 })), "seeds of one mixture"]);
  if (find("errors").checked && plane.runs.some((run) => run.errors[plane.u])) {
    const bar = element("g", { class: "error" }, element("line", { x1: 2, x2: 16, y1: 6, y2: 6 }), element("line", { x1: 9, x2: 9, y1: 0, y2: 12 }));
    entries.push([key(bar), "± one standard error"]);
  }
  if (plane.front.length) entries.push([key(element("line", { class: "front", x1: 0, x2: 18, y1: 6, y2: 6 })), "predicted front"]);
  entries.push([key(mark("diamond", 9, 6, 4, { fill: "var(--accent)" })), "this mixture, 80%"]);
  find("plane-legend").replaceChildren(...entries.map(([symbol, text]) => element("span", { class: "entry" }, symbol, ` ${text}`)));
}

function showPlane(prediction) {
  if (!plane) return;
  const { x, y, xs, ys, now } = plane;
  const [across, up] = [plane.a, plane.u].map((t) => surrogate.aggregate(prediction, data.targets[t].shares));
  const inside = (value, [low, high]) => Math.min(Math.max(value, low), high);
  const ends = (one, t, limits) => {
    const reach = data.undetermined[data.targets[t].name] ? 0 : Z80 * one.run;
    return [one.mean - reach, one.mean + reach].map((value) => inside(value, limits));
  };
  const [x1, x2] = ends(across, plane.a, xs).map(x), [y1, y2] = ends(up, plane.u, ys).map(y);
  const cx = x(inside(across.mean, xs)), cy = y(inside(up.mean, ys));
  now.replaceChildren(element("line", { class: "now", x1, x2, y1: cy, y2: cy }), element("line", { class: "now", x1: cx, x2: cx, y1, y2 }),
    mark("diamond", cx, cy, 6, { fill: "var(--accent)", stroke: "var(--card)", "stroke-width": 1.5 }));
  showFront();
}

// --- along the front

function buildFront() {
  const front = plane ? plane.front : [];
  find("front-choice").hidden = front.length < 2;
  if (front.length < 2) return;
  const slider = element("input", { type: "range", id: "along", min: 0, max: front.length - 1, step: 1 });
  slider.addEventListener("input", () => use(front[Number(slider.value)].mixture));
  find("front-choice").replaceChildren(element("label", { for: "along", class: "quiet" },
    "Walk along the front, from best Out-Score to best In-Score"), slider, element("span", { id: "off-front", class: "quiet" }));
}

// The slider stands at the nearest mixture of the front, and says where this one is not on it.
function showFront() {
  const slider = find("along");
  if (!slider || plane.front.length < 2) return;
  const far = plane.front.map((point) => distance(weights, point.mixture));
  const place = far.indexOf(Math.min(...far)), point = plane.front[place];
  if (far[Number(slider.value)] > far[place] + 1e-9) slider.value = place;
  slider.setAttribute("aria-valuetext", `In-Score ${three(point.score[0])}, Out-Score ${three(point.score[1])}`);
  find("off-front").textContent = far[place] < 0.005 ? "this mixture is on the front"
    : `this mixture is not on it: the nearest one differs in ${(100 * far[place]).toFixed(0)}% of the prompts`;
}
