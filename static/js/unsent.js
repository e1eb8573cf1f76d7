// What this tab changed and the server has not confirmed, kept with the tab: a reload may outrun what is on its way,
// and without a connection, or signed out, nothing arrives.

/** The task in hand and a stored answer that is being changed do not displace each other. */
const placeOf = (form) => (form.dataset.draft ? "unsent" : "unsent change");

export function keepUnsent(form) {
  const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
  const { kept, version } = form.dataset;
  sessionStorage.setItem(placeOf(form), JSON.stringify({ kept, version, fields }));
}

export function forgetUnsent(form) {
  sessionStorage.removeItem(placeOf(form));
}

/** Put what was kept into the form, unless the server has a newer draft. Returns whether it did. */
export function restoreUnsent(form) {
  const kept = JSON.parse(sessionStorage.getItem(placeOf(form)));
  forgetUnsent(form);
  if (kept?.kept !== form.dataset.kept || kept.version !== form.dataset.version) return false;
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
