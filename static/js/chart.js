// <line-chart>: says what a chart, which the server has drawn, holds at a point: under the pointer, or by arrow keys.

// Where each chart is read, by its id: a run at work is swapped for its newer self every two seconds.
const reading = new Map();

function add(parent, name, properties) {
  const element = Object.assign(document.createElement(name), properties);
  parent.append(element);
  return element;
}

/** The entry whose first number is nearest to x; the last at infinity. */
function nearest(entries, x) {
  if (x === Infinity) return entries[entries.length - 1];
  return entries.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
}

class LineChart extends HTMLElement {
  connectedCallback() {
    const { label, steps, series } = JSON.parse(this.querySelector("script[type='application/json']").textContent);
    this.steps = steps; // [x, place in percent, what it is called]
    this.series = series; // [{name, points: [x, value, note]}]
    this.plot = this.querySelector(".plot");
    this.querySelector(".reader")?.remove(); // left by a copy of the page that was put back
    this.reader = add(this.plot, "div", { className: "reader", tabIndex: 0, role: "slider", id: `${this.parentElement.id}-reader` });
    this.reader.setAttribute("aria-label", `${label}, read point by point`);
    this.reader.setAttribute("aria-valuemin", 0);
    this.reader.setAttribute("aria-valuemax", this.steps.length - 1);
    this.cursor = add(this.reader, "div", { className: "cursor" });
    this.tip = add(this.reader, "div", { className: "tip" });
    this.reader.addEventListener("pointermove", (event) => this.follow(event));
    this.reader.addEventListener("pointerdown", (event) => this.follow(event));
    this.reader.addEventListener("pointerleave", (event) => this.leave(event));
    this.reader.addEventListener("keydown", (event) => this.press(event));
    this.reader.addEventListener("focus", () => this.reader.matches(":focus-visible") && this.show(this.at ?? Infinity));
    this.reader.addEventListener("blur", () => this.isConnected && this.show(null));
    this.show(reading.get(this.parentElement.id) ?? null);
  }

  follow({ clientX }) {
    const { left, width } = this.reader.getBoundingClientRect();
    const at = (100 * (clientX - left)) / width;
    this.show(this.steps.reduce((a, b) => (Math.abs(b[1] - at) < Math.abs(a[1] - at) ? b : a))[0]);
  }

  /** A finger leaves with every tap: what it showed stays until the next. */
  leave({ pointerType }) {
    if (pointerType !== "touch") this.show(null);
  }

  press(event) {
    const last = this.steps.length - 1;
    const jumps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -last, End: last };
    if (event.key === "Escape") this.show(null);
    if (!(event.key in jumps)) return;
    event.preventDefault();
    const from = this.at === null ? (jumps[event.key] < 0 ? last + 1 : -1) : this.steps.findIndex(([x]) => x === this.at);
    this.show(this.steps[Math.min(Math.max(from + jumps[event.key], 0), last)][0]);
  }

  /** Say what there is at x, or nothing. */
  show(x) {
    this.at = x === null ? null : nearest(this.steps, x)[0];
    reading.set(this.parentElement.id, this.at);
    this.cursor.hidden = this.tip.hidden = this.at === null;
    const [step, place, title] = nearest(this.steps, this.at ?? Infinity);
    const rows = this.series.map(({ name, points }) => {
      const [where, value, note] = nearest(points, step);
      const title = this.steps.find(([x]) => x === where)[2];
      return [name, value, note, where === step ? "" : `at ${title}`].filter(Boolean).join(" ");
    });
    this.reader.setAttribute("aria-valuenow", this.steps.findIndex(([x]) => x === step));
    this.reader.setAttribute("aria-valuetext", [title, ...rows].join(", "));
    this.cursor.style.left = `${place}%`;
    this.tip.replaceChildren();
    add(this.tip, "strong", { textContent: title });
    for (const row of rows) add(this.tip, "div", { textContent: row });
  }
}

customElements.define("line-chart", LineChart);
