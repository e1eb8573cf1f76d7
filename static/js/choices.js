// Groups of choices: "none" excludes the others, and a key may stand for a choice.

/** Keep "none" and the others of its group apart. */
export function excludeNone(form) {
  form.addEventListener("change", ({ target }) => {
    if (target.type !== "checkbox" || !target.checked) return;
    const others = form.querySelectorAll(`input[type="checkbox"][name="${target.name}"]`);
    for (const other of others) {
      if (other !== target && (target.value === "none" || other.value === "none")) other.checked = false;
    }
  });
}

/** Press the choice that has this key. Returns its input, or null. */
export function pressKey(place, key) {
  const input = place.querySelector(`[data-key="${CSS.escape(key)}"] input`);
  if (!input) return null;
  input.checked = input.type === "radio" || !input.checked;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return input;
}

/** Whether a question has an answer; a single tick may stay empty. */
export function isAnswered(question) {
  return question.dataset.question === "intent_unclear" || question.querySelector("input:checked") !== null;
}

/** Say below a question what it lacks, until it is answered. */
export function ask(question, text) {
  question.querySelector(".lacks")?.remove();
  const said = document.createElement("p");
  said.className = "error lacks";
  said.textContent = text;
  question.append(said);
  question.addEventListener("change", () => said.remove(), { once: true });
  question.scrollIntoView({ block: "nearest" });
}
