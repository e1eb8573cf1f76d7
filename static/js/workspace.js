// The annotator's workspace: stages as steps, keys, drafts. The form works without any of it.

import { excludeNone } from "./choices.js";
import { clock, keepDrafts } from "./drafts.js";
import { toggleFullscreen } from "./fullscreen.js";
import { labelling } from "./labelling.js";
import { ranking } from "./ranking.js";
import { rating } from "./rating.js";
import { tileSize } from "./tile-size.js";
import { forgetUnsent, restoreUnsent } from "./unsent.js";
import { keepSeen, unveil } from "./veil.js";
import { viewer } from "./viewer.js";

let current = null; // the task on the page

function start(workspace) {
  current = null;
  if (workspace.dataset.state !== "task") {
    workspace.querySelector("[autofocus]")?.focus();
    return;
  }
  const form = workspace.querySelector("form.task");
  const find = (selector) => form.querySelector(selector);
  const hint = find("[data-hint]");
  const status = find("[data-saved]");
  for (const time of status.querySelectorAll("time")) time.textContent = clock(new Date(time.dateTime));

  const say = (text, { bad = false } = {}) => {
    hint.textContent = text;
    hint.classList.toggle("error", bad);
  };
  keepSeen(form);
  const isRefused = find(".refusals") !== null;
  const wasUnsent = !isRefused && restoreUnsent(form);
  const drafts = keepDrafts(form, status, (html) => replaceWorkspace(html));
  const section = (step) => find(`[data-step="${step}"]`);
  const stages = new Map();
  if (section("prompt")) stages.set("prompt", labelling(section("prompt")));
  if (section("rate")) stages.set("rate", rating(form, section("rate")));
  const size = tileSize(form, section("rank"), { say });
  stages.set("rank", ranking(form, section("rank"), { say, changed: drafts.later, size }));
  const steps = [...stages.keys()];
  const step = () => form.dataset.current;
  const stage = () => stages.get(step());

  const pictures = [...(section("rate") ?? section("rank")).querySelectorAll("img[data-image]")]
    .sort((a, b) => imageNumber(a) - imageNumber(b));
  const screen = viewer(document.getElementById("viewer"), pictures, (number) => {
    if (step() === "rate") stage().showImage(number);
  });

  function show(name, { focus = true } = {}) {
    form.dataset.current = name;
    form.elements.step.value = name;
    for (const button of form.querySelectorAll("[data-go]")) {
      if (button.dataset.go === name) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    find("[data-back]").hidden = name === steps[0] && !(name === "rate" && pictures.length > 1);
    find("[data-next]").hidden = name === "rank";
    find("[data-submit]").hidden = name !== "rank";
    say("");
    if (focus) {
      document.activeElement?.blur();
      if (window.scrollY > form.offsetTop) window.scrollTo({ top: form.offsetTop, behavior: "instant" }); // each stage begins at its top
    }
    stage().enter();
  }

  function advance() {
    if (stage().advance()) return;
    if (step() === "rank") return submit();
    const missing = stage().missing();
    if (missing) say(missing, { bad: true });
    else {
      show(steps[steps.indexOf(step()) + 1]);
      drafts.later();
    }
  }

  function retreat() {
    if (stage().retreat() || step() === steps[0]) return;
    show(steps[steps.indexOf(step()) - 1]);
  }

  /** Lead to the first stage that lacks something, and say what. Returns whether there is one. */
  function isLacking() {
    const lacking = steps.find((name) => {
      if (!stages.get(name).missing()) return false;
      if (name !== step()) show(name);
      return true;
    });
    if (lacking) say(stage().missing(), { bad: true });
    return lacking !== undefined;
  }

  function submit() {
    if (isLacking()) return;
    if (!form.classList.contains("htmx-request")) form.requestSubmit(find("[data-submit]"));
  }

  function warn() {
    const said = stages.get("rank").warnings();
    if (said.length) say(`${said[0]}${said.length > 1 ? `; ${said.length - 1} more` : ""}`, { bad: true });
  }

  new ResizeObserver(([{ target }]) => {
    form.style.setProperty("--asked", `${target.offsetHeight}px`);
  }).observe(find(".asked")); // what sticks below the prompt on narrow screens has to know its height

  excludeNone(form);
  form.addEventListener("change", () => {
    say("");
    drafts.later();
    if (step() === "rank") warn();
  });
  form.addEventListener("moved", drafts.later);
  form.addEventListener("click", (event) => {
    const { target } = event;
    const go = target.closest("[data-go]");
    const view = target.closest("[data-view]");
    if (go) show(go.dataset.go);
    else if (target.closest("[data-next]")) advance();
    else if (target.closest("[data-back]")) retreat();
    else if (target.closest("[data-leave]")) forgetUnsent(form);
    else if (view) screen.open(Number(view.dataset.view));
    if (target.closest("[data-submit]")) {
      if (isLacking()) event.preventDefault();
    } else if (step() === "rank") warn();
  });
  form.addEventListener("dblclick", ({ target }) => {
    const tile = target.closest(".tile");
    if (tile) screen.open(Number(tile.dataset.number));
  });
  form.addEventListener("htmx:beforeRequest", drafts.pause);
  form.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (!detail.successful) drafts.resume();
    else if (detail.xhr.status < 300 && form.hasAttribute("data-ahead")) countAnswer(); // no lesson
  });
  const skip = workspace.querySelector("#skip");
  skip?.addEventListener("htmx:beforeRequest", drafts.pause);
  skip?.addEventListener("htmx:afterRequest", ({ detail }) => detail.successful || drafts.resume());

  current = {
    flush: drafts.flush,
    onKey(event) {
      const { key, target } = event;
      if (key === "Enter") {
        if (target.matches("button, a, summary")) return false;
        advance();
      } else if (key === "Backspace") retreat();
      else if (key === " ") {
        if (target.matches("button, a, input")) return false;
        screen.open(stage().current?.() ?? 1);
      } else if (key === "h") {
        const number = stage().current?.() ?? 1;
        const shown = pictures.find((picture) => imageNumber(picture) === number).closest("[data-veil]");
        return unveil(shown?.dataset.veil);
      } else {
        const isTaken = stage().onKey(event);
        if (isTaken && step() === "rank") warn();
        return isTaken;
      }
      return true;
    },
  };
  show(step(), { focus: false });
  if (wasUnsent || isRefused) drafts.later();
}

