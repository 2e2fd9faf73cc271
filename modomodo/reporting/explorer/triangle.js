// Three domains against each other: the expected score of every way to share among them the weight that they have in the
// mixture; all others keep theirs. Of a study of three domains that is every mixture.

const TRIANGLE = { width: 460, side: 380, left: 40, top: 30, height: 420 };
const ROWS = 30;  // of small triangles
const STEPS = 10;  // of colour
let corners = null;  // domains that were chosen; null: those of greatest weight

function buildTriangle() {
  const tried = data.order.filter((i) => !data.untried.includes(i));
  find("triangle").hidden = tried.length < 3;
  if (tried.length < 3) return;
  const fields = ["first", "second", "third"].map((which, place) => {
    const field = element("select", { "aria-label": `${which} domain of the triangle` }, ...tried.map((i) => element("option", { value: i }, domains[i])));
    field.addEventListener("change", () => {
      const chosen = cornersShown(), value = Number(field.value), twice = chosen.indexOf(value);
      if (twice >= 0) chosen[twice] = chosen[place];  // the two change places
      chosen[place] = value;
      corners = chosen;
      drawTriangle();
      keep();
    });
    return field;
  });
  if (tried.length > 3) find("corners").append("between ", ...fields);
  const drawn = () => {
    cornersShown().forEach((i, place) => { fields[place].value = i; });
    drawTriangle();
  };
  sayOfTriangle();
  const { width, height } = TRIANGLE;
  find("triangle-chart").append(element("svg", { viewBox: `0 0 ${width} ${height}` }));  // its room, before it is drawn
  showsWhenSeen("triangle", drawn);
  shows({
    link: (parts) => (corners || []).forEach((i) => parts.append("corner", domains[i])),
    follow: (parts) => {
      const named = parts.getAll("corner").map((name) => domains.indexOf(name)).filter((i) => tried.includes(i));
      corners = new Set(named).size === 3 && named.length === 3 ? named : null;
    },
  });
}

function cornersShown() {
  if (corners) return corners.slice();
  const tried = data.order.filter((i) => !data.untried.includes(i));
  const heaviest = tried.slice().sort((a, b) => weights[b] - weights[a]).slice(0, 3);
  return tried.filter((i) => heaviest.includes(i));
}

// The mixture where the three share their weight in some proportions; without any, all of the weight.
function sharedOut(chosen, parts) {
  const mass = chosen.reduce((sum, i) => sum + weights[i], 0);
  const mixture = mass > 1e-9 ? weights.slice() : weights.map(() => 0);
  chosen.forEach((i, place) => { mixture[i] = parts[place] * (mass > 1e-9 ? mass : 1); });
  return mixture;
}

// { parts of each corner, proportions in the middle, expected score } of every small triangle.
function triangleCells(chosen) {
  const { shares } = data.targets[targetPlace(aim)];
  const cells = [];
  const add = (...tips) => {
    const middle = [0, 1, 2].map((k) => tips.reduce((sum, tip) => sum + tip[k], 0) / 3 / ROWS);
    const mean = surrogate.mean(sharedOut(chosen, middle)).reduce((sum, value, b) => sum + shares[b] * value, 0);
    cells.push({ tips: tips.map((tip) => tip.map((part) => part / ROWS)), middle, mean });
  };
  for (let up = 0; up < ROWS; up++) {
    for (let along = 0; along < ROWS - up; along++) {
      const rest = ROWS - up - along;
      add([rest, along, up], [rest - 1, along + 1, up], [rest - 1, along, up + 1]);
      if (rest > 1) add([rest - 1, along + 1, up], [rest - 2, along + 1, up + 1], [rest - 1, along, up + 1]);
    }
  }
  return cells;
}

