// Images flagged as possibly harmful are blurred until somebody wants to see them; then everywhere on the page.

const seen = new Set();

export const isVeiled = (place) => place.classList.contains("veiled");

/** Show the image that is known by this name; returns whether it was hidden. */
export function unveil(name) {
  if (!name) return false;
  seen.add(name);
  const places = document.querySelectorAll(`[data-veil="${CSS.escape(name)}"].veiled`);
  for (const place of places) {
    const hadFocus = place.contains(document.activeElement);
    place.classList.remove("veiled");
    if (hadFocus) place.querySelector("button:not([data-unveil]), a")?.focus();
  }
  return places.length > 0;
}

/** A refused answer comes back as a fresh page: what was looked at is not hidden again. */
export function keepSeen(page) {
  for (const place of page.querySelectorAll(".veiled")) place.classList.toggle("veiled", !seen.has(place.dataset.veil));
}

// Pages that ask anew every few seconds get fresh markup, too.
document.addEventListener("htmx:afterSwap", () => keepSeen(document));

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-unveil]");
  if (!button) return;
  event.preventDefault();
  event.stopPropagation(); // what lies below is not meant
  unveil(button.closest("[data-veil]").dataset.veil);
}, { capture: true });
