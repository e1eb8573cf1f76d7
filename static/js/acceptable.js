// The line of a ranking: images in slots above it are acceptable. The radio buttons hold the truth.

/** Args: section: the stage; changed(undo): the line was moved, and what moves it back. */
export function acceptableLine(section, { say, changed }) {
  const field = section.querySelector("[data-line]");
  if (!field) return { onKey: () => false, missing: () => "" };
  const choices = [...field.querySelectorAll("input")];
  let drawn = null; // the choice whose line is on the page

  const chosen = () => choices.find((choice) => choice.checked) ?? null;
  const words = (choice) => choice.closest("label").textContent.trim();

  /** Mark what lies below the line. */
  function draw() {
    drawn = chosen();
    const last = drawn ? Number(drawn.value) : Infinity;
    for (const place of section.querySelectorAll("[data-place], [data-drop]")) {
      const slot = Number(place.dataset.place ?? place.dataset.drop);
      place.classList.toggle("below-line", slot > last);
      place.classList.toggle("first-below", slot === last + 1);
    }
  }

  function move(choice) {
    const before = drawn;
    if (choice === before) return;
    for (const one of choices) one.checked = one === choice;
    draw();
    say(choice ? `Acceptable: ${words(choice)}` : "No line");
    changed(() => move(before));
  }

  field.addEventListener("change", ({ target }) => move(target));
  draw();

  return {
    onKey({ key }) {
      const at = choices.indexOf(chosen());
      if (key === "n") move(choices[0]);
      else if (key === "l") move(choices[Math.min(at + 1, choices.length - 1)]);
      else if (key === "L") move(choices[Math.max(at - 1, 0)]);
      else return false;
      return true;
    },
    missing: () => (chosen() ? "" : "Say which images are acceptable, or that none is."),
  };
}
