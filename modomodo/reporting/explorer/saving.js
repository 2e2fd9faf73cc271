// What is seen as files: numbers as CSV, drawings as PNG.

function buildSaving() {
  const tables = { predicted: scoresTable, tradeoff: runsTable, near: nearestTable, slices: slicesTable, triangle: triangleTable, effects: effectsTable,
    optimum: optimumTable, all: runsTable };
  const pictures = { tradeoff: "plane", slices: "slice-charts", triangle: "triangle-chart", effects: "effect" };
  for (const section of document.querySelectorAll("[data-save]")) {
    const name = section.dataset.save, title = find(`${section.id}-title`);
    const save = element("span", { class: "save" }, element("button", { type: "button", "aria-label": `${name}: save as CSV`,
      onclick: () => download(`${name}.csv`, new Blob([csv(tables[section.id]())], { type: "text/csv" })) }, "CSV"));
    if (pictures[section.id]) {
      save.append(element("button", { type: "button", "aria-label": `${name}: save as PNG`, onclick: async () => {
        download(`${name}.png`, await png(find(pictures[section.id])));
      } }, "PNG"));
    }
    title.after(save);
  }
}

// A missing value is an empty cell; text is quoted where it must be.
function csv(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function download(name, blob) {
  const study = data.study.replace(/[^\p{L}\p{N}._-]+/gu, "-");
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: `${study}-${name}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// The drawings and the cells of tables inside an element, as they stand on the screen, at twice their size.
async function png(area) {
  const box = area.getBoundingClientRect(), room = 12;
  const [width, height] = [box.width + 2 * room, box.height + 2 * room];
  const whole = element("svg", { xmlns: SVG, width, height, viewBox: `${-room} ${-room} ${width} ${height}` });
  const card = getComputedStyle(area.closest("section"));
  whole.append(element("rect", { x: -room, y: -room, width, height, fill: card.backgroundColor }));
  for (const drawn of area.querySelectorAll(":scope svg")) {
    if (drawn.parentElement.closest("svg")) continue;
    const at = drawn.getBoundingClientRect(), copy = drawn.cloneNode(true);
    copyStyle(drawn, copy);
    for (const [name, value] of Object.entries({ x: at.left - box.left, y: at.top - box.top, width: at.width, height: at.height })) copy.setAttribute(name, value);
    whole.append(copy);
  }
  for (const cell of area.querySelectorAll("th, td")) whole.append(...cellDrawn(cell, box));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(whole))}`;
  await image.decode();
  const canvas = element("canvas", { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// Outside the page a drawing has no style sheet: each of its elements takes what it is drawn with along.
function copyStyle(from, to) {
  const style = getComputedStyle(from);
  for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "font-size", "font-family",
    "font-weight", "text-anchor", "overflow", "paint-order", "stroke-linejoin"]) to.style.setProperty(name, style.getPropertyValue(name));
  [...from.children].forEach((child, place) => copyStyle(child, to.children[place]));
}

function cellDrawn(cell, box) {
  const at = cell.getBoundingClientRect(), style = getComputedStyle(cell), right = style.textAlign === "right";
  const [x, y] = [at.left - box.left, at.top - box.top];
  const text = [...cell.childNodes].filter((node) => !node.classList?.contains("hidden")).map((node) => node.textContent).join("");
  const end = parseFloat(style.paddingRight);
  return [element("rect", { x, y, width: at.width, height: at.height, fill: style.backgroundColor }),
    element("text", { x: right ? x + at.width - end : x + parseFloat(style.paddingLeft), y: y + at.height / 2 + 4,
      "text-anchor": right ? "end" : "start", fill: style.color, style: `font: ${style.font}` }, text)];
}
