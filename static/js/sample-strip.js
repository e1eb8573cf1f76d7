// <sample-strip>: a slider that chooses after which update a tuning's samples are shown, beside those before it.

// The update that is shown of each run, by its id; none while its newest is followed.
const chosen = new Map();
let isDragged = false;

class SampleStrip extends HTMLElement {
  connectedCallback() {
    this.slider ??= this.build();
    if (!this.slider) return;
    const at = this.grids.findIndex(({ step }) => step === chosen.get(this.dataset.run));
    this.slider.value = at < 0 ? this.grids.length - 1 : at;
    this.show();
  }

  /** Return the slider; null where there is nothing to choose from. */
  build() {
    this.grids = JSON.parse(this.querySelector("script[type='application/json']").textContent);
    const slider = this.querySelector("input[type='range']");
    if (!slider || this.grids.length < 2) return null;
    this.querySelector(".when").hidden = false;
    this.loading = new Map();
    slider.addEventListener("input", () => this.choose());
    slider.addEventListener("pointerdown", () => (isDragged = true));
    return slider;
  }

  choose() {
    const { step } = this.grids[Number(this.slider.value)];
    if (step === this.grids[this.grids.length - 1].step) chosen.delete(this.dataset.run);
    else chosen.set(this.dataset.run, step);
    this.show();
  }

  /** Show the chosen grid once it is loaded, so that no picture is blank meanwhile; then load its neighbours. */
  async show() {
    const at = Number(this.slider.value);
    const { name, note, url } = this.grids[at];
    this.slider.setAttribute("aria-valuetext", [name, note].filter(Boolean).join(", "));
    const badge = Object.assign(document.createElement("span"), { className: "badge good", textContent: note });
    this.querySelector("output").replaceChildren(name, ...(note ? [badge] : []));
    await this.load(url);
    if (Number(this.slider.value) !== at) return;
    for (const picture of this.querySelectorAll(".later")) {
      const svg = picture.querySelector("svg");
      svg.setAttribute("aria-label", `${svg.dataset.prompt}, ${name}`);
      picture.querySelector("image").setAttribute("href", url);
      picture.querySelector("p").textContent = name;
    }
    for (const beside of [at - 1, at + 1]) if (this.grids[beside]) this.load(this.grids[beside].url);
  }

  load(url) {
    if (!this.loading.has(url)) {
      const grid = new Image();
      grid.src = url;
      this.loading.set(url, grid.decode().catch(() => {})); // what cannot be shown stays blank
    }
    return this.loading.get(url);
  }
}

// The page of a run at work is swapped for its newer self: not from under a finger that holds the slider.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (isDragged) event.detail.shouldSwap = false;
});
for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => (isDragged = false));

customElements.define("sample-strip", SampleStrip);
