// Real runs: those nearest to the mixture, and all of them in a table.

let sorting = { column: 1, falling: true };
let columns = [];

function buildRuns() {
  shows({
    reset: () => { sorting = { column: 1, falling: true }; },
    target: () => { buildNearest(); buildTable(); },
    mixture: showNearest,
    link: (parts) => (sorting.column !== 1 || !sorting.falling) && parts.append("sort", `${sorting.column}${sorting.falling ? "-" : "+"}`),
    follow: (parts) => {
      const match = /^(\d+)([+-])$/.exec((parts.get("sort") || "").replace(" ", "+"));
      sorting = match ? { column: Number(match[1]), falling: match[2] === "-" } : { column: 1, falling: true };
    },
  });
}

function scored(run, t, withError = true) {
  if (t < 0 || run.scores[t] === null) return "–";
  const error = run.errors[t] === null || !withError ? "" : ` ± ${three(run.errors[t])}`;
  return three(run.scores[t]) + error + (run.near[t] ? " ≈" : "");
}

// The name of a run shows its mixture; beside it stands the way to its page, where there are pages of runs.
function choice(run) {
  const shown = run.weights
    ? element("button", { type: "button", class: "use", title: "show this mixture", onclick: () => {
      use(run.weights);
      say(`${run.label}: ${mixtureText(weights)}.`);
    } }, run.label)
    : run.label;
  if (!data.runPages) return element("span", {}, shown);
  const address = `${data.runPages}#${encodeURIComponent(run.mixture)}/${run.seed}`;
  return element("span", {}, shown, " ", element("a", { class: "evidence", href: address, "aria-label": `page of ${run.label}: rewards and answers`,
    title: "its rewards and answers" }, "page"));
}

// What mixtures are judged by, and the other aggregates; of a table without any, the benchmarks.
function shownTargets() {
  const others = [...data.targets.keys()].filter((t) => data.targets[t].name !== aim);
  const aggregates = others.filter((t) => data.targets[t].aggregate);
  return [targetPlace(aim), ...(aggregates.length ? aggregates : others)];
}

function buildNearest() {
  const head = (text, kind) => element("th", { scope: "col", class: kind }, text);
  const [main, ...others] = shownTargets();
  find("nearest").tHead.rows[0].replaceChildren(head("run"), head("differs", "number"),
    ...[main, ...others].map((t) => head(data.targets[t].title, "number")), head("weights"));
}

function nearest() {
  return data.runs.filter((run) => run.weights)
    .map((run) => ({ run, apart: distance(weights, run.weights) }))
    .sort((one, other) => one.apart - other.apart).slice(0, 4);
}

function showNearest() {
  const [main, ...others] = shownTargets();
  find("nearest").tBodies[0].replaceChildren(...nearest().map(({ run, apart }) => element("tr", {},
    element("th", { scope: "row" }, choice(run)),
    element("td", { class: "number" }, `${(100 * apart).toFixed(0)}%`),
    ...[main, ...others].map((t) => element("td", { class: "number" }, scored(run, t, false))),
    element("td", {}, mixtureBar(run.weights)))));
}

function buildTable() {
  // Label, aggregates, group, weights, benchmarks: what is asked for first stands first.
  const order = [...data.targets.keys()].sort((a, b) =>
    (data.targets[b].name === aim) - (data.targets[a].name === aim) ||
    data.targets[b].aggregate - data.targets[a].aggregate);
  const leading = (t) => data.targets[t].aggregate || data.targets[t].name === aim;
  const score = (t) => ({ head: data.targets[t].title, number: true, value: (run) => run.scores[t],
    cell: (run) => (leading(t) ? scored(run, t) : three(run.scores[t])) });
  columns = [
    { head: "run", value: (run) => run.label, cell: choice },
    ...order.filter(leading).map(score),
    { head: "strategies", value: (run) => run.group, cell: (run) => run.group },
    ...data.order.map((i) => ({ head: domains[i], number: true, value: (run) => (run.weights ? run.weights[i] : null),
      cell: (run) => (run.weights ? run.weights[i].toFixed(2) : "–") })),
    ...order.filter((t) => !leading(t)).map(score),
  ];
  if (sorting.column >= columns.length) sorting = { column: 1, falling: true };
  find("runs").tHead.rows[0].replaceChildren(...columns.map((column, place) => {
    const button = element("button", { type: "button", onclick: () => {
      sorting = { column: place, falling: sorting.column === place ? !sorting.falling : Boolean(column.number) };
      showRuns();
      keep();
    } }, column.head);
    return element("th", { scope: "col", class: column.number ? "number" : "" }, button);
  }));
  find("near-own").hidden = aim !== OWN;
  find("left-out").textContent = [
    ...data.online ? ["(online): the weights are the shares of the prompts that the run came to; nothing is fitted to its scores."] : [],
    ...data.stopped.length ? [`Stopped by a race before the last step, so that they compare with none above: ${data.stopped.join("; ")}.`] : [],
  ].join(" ");
  showRuns();
}

function sortedRuns() {
  const { column, falling } = sorting, value = columns[column].value;
  return data.runs.slice().sort((one, other) => {
    const a = value(one), b = value(other);
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return falling ? -order : order;
  });
}

function showRuns() {
  const { column, falling } = sorting;
  [...find("runs").tHead.rows[0].cells].forEach((cell, place) => {
    if (place === column) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
    cell.firstChild.textContent = columns[place].head + (place === column ? (falling ? " ▾" : " ▴") : "");
  });
  find("runs").tBodies[0].replaceChildren(...sortedRuns().map((run) => element("tr", {}, ...columns.map((one, place) =>
    element(place ? "td" : "th", { class: one.number ? "number" : "", scope: place ? null : "row" }, one.cell(run))))));
}

function runsTable() {
  const titles = data.targets.map(({ title }) => title);
  return [["mixture", "seed", "run", "strategies", ...data.order.map((i) => `w_${domains[i]}`), ...titles, ...titles.map((title) => `se ${title}`)],
    ...sortedRuns().map((run) => [run.mixture, run.seed, run.label, run.group, ...data.order.map((i) => run.weights?.[i] ?? null), ...run.scores, ...run.errors])];
}

function nearestTable() {
  return [["run", "differs", ...data.order.map((i) => `w_${domains[i]}`), ...data.targets.map(({ title }) => title)],
    ...nearest().map(({ run, apart }) => [run.label, apart, ...data.order.map((i) => run.weights[i]), ...run.scores])];
}
