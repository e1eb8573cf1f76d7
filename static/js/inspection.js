// Inspecting by keys: a accepts, r opens the reason, Space or a click shows images on the whole window.

import { unveil } from "./veil.js";
import { viewer } from "./viewer.js";

const dialog = document.getElementById("viewer");
const reason = document.querySelector("#id_reason");
const images = [...document.querySelectorAll("img[data-view]")].sort((a, b) => numberOf(a) - numberOf(b));
const screen = viewer(dialog, images);

function numberOf(image) {
  return Number(image.closest("[data-number]").dataset.number);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || dialog.open) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === " " && images.length && !event.target.closest("button, a, summary")) {
    event.preventDefault();
    screen.open(numberOf(images[0]));
  }
  if (event.key === "h") for (const place of document.querySelectorAll(".veiled")) unveil(place.dataset.veil);
  const control = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!control) return;
  event.preventDefault();
  control.click();
  if (control.matches("summary") && control.parentElement.open) reason.focus();
});

document.addEventListener("click", ({ target }) => {
  if (target.matches("img[data-view]")) screen.open(numberOf(target));
});

// One verdict is enough: a second click on the way must not reach the next answer.
for (const form of document.querySelectorAll(".verdict form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
