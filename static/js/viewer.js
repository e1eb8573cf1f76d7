// One image on the whole window; arrows go through the others.

/** Args: images: img elements in their order; moved(number): the viewer shows another one. */
export function viewer(dialog, images, moved) {
  const picture = dialog.querySelector("img");
  const caption = dialog.querySelector("[data-caption]");
  let at = 0;

  function show(index) {
    at = (index + images.length) % images.length;
    picture.src = images[at].src;
    picture.alt = images[at].alt;
    caption.textContent = `Image ${at + 1} of ${images.length}`;
    moved(at + 1);
  }

  dialog.onclick = ({ target }) => {
    const turn = target.closest("[data-turn]");
    if (turn) show(at + Number(turn.dataset.turn));
    else if (target === dialog || target === picture) dialog.close();
  };
  dialog.onkeydown = (event) => {
    if (event.key === "ArrowRight") show(at + 1);
    else if (event.key === "ArrowLeft") show(at - 1);
    else if (event.key === " " && event.target.tagName !== "BUTTON") dialog.close();
    else if (/^[1-9]$/.test(event.key) && Number(event.key) <= images.length) show(Number(event.key) - 1);
    else return;
    event.preventDefault();
  };

  return {
    open(number) {
      show(number - 1);
      dialog.showModal();
    },
  };
}
