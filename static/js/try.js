// Trying the reward model: the files stay chosen after an answer, the images in it are shown from them, and
// the focus goes to what came of it.

const INPUT = "#tried input[type=file]";
let chosen = null;

function show(image) {
  const file = chosen?.[Number(image.dataset.file)];
  if (!file) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => (image.src = reader.result));
  reader.readAsDataURL(file);
}

document.addEventListener("htmx:beforeRequest", () => {
  chosen = document.querySelector(INPUT).files;
});

document.addEventListener("htmx:afterSwap", () => {
  const input = document.querySelector(INPUT);
  if (input && chosen?.length) input.files = chosen;
  document.querySelectorAll("#tried img[data-file]").forEach(show);
  document.querySelector("#tried [role=alert], #tried [aria-invalid=true], #scores-title")?.focus();
});
