// Arithmetic of mixtures: an array of weights, one a domain of the surrogate.

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

// What was typed as a number: "0,3", ".3" and "30 %" are 0.3. Null for anything else.
function typed(text) {
  const match = /^([+-]?(?:\d+[.,]?\d*|[.,]\d+))\s*(%?)$/.exec(text.trim().replace("−", "-"));
  if (!match) return null;
  return Number(match[1].replace(",", ".")) / (match[2] ? 100 : 1);
}

// The mixture of greatest value from some starts: weight is moved between two domains, by less and less, while it helps.
// `least` and `most` [domains] bound the weights.
function climbed(starts, value, least, most) {
  const allowed = starts.filter((one) => one.every((w, i) => w >= least[i] - 1e-9 && w <= most[i] + 1e-9));
  const ranked = (allowed.length ? allowed : starts).map((one) => ({ one, height: value(one) })).sort((a, b) => b.height - a.height);
  let top = null;
  for (const start of ranked.slice(0, 3)) {
    let { one, height } = start;
    for (const step of [0.2, 0.1, 0.05, 0.02, 0.01, 0.004, 0.001]) {
      for (let improved = true; improved;) {
        improved = false;
        for (let from = 0; from < one.length; from++) {
          for (let to = 0; to < one.length; to++) {
            const amount = Math.min(step, one[from] - least[from], most[to] - one[to]);
            if (to === from || amount <= 1e-9) continue;
            const next = one.slice();
            next[from] -= amount;
            next[to] += amount;
            const reached = value(next);
            if (reached > height + 1e-9) [one, height, improved] = [next, reached, true];
          }
        }
      }
    }
    if (!top || height > top.height) top = { one, height };
  }
  return top.one;
}
