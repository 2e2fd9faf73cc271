// The page of a run is text that the template engine has escaped, then gzip in base64; this shows the one in the address.
"use strict";
const pages = new Map([...document.querySelectorAll("script[data-run]")].map((block) => [block.dataset.run, block]));
const list = document.getElementById("list"), view = document.getElementById("run");
const shared = {};  // what runs share, by its name: unpacked once

async function unpacked(block) {
  const bytes = Uint8Array.from(atob(block.textContent.trim()), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function inCommon(name) {
  shared[name] ??= JSON.parse(await unpacked(document.getElementById(name)));
  return shared[name];
}

function wanted() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return location.hash.slice(1); }
}

async function show() {
  const name = wanted(), page = pages.get(name);
  list.hidden = page !== undefined;
  view.hidden = page === undefined;
  view.replaceChildren();
  const note = document.getElementById("unknown");
  note.textContent = name && !page ? `No run ${name} here; these are all.` : "";
  if (!page) return;
  if (!("DecompressionStream" in window)) {
    note.textContent = "This browser is too old to show the page of a run: Chrome 80, Firefox 113 and Safari 16.4 can.";
    [list.hidden, view.hidden] = [false, true];
    return;
  }
  const text = await unpacked(page), questions = await inCommon("questions"), pictures = await inCommon("pictures");
  if (wanted() !== name) return;  // another one was asked for meanwhile
  view.innerHTML = text;
  for (const place of view.querySelectorAll("[data-question]")) place.innerHTML = questions[Number(place.dataset.question)];
  for (const image of view.querySelectorAll("img[data-picture]")) {
    image.src = pictures[Number(image.dataset.picture)];
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 100));
  }
  for (const long of view.querySelectorAll("pre")) if (long.scrollHeight > long.clientHeight) long.tabIndex = 0;
  scrollTo(0, 0);
}
addEventListener("hashchange", show);
show();
