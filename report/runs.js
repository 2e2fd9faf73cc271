// The page of a run is text that the template engine has escaped; this shows the one that the address names.
"use strict";
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const pages = new Map([...document.querySelectorAll("script[data-run]")].map((block) => [block.dataset.run, block]));
const list = document.getElementById("list"), view = document.getElementById("run");

function show() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* a stray % stays as it is */ }
  const page = pages.get(name);
  list.hidden = page !== undefined;
  view.hidden = page === undefined;
  document.getElementById("unknown").textContent = name && !page ? `No run ${name} here; these are all.` : "";
  if (!page) return;
  view.innerHTML = page.textContent;
  for (const image of view.querySelectorAll("img[data-picture]")) {
    image.src = pictures[Number(image.dataset.picture)];
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 100));
  }
  scrollTo(0, 0);
}
addEventListener("hashchange", show);
show();
