// Stage 1: what the prompt is about.

import { ask, isAnswered, pressKey } from "./choices.js";

export function labelling(section) {
  const questions = [...section.querySelectorAll("[data-question]")];
  return {
    enter() {},
    /** Returns whether the key meant something here. */
    onKey(event) {
      return pressKey(section, event.key) !== null;
    },
    /** What is still to be said, or "". */
    missing() {
      const open = questions.find((question) => !isAnswered(question));
      if (!open) return "";
      const lacks =
        open.dataset.question === "category"
          ? "Choose what the text is mainly about."
          : "Tick the text's problems, or none of these.";
      ask(open, lacks);
      return lacks;
    },
    advance: () => false,
    retreat: () => false,
  };
}
