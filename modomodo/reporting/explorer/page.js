// The verdict and what the predictions are worth, light and dark, and the start of the page.

function buildVerdict() {
  const { words, head, yaml: text } = data.verdict;
  find("answer").textContent = words[0];
  find("head").textContent = words.slice(1).filter((_, place) => head.includes(place + 1)).join(" ");
  const rest = words.filter((_, place) => place > 0 && !head.includes(place));
  find("why").replaceChildren(...rest.map((line) => element("li", {}, line)));
  find("why").closest("details").hidden = rest.length === 0;
  find("chosen").textContent = text;
  find("chosen").closest("details").hidden = !text;
}

function about() {
  const { runs, spearman, rmse, rmse_constant: constant, coverage_80: covered } = data.quality;
  const trust = spearman === null ? "" : `: rank correlation ${spearman.toFixed(2).replace("-", "−")}`;
  const inside = covered === null ? "" : `, ${(100 * covered).toFixed(0)}% of their scores lie inside its 80% interval`;
  const doubt = rmse === null || rmse >= constant
    ? " It predicts them no better than their mean does: take the numbers below for guesses." : "";
  const untried = data.untried.map((i) => domains[i]);
  const gaps = (untried.length ? ` No run has tried ${untried.join(", ")}: nothing is known of a mixture with it.` : "") +
    (data.undetermined[data.aim] ? ` How far mixtures differ is not known: ${data.undetermined[data.aim]}.` : "");
  const others = data.proposing.length ? ` Proposals of this study are also made by ${data.proposing.join(", ")}, which this page does not show.` : "";
  find("about").textContent = `Predicted by ${data.surrogate}, a Gaussian process fitted to ${data.fitted} runs. ` +
    `Tested on ${runs} runs that it was not shown, left out by mixture${trust}${inside}.${doubt}${gaps}${others}`;
}

// The button says what it does.
function buildTheme() {
  const button = find("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const named = () => { button.textContent = dark() ? "switch to light" : "switch to dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    named();
  });
  system.addEventListener("change", named);
  named();
}

buildVerdict();
about();
buildTheme();
buildControls();
buildTargets();
buildPlane();
buildRuns();
buildOptimum();
buildEffects();
buildTriangle();
buildSaving();
find("link").addEventListener("click", () => copyText(`${location.href.split("#")[0]}#${link()}`, "linked", "link copied"));
addEventListener("hashchange", () => {
  follow(location.hash);
  showAll();
});
follow(location.hash);
showAll();
