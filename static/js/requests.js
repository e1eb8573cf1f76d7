// What every page does around htmx: a fresh CSRF token, and a message with a retry when the server did not answer.

import { csrfToken, say } from "./messages.js";

// Signing in anew in another tab changes the token; the cookie always has the current one.
document.addEventListener("htmx:configRequest", (event) => {
  const token = csrfToken();
  event.detail.headers["X-CSRFToken"] = token;
  if (!event.detail.triggeringEvent) event.detail.headers["X-Unattended"] = "yes"; // a poll keeps no session alive
  if (event.detail.formData.has("csrfmiddlewaretoken")) event.detail.formData.set("csrfmiddlewaretoken", token);
});

// Polling swaps a table for its newer self: it stays where it was scrolled to. Focus is kept by id, by htmx.
let scrolled = [];
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  scrolled = [...detail.target.querySelectorAll(".table-scroll[id]")].map(({ id, scrollLeft }) => [id, scrollLeft]);
});
document.addEventListener("htmx:afterSwap", () => {
  for (const [id, left] of scrolled.splice(0)) document.getElementById(id)?.scrollTo({ left, behavior: "instant" });
});

function failed(event, text) {
  const { elt, requestConfig } = event.detail;
  if (requestConfig.verb === "get") return; // polling: the next beat asks again
  say(text, { bad: true, retry: () => elt.requestSubmit?.() ?? elt.click() });
}

document.addEventListener("htmx:sendError", (event) => {
  failed(event, "No connection. Nothing is lost: your answer is still on this page.");
});
document.addEventListener("htmx:timeout", (event) => {
  failed(event, "The server did not answer in time. Your answer is still on this page.");
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 401 || status === 403) {
    failed(event, "You are signed out. Sign in in another tab, then try again; your answer is still on this page.");
  } else {
    failed(event, `The server could not do this (${status}). Your answer is still on this page.`);
  }
});
