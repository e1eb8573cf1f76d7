// <line-chart>: curves from the JSON inside it, drawn as SVG when the element enters the page.

const HEIGHT = 208;
const PAD = { left: 52, right: 12, top: 10, bottom: 24 };
const DASHES = ["", "7 4", "2 3", "10 3 2 3"];
const SVG = "http://www.w3.org/2000/svg";

function draw(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

/** Round numbers (1, 2 or 5 times a power of ten) from below low to above high, about `wanted` of them. */
function ticks(low, high, wanted) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const marks = [];
  for (let n = Math.floor(low / step); n * step < high + step * 0.999; n += 1) marks.push(n * step);
  return marks.length > 1 ? marks : [marks[0], marks[0] + step];
}

function formatter(format) {
  if (format === "%") return (value) => `${(value * 100).toFixed(1)} %`;
  if (format) {
    const decimals = (format.split(".")[1] || "").length;
    return (value) => value.toFixed(decimals);
  }
  return (value) => String(Number(value.toPrecision(4)));
}

class LineChart extends HTMLElement {
  connectedCallback() {
    const data = this.querySelector("script[type='application/json']");
    if (!data) return;
    const { label, x, ends, format, series, marks } = JSON.parse(data.textContent);
    this.marks = marks || [];
    this.label = label;
    this.ends = ends;
    this.write = formatter(format);
    this.xName = x || "";
    this.series = series
      .map((one, index) => ({ ...one, index, points: one.points.filter(([, y]) => y !== null) }))
      .filter((one) => one.points.length);
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
  }

  render() {
    if (this.width === this.clientWidth) return;
    this.width = this.clientWidth;
    this.querySelectorAll("svg, .legend, .empty").forEach((old) => old.remove());
    if (!this.series.length) {
      this.insertAdjacentHTML("beforeend", "<p class='empty'>Nothing to draw yet</p>");
      return;
    }
    this.drawAxes();
    this.drawCurves();
    this.drawMarks();
    this.drawLegend();
    this.follow();
  }

  drawAxes() {
    const xs = this.series.flatMap((one) => one.points.map(([x]) => x));
    const ys = this.series.flatMap((one) => one.points.map(([, y]) => y));
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const marks = ticks(Math.min(...ys), Math.max(...ys), 4);
    const [low, high] = [marks[0], marks[marks.length - 1]];
    this.px = (x) => PAD.left + ((x - left) / (right - left || 1)) * (this.width - PAD.left - PAD.right);
    this.py = (y) => HEIGHT - PAD.bottom - ((y - low) / (high - low)) * (HEIGHT - PAD.top - PAD.bottom);
    this.svg = draw(this, "svg", { viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img" });
    this.svg.setAttribute("aria-label", `${this.label}: ${this.summary()}`);
    for (const mark of marks) {
      draw(this.svg, "line", { class: "grid", x1: PAD.left, x2: this.width - PAD.right, y1: this.py(mark), y2: this.py(mark) });
      draw(this.svg, "text", { x: PAD.left - 8, y: this.py(mark) + 4, "text-anchor": "end" }, this.write(mark));
    }
    draw(this.svg, "text", { x: PAD.left, y: HEIGHT - 4 }, this.ends?.[0] ?? String(left));
    draw(this.svg, "text", { x: this.width - PAD.right, y: HEIGHT - 4, "text-anchor": "end" }, this.ends?.[1] ?? `${this.xName} ${right}`);
  }

  drawCurves() {
    for (const { index, points } of this.series) {
      const colour = `var(--series-${(index % 4) + 1})`;
      if (points.length === 1) {
        draw(this.svg, "circle", { cx: this.px(points[0][0]), cy: this.py(points[0][1]), r: 3, fill: colour });
        continue;
      }
      const d = points.map(([x, y], i) => `${i ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`).join("");
      draw(this.svg, "path", { class: "curve", d, stroke: colour, "stroke-dasharray": DASHES[index % 4] });
    }
  }

  /** Named vertical lines, each name on the side where there is room for it. */
  drawMarks() {
    for (const [index, { x, label, tone }] of this.marks.entries()) {
      const at = this.px(x);
      const isRight = at > this.width - PAD.right - 8 * label.length;
      draw(this.svg, "line", { class: `mark ${tone}`, x1: at, x2: at, y1: PAD.top, y2: HEIGHT - PAD.bottom });
      draw(this.svg, "text", { class: `mark ${tone}`, x: at + (isRight ? -5 : 5), y: PAD.top + 10 + 14 * index, "text-anchor": isRight ? "end" : "start" }, label);
    }
  }

  drawLegend() {
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    for (const { name, index } of this.series) {
      const entry = document.createElement("span");
      const swatch = draw(entry, "svg", { viewBox: "0 0 24 8", "aria-hidden": "true" });
      const stroke = `var(--series-${(index % 4) + 1})`;
      draw(swatch, "line", { x1: 0, x2: 24, y1: 4, y2: 4, stroke, "stroke-width": 2.5, "stroke-dasharray": DASHES[index % 4] });
      entry.append(name, document.createElement("b"));
      this.legend.append(entry);
    }
    this.append(this.legend);
    this.show(null);
  }

  /** Legend values: at the pointer, else the newest. */
  show(x) {
    this.series.forEach(({ points }, i) => {
      const [, value] = x === null ? points[points.length - 1] : nearest(points, x);
      this.legend.children[i].querySelector("b").textContent = this.write(value);
    });
  }

  follow() {
    const cursor = draw(this.svg, "line", { class: "cursor", y1: PAD.top, y2: HEIGHT - PAD.bottom, visibility: "hidden" });
    const longest = this.series.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    this.svg.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse()).x;
      const [x] = longest.reduce((a, b) => (Math.abs(this.px(b[0]) - at) < Math.abs(this.px(a[0]) - at) ? b : a));
      cursor.setAttribute("x1", this.px(x));
      cursor.setAttribute("x2", this.px(x));
      cursor.setAttribute("visibility", "visible");
      this.show(x);
    });
    this.svg.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      this.show(null);
    });
  }

  summary() {
    const newest = this.series.map(
      ({ name, points }) => `${name} ${this.write(points[points.length - 1][1])} at ${this.xName} ${points[points.length - 1][0]}`,
    );
    return [...newest, ...this.marks.map(({ x, label }) => `${label} at ${this.xName} ${x}`)].join(", ");
  }
}

function nearest(points, x) {
  return points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
}

customElements.define("line-chart", LineChart);
