// What the page shows: the mixture, which weights are locked, and the score that mixtures are judged by. Every view
// draws itself from this, and a link holds all of it.

const Z80 = 1.2815515655446004;
const data = JSON.parse(document.getElementById("data").textContent);
const surrogate = new Surrogate(data.predictor);
const domains = surrogate.domains;
const count = domains.length;
const find = (id) => document.getElementById(id);
const targetPlace = (name) => data.targets.findIndex((target) => target.name === name);
const OWN = " own";  // a target that no study can name

// Nothing is known of a domain that no run has tried: its weight stays 0.
const unlocked = () => domains.map((_, i) => data.untried.includes(i));
let weights = data.start.slice();
let locks = unlocked();
let aim = data.aim;
let own = null;  // numbers by benchmark, where benchmarks have weights of one's own

// What a view does when the mixture changes, when another score is looked at (reset, then target), and of a link.
const views = [];  // { mixture, target, reset, link, follow }
const late = [];  // views that take time to compute: drawn when they are seen

function shows(view) {
  views.push(view);
}

// A view that is drawn, after the others, only while its section is on the screen.
function showsWhenSeen(id, draw) {
  const view = { draw, seen: false, stale: true };
  new IntersectionObserver((entries) => {
    view.seen = entries[entries.length - 1].isIntersecting;
    drawLate();
  }, { rootMargin: "300px" }).observe(find(id));
  late.push(view);
}

let waiting;

function drawLate() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    for (const view of late) {
      if (!view.seen || !view.stale) continue;
      view.stale = false;
      view.draw();
    }
  }, 60);
}

// `held`: the slider that is being moved.
function show(held) {
  const prediction = surrogate.predict(weights);
  for (const view of views) view.mixture?.(prediction, held);
  for (const view of late) view.stale = true;
  drawLate();
  keep();
}

function showAll() {
  for (const view of views) view.target?.();
  show(null);
}

function showTarget() {
  for (const view of views) view.reset?.();
  showAll();
}

function set(place, value, held) {
  weights = moved(weights, locks, place, value);
  show(held);
}

function use(chosen) {
  locks = unlocked();
  weights = chosen.slice();
  show(null);
}

function judgeBy(name) {
  aim = name;
  showTarget();
}

function say(text) {
  find("said").textContent = text;
}

// --- the score that mixtures are judged by

// The benchmarks alone; aggregates are made of them.
const benchmarks = () => data.targets.map((_, t) => t).filter((t) => !data.targets[t].aggregate);

// Benchmarks weighted by numbers of one's own, by name; null takes the score away. The numbers need not sum to 1.
function weigh(numbers) {
  const place = targetPlace(OWN);
  if (place >= 0) {
    data.targets.splice(place, 1);
    for (const run of data.runs) for (const list of [run.scores, run.errors, run.near]) list.splice(place, 1);
    delete data.best[OWN];
  }
  const counted = benchmarks().filter((t) => numbers && numbers[data.targets[t].name] > 0);
  own = counted.length ? numbers : null;
  if (!own) {
    if (aim === OWN) aim = data.aim;
    return;
  }
  const total = counted.reduce((sum, t) => sum + numbers[data.targets[t].name], 0);
  const parts = counted.map((t) => ({ t, share: numbers[data.targets[t].name] / total }));
  const mean = (values) => (values.includes(null) ? null : values.reduce((sum, value, i) => sum + parts[i].share * value, 0));
  // Errors of benchmarks are independent (modomodo.mixtures.records.aggregate).
  const error = (values) => (values.includes(null) ? null : Math.hypot(...values.map((value, i) => parts[i].share * value)));
  const doubts = parts.map(({ t }) => data.undetermined[data.targets[t].name]);
  data.undetermined[OWN] = doubts.every(Boolean) ? doubts[0] : "";
  data.targets.push({
    name: OWN, title: "own score", aggregate: true,
    shares: surrogate.benchmarks.map((_, b) => parts.reduce((sum, { t, share }) => sum + share * data.targets[t].shares[b], 0)),
    base: mean(parts.map(({ t }) => data.targets[t].base)),
  });
  for (const run of data.runs) {
    run.scores.push(mean(parts.map(({ t }) => run.scores[t])));
    run.errors.push(error(parts.map(({ t }) => run.errors[t])));
    run.near.push(false);  // what can be told apart was judged question by question, for the study's scores
  }
}