function drawTriangle() {
  const { side, left, top } = TRIANGLE, high = side * Math.sqrt(3) / 2;
  const t = targetPlace(aim), title = data.targets[t].title, chosen = cornersShown();
  const at = ([, second, third]) => [left + side * (second + third / 2), top + high * (1 - third)];
  const cells = triangleCells(chosen);
  const low = Math.min(...cells.map(({ mean }) => mean)), most = Math.max(...cells.map(({ mean }) => mean));
  const step = (mean) => Math.min(Math.floor(STEPS * (mean - low) / Math.max(most - low, 1e-9)), STEPS - 1);
  const best = cells.find(({ mean }) => mean === most);
  const text = (parts) => chosen.map((i, place) => `${domains[i]} ${sharedOut(chosen, parts)[i].toFixed(2)}`).join(", ");
  const svg = element("svg", { viewBox: `0 0 ${TRIANGLE.width} ${TRIANGLE.height}`, role: "img",
    "aria-label": `Expected ${title} between ${chosen.map((i) => domains[i]).join(", ")}: from ${three(low)} to ${three(most)}, greatest at ${text(best.middle)}` });
  for (const { tips, mean } of cells) {
    svg.append(element("polygon", { class: "cell", points: tips.map((tip) => at(tip).join()).join(" "), style: `--step: ${Math.round(100 * step(mean) / (STEPS - 1))}%` }));
  }
  for (const run of data.runs) {
    const own = run.weights ? chosen.map((i) => run.weights[i]) : [], mass = own.reduce((sum, weight) => sum + weight, 0);
    if (!(mass > 0) || run.scores[t] === null) continue;
    const parts = own.map((weight) => weight / mass);
    if (distance(run.weights, sharedOut(chosen, parts)) > data.slices.near) continue;
    const point = runMark(run, ...at(parts), 4);
    point.append(element("title", {}, `${run.label}: ${title} ${three(run.scores[t])}`));
    svg.append(point);
  }
  const mass = chosen.reduce((sum, i) => sum + weights[i], 0);
  if (mass > 1e-9) svg.append(mark("diamond", ...at(chosen.map((i) => weights[i] / mass)), 7, { fill: "var(--warn)", stroke: "var(--card)", "stroke-width": 1.5 }));
  const names = [[[1, 0, 0], 18, "start", -20], [[0, 1, 0], 18, "end", 20], [[0, 0, 1], -12, "middle", 0]];
  names.forEach(([parts, down, anchor, aside], place) => {
    const [x, y] = at(parts);
    svg.append(element("text", { class: "name", x: x + aside, y: y + down, "text-anchor": anchor }, short(domains[chosen[place]], 24)));
  });
  svg.append(...colourKey(top + high + 34, low, most));
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect(), scale = TRIANGLE.width / box.width;
    const third = 1 - ((event.clientY - box.top) * scale - top) / high;
    const second = ((event.clientX - box.left) * scale - left) / side - third / 2;
    pick(chosen, [1 - second - third, second, third]);
  });
  sayOfTriangle();
  find("triangle-chart").replaceChildren(svg);
}

function sayOfTriangle() {
  const title = data.targets[targetPlace(aim)].title, chosen = cornersShown();
  const mass = chosen.reduce((sum, i) => sum + weights[i], 0);
  find("triangle-said").textContent = `Expected ${title} where ${chosen.map((i) => domains[i]).join(", ")} share ` +
    (count > 3 ? `the ${(mass > 1e-9 ? mass : 1).toFixed(2)} that they have in the mixture above; the others keep theirs. ` : "all the weight. ") +
    `Orange diamond: this mixture. Points: real runs that differ in at most ${100 * data.slices.near}% of the prompts. A click sets the weights.`;
}

function colourKey(y, low, most) {
  const width = 18, x = TRIANGLE.left;
  const boxes = Array.from({ length: STEPS }, (_, place) => element("rect", { class: "cell", x: x + width * place, y, width, height: 12,
    style: `--step: ${Math.round(100 * place / (STEPS - 1))}%` }));
  return [...boxes, element("text", { x: x - 4, y: y + 10, "text-anchor": "end" }, three(low)),
    element("text", { x: x + width * STEPS + 4, y: y + 10 }, three(most))];
}

// Set the three weights to some proportions, inside the triangle.
function pick(chosen, parts) {
  if (chosen.some((i) => locks[i])) {
    say(`${chosen.filter((i) => locks[i]).map((i) => domains[i]).join(", ")} is locked.`);
    return;
  }
  const inside = parts.map((part) => Math.max(part, 0)), total = inside.reduce((sum, part) => sum + part, 0);
  weights = sharedOut(chosen, inside.map((part) => part / total));
  show(null);
  say(`${mixtureText(weights)}.`);
}

function triangleTable() {
  const chosen = cornersShown(), target = data.targets[targetPlace(aim)];
  return [[...data.order.map((i) => `w_${domains[i]}`), target.title], ...triangleCells(chosen).map(({ middle, mean }) => {
    const mixture = sharedOut(chosen, middle);
    return [...data.order.map((i) => mixture[i]), mean];
  })];
}
