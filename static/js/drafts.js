// The unfinished answer, kept on the server as it grows; a change of a stored answer is kept in this tab alone.

import { csrfToken } from "./messages.js";
import { forgetUnsent, keepUnsent } from "./unsent.js";

const PAUSE = 600; // ms without a change before it is sent
const AGAIN = 5000; // ms before a failed draft is sent again
const PATIENCE = 15000; // ms that the server may take

export function clock(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** Args: status: the element that says how it stands; lost(html): the task is not ours any more. */
export function keepDrafts(form, status, lost) {
  let timer = null;
  let running = null;
  let isPaused = false;

  async function send({ keepalive = false } = {}) {
    timer = null;
    if (isPaused || !form.isConnected) return;
    if (running) return later(); // one after another: the older of two must not arrive last
    const request = new AbortController();
    running = request;
    const tooLong = setTimeout(() => request.abort(new DOMException("", "TimeoutError")), PATIENCE);
    form.elements.csrfmiddlewaretoken.value = csrfToken();
    try {
      const response = await fetch(form.dataset.draft, {
        method: "POST",
        body: new FormData(form),
        headers: { "HX-Request": "true" },
        signal: request.signal,
        keepalive,
      });
      if (!form.isConnected || isPaused) return;
      if (response.ok) saved(response.headers.get("Draft-Version"));
      else if (response.status === 404 || response.status === 409) lost(await response.text());
      else if (response.status === 401 || response.status === 403) retry("Not saved: you are signed out. Sign in in another tab");
      else retry("Not saved, trying again");
    } catch (error) {
      if (error.name !== "AbortError" && form.isConnected) retry("Not saved: no connection, trying again");
    } finally {
      clearTimeout(tooLong);
      if (running === request) running = null;
    }
  }

  function saved(version) {
    form.dataset.version = version;
    if (timer === null) forgetUnsent(form);
    else keepUnsent(form);
    status.textContent = `Saved ${clock(new Date())}`;
  }

  function later() {
    keepUnsent(form);
    if (!form.dataset.draft) return;
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  }

  function retry(text) {
    status.textContent = text;
    timer ??= setTimeout(send, AGAIN);
  }

  return {
    later,
    /** The page goes away: what is still unsent goes at once, and need not be waited for. */
    flush() {
      if (timer === null || isPaused) return;
      clearTimeout(timer);
      running?.abort();
      running = null;
      send({ keepalive: true });
    },
    /** While the answer itself is on its way. */
    pause() {
      isPaused = true;
      clearTimeout(timer);
      running?.abort();
    },
    /** It did not arrive: what is on the page is a draft again. */
    resume() {
      isPaused = false;
      if (form.isConnected) later();
    },
  };
}
