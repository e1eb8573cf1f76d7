// What this tab changed and the server has not confirmed, kept with the tab: a reload may outrun what is on its way,
// and without a connection, or signed out, nothing arrives.

const KEY = "unsent";

export function keepUnsent(form) {
  const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
  const { draft, draftVersion } = form.dataset;
  sessionStorage.setItem(KEY, JSON.stringify({ draft, version: draftVersion, fields }));
}

export function forgetUnsent() {
  sessionStorage.removeItem(KEY);
}

/** Put what was kept into the form, unless the server has a newer draft. Returns whether it did. */
export function restoreUnsent(form) {
  const kept = JSON.parse(sessionStorage.getItem(KEY));
  forgetUnsent();
  if (kept?.draft !== form.dataset.draft || kept.version !== form.dataset.draftVersion) return false;
  const answer = new FormData();
  for (const [name, value] of kept.fields) answer.append(name, value);
  if (answer.get("claim") !== form.elements.claim.value) return false;
  for (const input of form.elements) {
    if (!input.name || input.name === "csrfmiddlewaretoken") continue;
    if (input.matches("[type='radio'], [type='checkbox']")) input.checked = answer.getAll(input.name).includes(input.value);
    else if (answer.has(input.name)) input.value = answer.get(input.name);
  }
  form.dataset.current = form.elements.step.value;
  return true;
}
