// The message at the foot of the window, and the CSRF token: what several modules need.

export function csrfToken() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

/** Show one message at the foot of the window; `retry` adds a button. Returns the message's element. */
export function say(text, { bad = false, retry = null } = {}) {
  const place = document.getElementById("messages");
  place.querySelectorAll(".toast").forEach((old) => old.remove());
  const toast = document.createElement("div");
  toast.className = `toast${bad ? " bad" : " passing"}`;
  toast.append(text);
  if (retry) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = "Try again";
    button.addEventListener("click", () => {
      toast.remove();
      retry();
    });
    toast.append(button);
  }
  place.append(toast);
  return toast;
}
