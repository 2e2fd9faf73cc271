// The mixture of greatest expected score, and where it lies by fits to halves of the mixtures.

function buildOptimum() {
  shows({ target: showOptimum });
}

function showOptimum() {
  const title = data.targets[targetPlace(aim)].title, computed = data.best[aim]?.spread !== undefined && aim !== OWN;
  const none = data.undetermined[aim];
  find("optimum-title").textContent = `Best mixture for ${title}, and how sure`;
  const { weights: chosen, spread } = none && !data.best[aim] ? { weights: [], spread: null } : bestFor(aim);
  find("spread-said").hidden = !spread;
  find("not-known").textContent = spread ? "" : none ? `No best mixture is claimed: ${none}.`
    : computed && data.judged.includes(aim) ? "Fewer than four mixtures say nothing of how sure it is."
      : `How sure it is, is judged for ${data.judged.map((name) => data.targets[targetPlace(name)].title).join(" and ")} only.`;
  find("spread").tBodies[0].replaceChildren(...(none && !spread ? [] : data.order.map((i) => element("tr", {},
    element("th", { scope: "row" }, domains[i]),
    element("td", { class: "number" }, chosen[i].toFixed(2)),
    ...(spread ? spreadCells(i, chosen[i], spread[i]) : [element("td", { class: "number" }, "unknown")])))));
}

function spreadCells(i, chosen, [low, quarter, , threeQuarters, high]) {
  const svg = element("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", height: 18, role: "img",
    "aria-label": `${domains[i]}: in 90 percent of the refits from ${low.toFixed(2)} to ${high.toFixed(2)}` });
  svg.append(element("line", { class: "grid", x1: 0, x2: 100, y1: 8, y2: 8, "vector-effect": "non-scaling-stroke" }),
    element("rect", { x: 100 * low, width: Math.max(100 * (high - low), 0.5), y: 7, height: 2, fill: shade(i) }),
    element("rect", { x: 100 * quarter, width: Math.max(100 * (threeQuarters - quarter), 0.5), y: 4, height: 8, fill: shade(i) }),
    element("rect", { x: 100 * chosen - 0.6, width: 1.2, y: 1, height: 14, fill: "var(--ink)" }));
  return [element("td", { class: "number" }, `${low.toFixed(2)} – ${high.toFixed(2)}`), element("td", { class: "bar-cell" }, svg)];
}

function optimumTable() {
  const { weights: chosen, spread } = bestFor(aim);
  return [["domain", "weight", "q05", "q25", "q50", "q75", "q95"], ...data.order.map((i) => [domains[i], chosen[i], ...(spread ? spread[i] : [])])];
}
