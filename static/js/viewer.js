// Images on the whole window, one by one or beside each other. All share one view: what is enlarged and moved in
// one is enlarged and moved in all, so that going from one to the next compares the same place.

import { toggleFullscreen } from "./fullscreen.js";
import { isVeiled, unveil } from "./veil.js";

const MOST = 16; // times the size that fits the window
const STEP = 1.5; // of a key or a button
const CLOSE_UP = 3; // of a double click
const PATIENCE = 250; // ms in which a second click makes it a double one
const STILL = 5; // px that a click may move

/**
 * Args: images: img elements in their order, each within [data-number]; moved(number): another one is shown.
 * Returns: open(number).
 */
export function viewer(dialog, images, moved = () => {}) {
  const board = dialog.querySelector("[data-panes]");
  const caption = dialog.querySelector("[data-caption]");
  const compare = dialog.querySelector("[data-compare]");
  const fit = dialog.querySelector("[data-zoom='fit']");
  const numbers = images.map((image) => Number(image.closest("[data-number]").dataset.number));
  const view = { scale: 1, x: 0.5, y: 0.5 }; // x, y: the image's point in the middle of its pane, in shares of its size
  const pointers = new Map();
  const resized = new ResizeObserver(() => draw());
  let panes = [];
  let at = 0;
  let travelled = 0; // px since the first finger came down
  let click = null; // the one that may yet become a double one

  function makePane(image, index) {
    const pane = document.createElement("div");
    pane.className = "pane";
    pane.dataset.pane = index;
    const picture = document.createElement("img");
    picture.src = image.src;
    picture.alt = image.alt;
    picture.draggable = false;
    picture.addEventListener("load", draw);
    const numeral = document.createElement("b");
    numeral.className = "numeral";
    numeral.textContent = numbers[index];
    pane.append(picture, numeral);
    const hidden = image.closest("[data-veil]");
    if (hidden && isVeiled(hidden)) {
      pane.dataset.veil = hidden.dataset.veil;
      pane.classList.add("veiled");
      pane.append(hidden.querySelector("[data-unveil]")?.cloneNode(true) ?? "");
    }
    return pane;
  }

  const compares = () => dialog.classList.contains("comparing");

  function show(index) {
    at = (index + images.length) % images.length;
    panes.forEach((pane, i) => pane.classList.toggle("current", i === at));
    caption.textContent = `Image ${numbers[at]} of ${images.length}`;
    draw();
    moved(numbers[at]);
  }

  function setComparing(on) {
    dialog.classList.toggle("comparing", on);
    compare.setAttribute("aria-pressed", String(on));
    draw();
  }

  /** As many columns as make the panes largest, images being about square. */
  function columns() {
    const { clientWidth: width, clientHeight: height } = board;
    const side = (n) => Math.min(width / n, height / Math.ceil(images.length / n));
    return images.reduce((best, _, i) => (side(i + 1) > side(best) ? i + 1 : best), 1);
  }

  /** Where the pane is, and how large its image is at scale 1. */
  function measure(pane) {
    const box = pane.getBoundingClientRect();
    const { naturalWidth, naturalHeight } = pane.querySelector("img");
    const ratio = Math.min(box.width / (naturalWidth || 1), box.height / (naturalHeight || 1));
    return {
      centreX: box.left + box.width / 2,
      centreY: box.top + box.height / 2,
      width: naturalWidth * ratio,
      height: naturalHeight * ratio,
      box,
    };
  }

  /** The point in the middle that leaves no gap between an image's edge and its pane's. */
  function within(point, size, room) {
    const half = room / (2 * size);
    return half >= 0.5 ? 0.5 : Math.min(Math.max(point, half), 1 - half);
  }

  function middle({ width, height, box }) {
    return {
      x: within(view.x, width * view.scale, box.width),
      y: within(view.y, height * view.scale, box.height),
    };
  }

  function draw() {
    if (!dialog.open) return;
    board.style.setProperty("--columns", compares() ? columns() : 1);
    fit.firstChild.textContent = view.scale > 1 ? `${Math.round(view.scale * 100)} % ` : "Fit ";
    board.classList.toggle("enlarged", view.scale > 1);
    for (const pane of panes) {
      const size = measure(pane);
      if (!size.width) continue;
      const { x, y } = middle(size);
      const right = (0.5 - x) * size.width * view.scale;
      const down = (0.5 - y) * size.height * view.scale;
      pane.querySelector("img").style.transform = `translate(${right}px, ${down}px) scale(${view.scale})`;
    }
  }

  /** Move by so many pixels; then enlarge by a factor, the point of the image at (x, y) on the screen staying there. */
  function change(pane, { right = 0, down = 0, factor = 1, x, y }) {
    const size = measure(pane);
    if (!size.width) return;
    const from = middle(size);
    const beside = x === undefined ? 0 : x - size.centreX;
    const below = y === undefined ? 0 : y - size.centreY;
    const scale = Math.min(Math.max(view.scale * factor, 1), MOST);
    const slack = 1 / view.scale - 1 / scale;
    view.x = from.x - right / (size.width * view.scale) + (beside / size.width) * slack;
    view.y = from.y - down / (size.height * view.scale) + (below / size.height) * slack;
    view.scale = scale;
    Object.assign(view, middle(size));
    draw();
  }

  function reset() {
    Object.assign(view, { scale: 1, x: 0.5, y: 0.5 });
    draw();
  }

  const zoom = (factor) => change(panes[at], { factor });

  function pan(right, down) {
    const { width, height } = board.getBoundingClientRect();
    change(panes[at], { right: (-right * width) / 8, down: (-down * height) / 8 });
  }

  /** One click goes on from what is seen, two enlarge where they are. */
  function clicked(pane, x, y) {
    if (click) {
      clearTimeout(click);
      click = null;
      if (view.scale > 1) reset();
      else change(pane, { factor: CLOSE_UP, x, y });
      return;
    }
    click = setTimeout(() => {
      click = null;
      if (compares()) {
        setComparing(false);
        show(Number(pane.dataset.pane));
      } else if (view.scale === 1) dialog.close();
    }, PATIENCE);
  }

  board.onpointerdown = (event) => {
    const pane = event.target.closest(".pane");
    if (!pane || event.button || event.target.closest("[data-unveil]")) return;
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    pane.setPointerCapture(event.pointerId);
    event.preventDefault();
  };
  board.onpointermove = (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const pane = event.target.closest(".pane");
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const to = { x: event.clientX, y: event.clientY };
    const right = to.x - from.x;
    const down = to.y - from.y;
    travelled += Math.hypot(right, down);
    pointers.set(event.pointerId, to);
    if (others.length === 0) change(pane, { right, down });
    else {
      const [other] = others;
      const factor = Math.hypot(to.x - other.x, to.y - other.y) / (Math.hypot(from.x - other.x, from.y - other.y) || 1);
      change(pane, { right: right / 2, down: down / 2, factor, x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
    }
  };
  board.onpointerup = board.onpointercancel = (event) => {
    const was = pointers.delete(event.pointerId);
    if (!was || pointers.size || event.type === "pointercancel") return;
    if (travelled <= STILL) clicked(event.target.closest(".pane"), event.clientX, event.clientY);
    else travelled = STILL + 1;
  };
  board.onwheel = (event) => {
    const pane = event.target.closest(".pane");
    if (!pane) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.002; // a pinch on a trackpad comes with Ctrl and small steps
    change(pane, { factor: Math.exp(-event.deltaY * lines * speed), x: event.clientX, y: event.clientY });
  };
  dialog.onclick = ({ target }) => {
    const turn = target.closest("[data-turn]");
    const zoomed = target.closest("[data-zoom]")?.dataset.zoom;
    if (turn) show(at + Number(turn.dataset.turn));
    else if (zoomed) zoomed === "fit" ? reset() : zoom(zoomed === "in" ? STEP : 1 / STEP);
    else if (target.closest("[data-compare]")) setComparing(!compares());
    else if (target.closest("[data-fullscreen]")) toggleFullscreen();
  };
  dialog.onkeydown = (event) => {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
    if (arrow && (event.shiftKey || arrow[1])) pan(...arrow);
    else if (arrow) show(at + arrow[0]);
    else if (key === "+" || key === "=") zoom(STEP);
    else if (key === "-") zoom(1 / STEP);
    else if (key === "0") reset();
    else if (key === "c" && images.length > 1) setComparing(!compares());
    else if (key === "f") toggleFullscreen();
    else if (key === "h") unveil(panes[at].dataset.veil);
    else if (key === " " && event.target.tagName !== "BUTTON") dialog.close();
    else if (/^[1-9]$/.test(key) && numbers.includes(Number(key))) {
      setComparing(false);
      show(numbers.indexOf(Number(key)));
    } else return;
    event.preventDefault();
  };
  dialog.onclose = () => {
    if (dialog.open) return; // closed and opened again, to lie above what fills the screen
    clearTimeout(click);
    click = null;
    pointers.clear();
    resized.disconnect();
    board.replaceChildren();
  };
  return {
    open(number) {
      panes = images.map(makePane);
      board.replaceChildren(...panes);
      compare.hidden = images.length < 2;
      dialog.classList.remove("comparing");
      compare.setAttribute("aria-pressed", "false");
      dialog.showModal();
      resized.observe(board);
      reset();
      show(Math.max(numbers.indexOf(number), 0));
    },
  };
}
