// Inspecting by keys: a accepts, r opens the reason; a click shows an image on the whole window.

const viewer = document.getElementById("viewer");
const reason = document.querySelector("#id_reason");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || viewer.open) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const control = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!control) return;
  event.preventDefault();
  control.click();
  if (control.matches("summary") && control.parentElement.open) reason.focus();
});

document.addEventListener("click", ({ target }) => {
  if (!target.matches("img[data-view]")) return;
  const picture = viewer.querySelector("img");
  picture.src = target.src;
  picture.alt = target.alt;
  viewer.showModal();
});

// One verdict is enough: a second click on the way must not reach the next answer.
for (const form of document.querySelectorAll(".verdict form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