// The mixture of greatest expected score; of one's own weights it is looked for here.
function bestFor(name) {
  if (!data.best[name]) {
    const shares = data.targets[targetPlace(name)].shares;
    const height = (mixture) => surrogate.mean(mixture).reduce((sum, value, b) => sum + shares[b] * value, 0);
    const starts = [...Object.values(data.best).map((one) => one.weights), ...data.runs.map((run) => run.weights).filter(Boolean)];
    const out = data.untried;
    const most = data.limits.maximum.map((limit, i) => (out.includes(i) ? 0 : limit));
    data.best[name] = { weights: climbed(starts, height, data.limits.minimum, most), spread: null };
  }
  return data.best[name];
}

// The best run by the score that is shown, or null.
function bestRun() {
  const t = targetPlace(aim);
  return data.runs.filter((run) => run.scores[t] !== null).sort((a, b) => b.scores[t] - a.scores[t])[0] || null;
}

// --- the link

let keeping, untouched;

// The address follows what is shown, so that copying it copies the view; it stays as it was until something changes.
function keep() {
  clearTimeout(keeping);
  untouched ??= link();
  keeping = setTimeout(() => {
    const text = link();
    if (text === untouched && !location.hash) return;
    try {
      history.replaceState(null, "", `#${text}`);
    } catch {
      // Inside another page, as in the report, there is no address of its own.
    }
  }, 150);
}

function link() {
  const parts = new URLSearchParams();
  const values = rounded(weights);
  for (const i of data.order) if (values[i] > 0) parts.append("w", `${domains[i]}:${values[i]}`);
  for (const i of data.order) if (locks[i] && !data.untried.includes(i)) parts.append("lock", domains[i]);
  if (aim !== data.aim) parts.append("by", aim === OWN ? "own" : `score:${aim}`);
  for (const [name, number] of Object.entries(own || {})) if (number > 0) parts.append("own", `${name}:${number}`);
  for (const view of views) view.link?.(parts);
  return parts.toString();
}

// Take the view over from the address; what it names and this page does not know is said and left out.
function follow(text) {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  const unknown = [];
  const pairs = (key, names) => parts.getAll(key).map((entry) => {
    const cut = entry.lastIndexOf(":"), name = entry.slice(0, cut), number = Number(entry.slice(cut + 1));
    if (names.includes(name) && number >= 0 && Number.isFinite(number)) return [name, number];
    unknown.push(entry);
    return null;
  }).filter(Boolean);
  const numbers = pairs("own", benchmarks().map((t) => data.targets[t].name));
  weigh(numbers.length ? Object.fromEntries(numbers) : null);
  const by = parts.get("by");
  const name = by === "own" ? OWN : (by || "").replace(/^score:/, "") || data.aim;
  if (targetPlace(name) >= 0) aim = name;
  else {
    aim = data.aim;
    unknown.push(by);
  }
  unknown.push(...parts.getAll("lock").filter((name) => !domains.includes(name)));
  locks = domains.map((domain, i) => data.untried.includes(i) || parts.getAll("lock").includes(domain));
  const given = pairs("w", domains.filter((_, i) => !data.untried.includes(i)));
  const total = given.reduce((sum, [, weight]) => sum + weight, 0);
  weights = data.start.slice();
  if (total > 0) weights = domains.map((domain) => (given.find(([named]) => named === domain)?.[1] || 0) / total);
  for (const view of views) view.follow?.(parts);
  say(unknown.length ? `This page does not know what the link says of ${unknown.join(", ")}.` : "");
}
