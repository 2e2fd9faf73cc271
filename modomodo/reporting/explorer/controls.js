// Sliders and fields of the weights, what a typed number changed, mixtures to start from, and the mixture as YAML.

const controls = [];

function buildControls() {
  for (const i of data.order) buildSlider(i);
  buildBoundsLegend();
  buildPresets();
  find("copy").addEventListener("click", () => copyText(yaml(), "copied", "copied: paste it into a study"));
  shows({ mixture: (_, held) => showMixture(held), target: buildPresets });
}

function buildSlider(i) {
  const id = `weight-${i}`;
  const label = element("label", { for: id });
  label.append(element("span", { class: "swatch", style: `background:${shade(i)}` }), element("span", {}, domains[i]));
  const slider = element("input", { type: "range", id, min: 0, max: 1, step: 0.005 });
  // As text: a number field of an English browser drops "0,3" without a word.
  const number = element("input", {
    type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": `weight of ${domains[i]}`, "aria-describedby": "said",
  });
  const lock = element("button", {
    type: "button", class: "lock", "aria-pressed": "false", "aria-label": `lock the weight of ${domains[i]}`,
  }, "lock");
  slider.addEventListener("input", () => set(i, Number(slider.value), slider));
  slider.addEventListener("change", () => say(""));
  number.addEventListener("change", () => type(i, number.value));
  number.addEventListener("focus", () => number.select());
  lock.addEventListener("click", () => {
    locks[i] = !locks[i];
    show(null);
  });
  if (data.untried.includes(i)) {
    lock.disabled = true;
    lock.title = "no run has any of it, so nothing is known of it";
  }
  const track = element("span", { class: "track" }, slider);
  for (const [value, what, kind] of boundsOf(i)) {
    track.append(element("span", {
      // The thumb is 16 px wide: its middle travels the track less half of it at each end.
      class: `bound ${kind}`, style: `left:calc(8px + (100% - 16px) * ${value})`, title: `${what} ${value.toFixed(2)}`,
    }));
  }
  find("sliders").append(element("div", { class: "slider" }, label, track, number, lock));
  controls.push({ i, slider, number, lock });
}

// [weight, words, kind] of what a slider is marked with.
function boundsOf(i) {
  const { minimum, maximum, dry } = data.limits;
  const found = [[minimum[i], "least", "search"], [maximum[i], "most", "search"], [dry[i], "runs out above", "dry"]];
  return found.filter(([value]) => value !== null && value > 0 && value < 1);
}

function buildBoundsLegend() {
  const kinds = new Set(data.order.flatMap((i) => boundsOf(i).map(([, , kind]) => kind)));
  const key = (kind, text) => [element("span", { class: `key bound-key ${kind}` }), ` ${text} `];
  find("bounds").append(
    ...(kinds.has("search") ? key("search", "least or most that the study's searches allow") : []),
    ...(kinds.has("dry") ? key("dry", "above it the domain's examples may run out before the last step") : []),
  );
  find("bounds").hidden = kinds.size === 0;
}

// A typed weight, and in words what it changed.
function type(i, text) {
  const name = domains[i], before = weights.slice();
  const value = typed(text);
  if (value === null) {
    show(null);
    say(text.trim() ? `“${text.trim()}” is no number: ${name} stays ${three(before[i])}.` : `${name} stays ${three(before[i])}.`);
    return;
  }
  const free = before.filter((_, other) => other !== i && !locks[other]).length;
  set(i, value, null);
  const others = data.order.filter((other) => other !== i && Math.abs(weights[other] - before[other]) >= 5e-4)
    .map((other) => `${domains[other]} ${three(before[other])} → ${three(weights[other])}`);
  let why = "";
  if (!free) why = "All others are locked. ";
  else if (value < 0) why = `${text.trim()} is below 0. `;
  else if (value > 1) why = `${text.trim()} is above 1${value <= 100 ? `: for a percentage type ${text.trim()}%` : ""}. `;
  else if (value > weights[i] + 1e-9) why = `${text.trim()} is more than the locked weights leave. `;
  say(`${why}${name} ${three(before[i])} → ${three(weights[i])}${others.length ? `; to keep the sum 1: ${others.join(", ")}` : ""}.`);
}

function buildPresets() {
  const tried = count - data.untried.length;
  const presets = data.verdict.yaml ? [["verdict's mixture", () => data.start]] : [];
  const names = [...Object.keys(data.best).filter((name) => name !== OWN), ...(own ? [OWN] : [])];
  for (const name of names.reverse()) presets.push([`best for ${data.targets[targetPlace(name)].title}`, () => bestFor(name).weights]);
  presets.push(["equal weights", () => unlocked().map((out) => (out ? 0 : 1 / tried))]);
  find("presets").replaceChildren(...presets.map(([text, chosen]) => element("button", { type: "button", onclick: () => {
    use(chosen());
    say(`${text}: ${mixtureText(weights)}.`);
  } }, text)));
}

function showMixture(held) {
  for (const { i, slider, number, lock } of controls) {
    // Above what the locked weights leave, a slider snaps back: its place is always the weight.
    if (slider !== held || Math.abs(Number(slider.value) - weights[i]) > 0.003) slider.value = weights[i];
    slider.setAttribute("aria-valuetext", `${(100 * weights[i]).toFixed(1)} percent`);
    number.value = weights[i].toFixed(3);
    slider.disabled = number.disabled = locks[i];
    const untried = data.untried.includes(i);
    lock.setAttribute("aria-pressed", locks[i] && !untried);
    lock.textContent = untried ? "not tried" : locks[i] ? "locked" : "lock";
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

async function copyText(text, told, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages from disk may not use the clipboard in every browser: the older way asks for no permission.
    const area = element("textarea", { class: "hidden", "aria-hidden": "true" }, text);
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) {
      find(told).textContent = "this browser lets no page copy: select the text and copy it";
      return;
    }
  }
  find(told).textContent = done;
}
