// How large the images of a ranking are: as large as fits the window (the style sheet's --fit), or some steps above
// or below. The steps, not the size, are remembered, for each annotator of this device: they hold for tasks of other
// numbers of images, and in other windows.

const LEAST = 96; // px; smaller images cannot be judged
const APART = 1.08; // sizes closer than this are one

/**
 * The sizes to choose from, ascending: the one that fits, and those by which one, two, three images fill a row.
 * Args, all in px: fit; across: the width of a row; most: the width of an image that the window just holds; gap.
 */
export function sizes({ fit, across, most, gap }) {
  const found = [fit];
  for (let columns = 1; ; columns += 1) {
    const size = Math.min((across + gap) / columns - gap, Math.max(most, fit));
    if (!(size >= LEAST)) break;
    if (found.every((other) => size > other * APART || other > size * APART)) found.push(size);
  }
  return found.sort((a, b) => a - b);
}

/** Args: say(text): tell the annotator. Returns: onKey(key): whether the key meant something. */
export function tileSize(form, section, { say }) {
  const board = section.querySelector(".board");
  const buttons = Object.fromEntries([...form.querySelectorAll("[data-size]")].map((button) => [button.dataset.size, button]));
  const memory = `tile-steps of ${form.elements.by.value}`;
  let at = 0; // which of the sizes is shown
  let fitting = 0; // which of them fits
  let all = [];

  function measure() {
    const style = getComputedStyle(board);
    const px = (name) => Number.parseFloat(style.getPropertyValue(name));
    const fit = px("--fit");
    const across = board.clientWidth - px("padding-left") - px("padding-right");
    const below = form.querySelector(".task-foot").getBoundingClientRect().top;
    const above = section.querySelector(".rail").getBoundingClientRect().bottom;
    const most = (below - above - section.querySelector(".tile").offsetHeight + section.querySelector(".tile-pick").offsetHeight) * px("--ratio");
    return sizes({ fit, across, most, gap: px("--gap") });
  }

  function draw() {
    if (!board.offsetParent) return; // another stage is shown
    const fit = Number.parseFloat(getComputedStyle(board).getPropertyValue("--fit"));
    if (!(fit > 0)) return; // a browser without @property has no length there: the size that fits is all it shows
    all = measure();
    fitting = all.indexOf(fit);
    at = Math.min(Math.max(fitting + Number(localStorage.getItem(memory)), 0), all.length - 1);
    if (at === fitting) board.style.removeProperty("--chosen");
    else board.style.setProperty("--chosen", `${all[at] - 0.5}px`); // so that no rounding leaves room for one less
    buttons.smaller.disabled = at === 0;
    buttons.larger.disabled = at === all.length - 1;
    buttons.fit.disabled = at === fitting;
  }

  function choose(name) {
    const next = { smaller: at - 1, larger: at + 1, fit: fitting }[name];
    if (!all[next]) return say(`The images are as ${name === "larger" ? "large" : "small"} as they get`);
    localStorage.setItem(memory, next - fitting);
    draw();
    section.querySelector("[aria-pressed='true']")?.scrollIntoView({ block: "nearest" });
    say(at === fitting ? "As large as fits the window" : "");
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-size]");
    if (!button) return;
    choose(button.dataset.size);
    if (event.detail > 0) document.activeElement.blur(); // a click leaves Enter free for going on
  });
  new ResizeObserver(draw).observe(section);

  return {
    onKey(key) {
      const name = { "-": "smaller", "+": "larger", "*": "fit" }[key];
      if (name) choose(name);
      return name !== undefined;
    },
  };
}
