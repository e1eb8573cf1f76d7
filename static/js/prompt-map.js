// <prompt-map>: says which prompt a dot of the map is, and shows where a listed prompt lies on it.

const REACH = 14; // pixels from the pointer to a dot's middle
const SVG = "http://www.w3.org/2000/svg";

class PromptMap extends HTMLElement {
  connectedCallback() {
    this.svg = this.querySelector("svg");
    this.tip = this.querySelector(".tip");
    this.leaving = new AbortController();
    const until = { signal: this.leaving.signal };
    this.svg.addEventListener("pointermove", (event) => this.point(event), until);
    this.svg.addEventListener("pointerleave", (event) => this.leave(event), until);
    this.svg.addEventListener("click", (event) => this.open(event), until);
    for (const kind of ["pointerover", "focusin"]) {
      document.addEventListener(kind, (event) => this.followList(event), until);
    }
  }

  disconnectedCallback() {
    this.leaving.abort();
  }

  /** The points, asked for when they are first needed. */
  points() {
    this.loading ??= fetch(this.dataset.points).then((response) => {
      if (!response.ok) throw new Error(`The map's prompts: ${response.status}`);
      return response.json();
    });
    return this.loading;
  }

  /** Map coordinates to pixels of the page and back: the SVG keeps its proportions inside its box. */
  get matrix() {
    return this.svg.getScreenCTM();
  }

  height() {
    return Number(this.svg.dataset.height);
  }

  async nearest(event) {
    const { x, y } = await this.points();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.matrix.inverse());
    const reach = (REACH / this.matrix.a) ** 2;
    let best = null;
    let least = reach;
    for (let i = 0; i < x.length; i += 1) {
      const distance = (x[i] - at.x) ** 2 + (this.height() - y[i] - at.y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  async point(event) {
    this.show(await this.nearest(event));
  }

  /** A finger leaves with every tap, before the click: what it showed stays until the next. */
  leave(event) {
    if (event.pointerType !== "touch") this.show(null);
  }

  /** A mouse shows before it clicks; a finger's first tap only shows. */
  async open(event) {
    const found = await this.nearest(event);
    const was = this.shown;
    await this.show(found);
    if (found === null || (event.pointerType === "touch" && found !== was)) return;
    window.location.href = `${this.dataset.page}${(await this.points()).prompts[found]}/`;
  }

  async followList(event) {
    const row = event.target.closest?.("[data-prompt]");
    if (!row && this.followed) this.show(null);
    this.followed = row;
    if (!row) return;
    const { prompts } = await this.points();
    const found = prompts.indexOf(Number(row.dataset.prompt));
    if (this.followed === row) this.show(found < 0 ? null : found, { silent: true });
  }

  /** Ring a point and say its prompt; null shows none. */
  async show(index, { silent = false } = {}) {
    if (index === this.shown && !silent) return;
    this.shown = index;
    this.classList.toggle("on-point", index !== null);
    this.tip.hidden = index === null || silent;
    this.ring?.remove();
    if (index === null) return;
    const { x, y, texts } = await this.points();
    if (this.shown !== index) return;
    const [px, py] = [x[index], this.height() - y[index]];
    this.ring?.remove();
    this.ring = document.createElementNS(SVG, "path");
    this.ring.setAttribute("class", "found");
    this.ring.setAttribute("d", `M${px} ${py}h0`);
    this.svg.querySelector(".chosen-rim").before(this.ring);
    this.tip.textContent = texts[index];
    this.place(new DOMPoint(px, py).matrixTransform(this.matrix));
  }

  /** Beside the point, inside the map. */
  place(at) {
    const box = this.getBoundingClientRect();
    const left = Math.min(at.x - box.left + 12, box.width - this.tip.offsetWidth);
    const below = at.y - box.top + 14;
    const above = at.y - box.top - this.tip.offsetHeight - 14;
    this.tip.style.left = `${Math.max(0, left)}px`;
    this.tip.style.top = `${above > 0 ? above : below}px`;
  }
}

customElements.define("prompt-map", PromptMap);
