// Stage 2: one image after another on the project's axes, with its problems.

import { ask, isAnswered, pressKey } from "./choices.js";

export function rating(form, section) {
  const articles = [...section.querySelectorAll(".rated")];
  const frames = [...section.querySelectorAll(".frame")];
  let at = 0; // which article
  let row = 0; // which of its questions the keys set

  const questions = (index = at) => [...articles[index].querySelectorAll("[data-question]")];
  const isRated = (index) => questions(index).every(isAnswered);

  function mark(next, { focus = true } = {}) {
    row = next;
    questions().forEach((question, index) => question.classList.toggle("active", index === row));
    if (focus) questions()[row].focus({ preventScroll: true });
    questions()[row].scrollIntoView({ block: "nearest" });
  }

  function show(index, options) {
    at = index;
    articles.forEach((article, i) => article.classList.toggle("current", i === at));
    frames.forEach((frame, i) => (i === at ? frame.setAttribute("aria-current", "true") : frame.removeAttribute("aria-current")));
    frames[at].scrollIntoView({ block: "nearest", inline: "nearest" });
    form.elements.at.value = at + 1;
    const open = questions().findIndex((question) => !isAnswered(question));
    mark(Math.max(open, 0), options);
  }

  function move(step) {
    const next = at + step;
    if (next < 0 || next >= articles.length) return false;
    show(next);
    form.dispatchEvent(new Event("moved"));
    return true;
  }

  section.addEventListener("change", ({ target }) => {
    const question = target.closest("[data-question]");
    frames[at].classList.toggle("done", isRated(at));
    const index = questions().indexOf(question);
    if (target.type === "radio" && !keepsFocus(target)) mark(Math.min(index + 1, questions().length - 1));
  });
  section.addEventListener("pointerdown", ({ target }) => {
    const index = questions().indexOf(target.closest("[data-question]"));
    if (index >= 0) mark(index, { focus: false });
  });
  section.addEventListener("focusin", ({ target }) => {
    const index = questions().indexOf(target.closest("[data-question]"));
    if (index >= 0 && index !== row) mark(index, { focus: false });
  });
  for (const frame of frames) frame.addEventListener("click", () => show(Number(frame.dataset.at) - 1));
  frames.forEach((frame, index) => frame.classList.toggle("done", isRated(index)));

  return {
    enter() {
      show(Number(form.elements.at.value) - 1);
    },
    showImage(number) {
      if (number !== at + 1) show(number - 1, { focus: false });
    },
    current: () => at + 1,
    onKey(event) {
      const { key } = event;
      const question = questions()[row];
      if (/^[0-9]$/.test(key)) {
        const input = question.classList.contains("problems")
          ? pressKey(question, key)
          : question.querySelector(`input[value="${key}"]`);
        if (!input) return true;
        if (input.type === "radio") {
          input.checked = true;
          input.dispatchEvent(new Event("change", { bubbles: true }));
        } else if (input.value === "none" && input.checked) {
          move(1);
        }
        return true;
      }
      if (key.startsWith("Arrow") && event.target.type === "radio") return false; // the browser moves within a scale
      if (key === "ArrowDown") mark(Math.min(row + 1, questions().length - 1));
      else if (key === "ArrowUp") mark(Math.max(row - 1, 0));
      else if (key === "ArrowRight") move(1);
      else if (key === "ArrowLeft") move(-1);
      else return false;
      return true;
    },
    missing() {
      const index = articles.findIndex((_, i) => !isRated(i));
      if (index < 0) return "";
      if (index !== at) show(index);
      const open = questions().findIndex((question) => !isAnswered(question));
      mark(open);
      const question = questions()[open];
      ask(question, question.classList.contains("problems") ? "Tick its problems, or none of these." : "Choose a point from 1 to 7.");
      const asked = question.querySelector("legend").firstChild.textContent.trim();
      return `Image ${index + 1} is not rated yet: ${asked.toLowerCase()}.`;
    },
    /** Enter: the next image while there is one; an unfinished one is named by `missing`. */
    advance: () => isRated(at) && move(1),
    retreat: () => move(-1),
  };
}

/** Somebody moving through a scale with the arrow keys stays on it; a click or a digit goes on. */
function keepsFocus(input) {
  return document.activeElement === input && input.matches(":focus-visible");
}
