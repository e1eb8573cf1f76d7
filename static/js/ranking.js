// Stage 3: every image into a slot, by drag, by keys, by touch. The selects in the tiles hold the truth.

/* global Sortable */

import { acceptableLine } from "./acceptable.js";

const MOVES = ["pointermove", "touchmove"]; // of a mouse or pen; of a finger
const BY_TOUCH = "Tap an image, then its slot.";
const BY_KEYS = "Press an image's number and then its slot's, or drag it to its slot.";

/** The slot that the element stands for or lies in, "" for the images to be placed, null elsewhere. */
function slotAt(element) {
  const place = element?.closest("[data-place], [data-drop], .tray");
  return place ? (place.dataset.place ?? place.dataset.drop ?? "") : null;
}

function slotUnder(event) {
  const { clientX, clientY } = event.changedTouches?.[0] ?? event;
  return slotAt(document.elementFromPoint(clientX, clientY));
}

/** An image's number, as it stands on the image. */
function numeral(number) {
  const chip = document.createElement("span");
  chip.textContent = number;
  return chip;
}

export function ranking(form, section, { say, changed, size }) {
  const slots = Number(form.dataset.slots);
  const perSlot = Number(form.dataset.perSlot);
  const tiles = [...section.querySelectorAll(".tile")].sort((a, b) => a.dataset.number - b.dataset.number);
  const lists = new Map([...section.querySelectorAll(".tiles")].map((list) => [list.dataset.slot, list]));
  const titles = [...section.querySelectorAll("[data-place]")];
  const past = []; // what undoes each change, newest last
  let isUndoing = false;
  const remember = (undo) => isUndoing || past.push(undo);
  const line = acceptableLine(section, {
    say,
    changed: (undo) => {
      remember(undo);
      changed();
    },
  });
  let picked = null;
  let last = null; // the image placed last

  const slotOf = (tile) => tile.querySelector("select").value;
  const held = (slot, except) => tiles.filter((tile) => tile !== except && slotOf(tile) === slot).length;

  function pick(tile) {
    picked = tile;
    for (const one of tiles) one.querySelector(".tile-pick").setAttribute("aria-pressed", String(one === tile));
    section.classList.toggle("picking", tile !== null);
    if (tile) tile.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Put the tile where its slot says, tiles of one place in the order of their numbers. */
  function settle(tile, slot) {
    tile.querySelector("select").value = slot;
    const list = lists.get(slot);
    const after = [...list.children].find((other) => other !== tile && Number(other.dataset.number) > Number(tile.dataset.number));
    list.insertBefore(tile, after ?? null);
    for (const title of titles) {
      const numbers = tiles.filter((one) => slotOf(one) === title.dataset.place).map((one) => one.dataset.number);
      const held = title.querySelector("[data-held]");
      if (title.dataset.place) held.replaceChildren(...numbers.map(numeral));
      else held.textContent = numbers.length;
    }
  }

  /** Let the tiles glide from where they were to where `move` puts them: the eye follows what trades places. */
  function glide(move) {
    const before = tiles.map((tile) => tile.getBoundingClientRect());
    move();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    tiles.forEach((tile, index) => {
      const { x, y } = tile.getBoundingClientRect();
      const from = before[index];
      if (x === from.x && y === from.y) return;
      tile.animate([{ transform: `translate(${from.x - x}px, ${from.y - y}px)` }, {}], { duration: 140, easing: "ease-out" });
    });
  }

  /** Returns whether there was room. */
  function place(tile, slot) {
    const before = slotOf(tile);
    if (slot !== "" && held(slot, tile) >= perSlot) {
      say(`Slot ${slot} is full: it holds ${perSlot}`, { bad: true });
      settle(tile, before);
      return false;
    }
    if (before !== slot) remember(() => place(tile, before));
    glide(() => settle(tile, slot));
    if (slot !== "") last = tile;
    pick(null);
    check();
    say(describe(tile, slot));
    if (before !== slot) changed();
    return true;
  }

  function describe(tile, slot) {
    const left = tiles.filter((one) => slotOf(one) === "").length;
    const where = slot ? `Image ${tile.dataset.number} in slot ${slot}` : `Image ${tile.dataset.number} taken back`;
    return left ? `${where}, ${left} to go` : `${where}, all placed`;
  }

  function undo() {
    const step = past.pop();
    if (!step) return say("Nothing to undo");
    isUndoing = true;
    step();
    isUndoing = false;
  }

  /** The point on the axis that the ranking is held against, 0 where there is none. */
  function points(tile) {
    const name = tile.querySelector("select").name.replace("slot-", "rating-");
    return Number(form.querySelector(`input[name="${name}-${form.dataset.axis}"]:checked`)?.value ?? 0);
  }

  /** Mark images that stand above better rated ones, on both. Returns one sentence for each such pair. */
  function check() {
    const said = [];
    tiles.forEach((tile) => {
      tile.classList.remove("contradicts");
      tile.querySelector(".tile-pick").dataset.points = points(tile) || "";
    });
    if (form.dataset.consistency === "off") return said;
    const placed = tiles.filter((tile) => slotOf(tile) !== "" && points(tile));
    for (const a of placed) {
      for (const b of placed) {
        if (points(a) <= points(b) || Number(slotOf(a)) <= Number(slotOf(b))) continue;
        a.classList.add("contradicts");
        b.classList.add("contradicts");
        said.push(`Image ${a.dataset.number} is rated ${points(a)} and image ${b.dataset.number} only ${points(b)}, but ${b.dataset.number} stands above`);
      }
    }
    return said;
  }

  /** Mark the slot that an image dragged would fall into. */
  function aim(event) {
    const slot = event && slotUnder(event);
    for (const title of titles) title.classList.toggle("aimed", title.dataset.place === slot);
  }

  for (const tile of tiles) settle(tile, slotOf(tile));
  for (const list of lists.values()) {
    new Sortable(list, {
      group: { name: "images", put: false }, // while one is dragged, the others stay where they are
      draggable: ".tile",
      filter: "select, .tile-view, .unveil",
      preventOnFilter: false,
      sort: false,
      forceFallback: true,
      fallbackOnBody: true,
      fallbackTolerance: 5,
      delay: 130,
      delayOnTouchOnly: true,
      touchStartThreshold: 6,
      onStart: () => {
        for (const kind of MOVES) document.addEventListener(kind, aim);
      },
      onEnd: ({ item, originalEvent }) => {
        for (const kind of MOVES) document.removeEventListener(kind, aim);
        aim(null);
        place(item, slotUnder(originalEvent) ?? slotOf(item));
        // Sortable swallows the next click, meant to be the drag's own. A finger makes none, nor does a mouse whose
        // image was moved, and then the next by hand would be lost.
        setTimeout(() => document.body.click());
      },
    });
  }

  section.addEventListener("pointerdown", ({ target, clientX, clientY }) => {
    const pick = target.closest(".tile-pick");
    const { x, y } = pick?.getBoundingClientRect() ?? {};
    pick?.parentElement.style.setProperty("--grip", `${clientX - x}px ${clientY - y}px`); // its small copy hangs there
  });
  section.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    const slot = slotAt(event.target);
    if (event.target.closest(".tile-view, select")) return;
    if (tile && (!picked || tile === picked || slot === "" || slot === slotOf(picked))) {
      pick(tile === picked ? null : tile);
    } else if (picked && slot !== null) {
      place(picked, slot);
    }
    if (event.detail > 0) document.activeElement.blur(); // a click leaves Enter free for going on
  });
  section.addEventListener("change", ({ target }) => {
    if (target.name?.startsWith("slot-")) {
      const slot = target.value;
      const tile = target.closest(".tile");
      target.value = tile.closest(".tiles").dataset.slot;
      place(tile, slot);
      target.focus();
    }
  });

  const numbered = (key) => tiles.find((tile) => tile.dataset.number === (key === "0" ? "10" : key)) ?? null;

  return {
    enter() {
      check();
      pick(null);
      if (tiles.every((tile) => slotOf(tile) === "")) say(matchMedia("(hover: none)").matches ? BY_TOUCH : BY_KEYS);
    },
    current: () => Number((picked ?? tiles.find((tile) => slotOf(tile) === "") ?? tiles[0]).dataset.number),
    onKey(event) {
      const { key } = event;
      if (/^[0-9]$/.test(key)) {
        if (picked && key === "0") place(picked, "");
        else if (picked && Number(key) <= slots) place(picked, key);
        else if (numbered(key)) pick(numbered(key));
        else say(`There is no image ${key}`);
      } else if (key === "=") {
        if (picked && last && picked !== last && slotOf(last)) place(picked, slotOf(last));
        else say(picked ? "Nothing placed yet to tie with" : "Pick an image first, then =");
      } else if (key === "u") undo();
      else if (line.onKey(event)) return true;
      else if (size.onKey(key)) return true;
      else if (key === "Escape" && picked) pick(null);
      else if ((key === "ArrowRight" || key === "ArrowLeft") && !event.target.matches("select, input")) {
        const from = picked ? tiles.indexOf(picked) : key === "ArrowRight" ? -1 : 0;
        pick(tiles[(from + (key === "ArrowRight" ? 1 : -1) + tiles.length) % tiles.length]);
      } else return false;
      return true;
    },
    missing() {
      const open = tiles.filter((tile) => slotOf(tile) === "").map((tile) => tile.dataset.number);
      if (!open.length) return line.missing();
      return `${open.length > 1 ? "Images" : "Image"} ${open.join(", ")} still to be placed.`;
    },
    warnings: check,
    advance: () => false,
    retreat: () => false,
  };
}