/** One more today; the server's count comes every few minutes. */
function countAnswer() {
  const count = document.querySelector("[data-today-count]");
  if (count && /^\d+$/.test(count.textContent)) count.textContent = Number(count.textContent) + 1;
}

function imageNumber(image) {
  return Number(image.closest("[data-number]").dataset.number);
}

/** The server's word that the task is gone, in the task's place. */
function replaceWorkspace(html) {
  const fresh = document.createRange().createContextualFragment(html).querySelector("#workspace");
  if (!fresh) return;
  const gone = document.getElementById("workspace");
  forgetUnsent(gone.querySelector("form.task"));
  document.getElementById("messages").replaceChildren();
  gone.replaceWith(fresh);
  window.htmx.process(fresh);
  start(fresh);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.target.matches("textarea, select, input:not([type='radio'], [type='checkbox'])")) return;
  const name = { "?": "keys", g: "guideline", x: "skip" }[event.key];
  const dialog = name && document.getElementById(name);
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  if (dialog) dialog.showModal();
  else if (link) link.click();
  else if (event.key === "f") toggleFullscreen();
  else if (!current?.onKey(event)) return;
  event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  const opener = target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
  else if (target.matches("dialog.drawer, dialog.sheet")) target.close(); // on the backdrop
});

// "Not yours any more" comes as 404, which pages do not swap in elsewhere.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.xhr.status === 404 && detail.serverResponse.includes('data-state="lost"')) {
    detail.shouldSwap = true;
    detail.isError = false;
  }
});
document.addEventListener("htmx:load", ({ target }) => {
  if (target.id === "workspace") {
    start(target);
    target.querySelector("h1")?.focus({ preventScroll: true });
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") current?.flush();
});
window.addEventListener("pagehide", () => current?.flush());

start(document.getElementById("workspace"));
