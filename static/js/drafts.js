// The unfinished answer, kept on the server as it grows.

import { csrfToken } from "./messages.js";

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

  async function send() {
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
      });
      if (!form.isConnected || isPaused) return;
      if (response.ok) status.textContent = `Saved ${clock(new Date())}`;
      else if (response.status === 404 || response.status === 409) lost(await response.text());
      else if (response.status === 401 || response.status === 403) status.textContent = "Not saved: you are signed out";
      else retry("Not saved, trying again");
    } catch (error) {
      if (error.name !== "AbortError" && form.isConnected) retry("Not saved: no connection, trying again");
    } finally {
      clearTimeout(tooLong);
      running = null;
    }
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  }

  function retry(text) {
    status.textContent = text;
    timer ??= setTimeout(send, AGAIN);
  }

  return {
    later,
    /** The page goes away: what is still unsent goes with the beacon. */
    flush() {
      if (timer === null || isPaused) return;
      clearTimeout(timer);
      timer = null;
      form.elements.csrfmiddlewaretoken.value = csrfToken();
      navigator.sendBeacon(form.dataset.draft, new FormData(form));
    },
    /** While the answer itself is on its way. */
    pause() {
      isPaused = true;
      clearTimeout(timer);
      running?.abort();
    },
    resume() {
      isPaused = false;
    },
  };
}
