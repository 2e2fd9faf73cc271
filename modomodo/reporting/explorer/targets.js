// Which score mixtures are judged by, weights of one's own for the benchmarks, and the predicted scores.

function buildTargets() {
  const fields = benchmarks().map((t) => {
    const { name, title } = data.targets[t];
    const id = `own-${t}`;
    const field = element("input", { type: "text", inputmode: "decimal", autocomplete: "off", id });
    field.addEventListener("change", () => {
      const value = field.value.trim() === "" ? 0 : typed(field.value);
      if (value === null || value < 0) {
        say(`“${field.value.trim()}” is no weight: give 0 or a number above it.`);
        showOwn();
        return;
      }
      const numbers = { ...own, [name]: value };
      weigh(numbers);
      judgeBy(own ? OWN : data.aim);
      say(own ? `Own score: ${ownText()}.` : "No benchmark counts: no own score.");
    });
    return { t, name, field, row: element("div", { class: "own" }, element("label", { for: id }, title), field) };
  });
  find("own-fields").replaceChildren(...fields.map(({ row }) => row));
  function showOwn() {
    for (const { name, field } of fields) field.value = own?.[name] ? String(own[name]) : "";
    find("own-said").textContent = own ? `Own score: ${ownText()}.` : "";
  }
  // Like an aggregate of the study: its shares, to change from there.
  const copies = data.targets.filter((target) => target.aggregate && target.name !== OWN).map((target) => {
    const parts = benchmarks().map((t) => data.targets[t]).filter((one) => one.shares.some((share, b) => share > 0 && target.shares[b] > 0));
    return element("button", { type: "button", onclick: () => {
      weigh(Object.fromEntries(parts.map((one) => [one.name, +target.shares[one.shares.findIndex((share) => share > 0)].toFixed(4)])));
      judgeBy(own ? OWN : data.aim);
    } }, `as ${target.title}`);
  });
  find("own-starts").replaceChildren(...copies, element("button", { type: "button", onclick: () => {
    weigh(null);
    showTarget();
  } }, "none"));
  find("aim").addEventListener("change", () => judgeBy(find("aim").value));
  const targeted = () => {
    find("aim").replaceChildren(...data.targets.map(({ name, title }) => element("option", { value: name }, title)));
    find("aim").value = aim;
    showOwn();
    buildScores();
  };
  shows({ target: targeted, mixture: showScores });
}

function ownText() {
  const shares = benchmarks().filter((t) => own[data.targets[t].name] > 0);
  const total = shares.reduce((sum, t) => sum + own[data.targets[t].name], 0);
  return shares.map((t) => `${data.targets[t].title} ${(100 * own[data.targets[t].name] / total).toFixed(0)}%`).join(", ");
}

// --- predicted scores

let rows = [];

function buildScores() {
  const best = bestRun();
  const every = data.targets.flatMap((target, t) => [target.base, ...data.runs.map((run) => run.scores[t])]);
  const [low, high] = range(every, 0.06);
  const axis = [Math.max(low, Math.min(0, ...every.filter((value) => value !== null))), high];
  const at = (value) => Math.min(Math.max(100 * (value - axis[0]) / (axis[1] - axis[0]), 0), 100);
  find("axis").replaceChildren(...axis.map((value) => element("span", {}, value.toFixed(2))));
  find("best-run").textContent = best ? `best run by ${data.targets[targetPlace(aim)].title}, ${best.label}` : "no run";
  rows = data.targets.map((target, t) => {
    const svg = element("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", height: 18, "aria-hidden": "true" });
    const line = (value, stroke, dash) => element("line", { x1: at(value), x2: at(value), y1: 1, y2: 15, stroke, "stroke-width": 2,
      "stroke-dasharray": dash, "vector-effect": "non-scaling-stroke" });
    svg.append(element("line", { class: "grid", x1: 0, x2: 100, y1: 8, y2: 8, "vector-effect": "non-scaling-stroke" }));
    const interval = element("rect", { y: 4, height: 8, fill: "var(--accent)", opacity: 0.35 });
    const middle = element("rect", { y: 2, height: 12, width: 1.2, fill: "var(--accent)" });
    svg.append(interval, middle);
    if (target.base !== null) svg.append(line(target.base, "var(--base)", "2 2"));
    if (best && best.scores[t] !== null) svg.append(line(best.scores[t], "var(--best)", null));
    const name = target.name === OWN ? "own" : target.name;
    const score = element("td", { class: "number", id: `score-${name}` });
    const spread = element("td", { class: "number", id: `interval-${name}` });
    const row = element("tr", { class: target.aggregate ? "aggregate" : "" },
      element("th", { scope: "row" }, target.title), score, spread, element("td", { class: "plot" }, svg));
    return { row, score, spread, interval, middle, at };
  });
  find("scores").tBodies[0].replaceChildren(...rows.map(({ row }) => row));
}

let saying;

function showScores(prediction) {
  const said = [];
  data.targets.forEach((target, t) => {
    const { mean, run } = surrogate.aggregate(prediction, target.shares);
    const { score, spread, interval, middle, at } = rows[t];
    score.textContent = three(mean);
    score.dataset.value = mean;
    score.dataset.deviation = run;
    const known = !data.undetermined[target.name];
    spread.textContent = known ? `± ${(Z80 * run).toFixed(3)}` : "unknown";
    const reach = known ? Z80 * run : 0;
    const low = at(mean - reach), high = at(mean + reach);
    interval.setAttribute("x", low);
    interval.setAttribute("width", Math.max(high - low, 0.5));
    middle.setAttribute("x", at(mean) - 0.6);
    if (target.aggregate) said.push(`${target.title} ${three(mean)}` + (known ? `, give or take ${(Z80 * run).toFixed(3)}` : ""));
  });
  clearTimeout(saying);
  saying = setTimeout(() => { find("spoken").textContent = said.join("; "); }, 400);
}

function scoresTable() {
  const prediction = surrogate.predict(weights);
  return [["score", "expected", "half_of_80_percent", "best_run", "base"], ...data.targets.map((target, t) => {
    const { mean, run } = surrogate.aggregate(prediction, target.shares);
    return [target.title, mean, data.undetermined[target.name] ? null : Z80 * run, bestRun()?.scores[t] ?? null, target.base];
  })];
}
