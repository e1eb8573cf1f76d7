// <before-after>: two images of one caption, the second wiped away from the left by keys, mouse or touch.

class BeforeAfter extends HTMLElement {
  connectedCallback() {
    this.frame = this.querySelector(".frame");
    this.range = this.querySelector("input");
    this.names = [...this.querySelectorAll(".names span")].map((name) => name.textContent);
    this.range.oninput = () => this.show();
    this.frame.onpointerdown = (event) => this.grasp(event);
    this.frame.onpointermove = (event) => this.frame.hasPointerCapture(event.pointerId) && this.follow(event);
    this.show();
  }

  show() {
    const share = Number(this.range.value);
    this.frame.style.setProperty("--at", `${share}%`);
    this.range.setAttribute("aria-valuetext", `${share} % ${this.names[0]}, ${100 - share} % ${this.names[1]}`);
  }

  grasp(event) {
    const isOne = document.documentElement.classList.contains("beside");
    if (event.button || isOne || event.target.closest("[data-unveil]")) return;
    this.frame.setPointerCapture(event.pointerId);
    this.range.focus({ preventScroll: true });
    this.follow(event);
    event.preventDefault();
  }

  follow({ clientX }) {
    const { left, width } = this.frame.getBoundingClientRect();
    this.range.value = (100 * (clientX - left)) / width;
    this.show();
  }
}

customElements.define("before-after", BeforeAfter);

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-beside]");
  if (!button) return;
  const isBeside = document.documentElement.classList.toggle("beside");
  for (const each of document.querySelectorAll("[data-beside]")) each.setAttribute("aria-pressed", isBeside);
});
