// The axes of rating in a project's settings: moved, removed and added. Without it every row is there to fill in.

for (const list of document.querySelectorAll("[data-axes]")) {
  const rows = [...list.children];
  const add = list.parentElement.querySelector("[data-add-axis]");
  const inputs = (row) => [...row.querySelectorAll("input")];
  const isBlank = (row) => inputs(row).every((input) => !input.value);
  let shown = rows.findLastIndex((row) => !isBlank(row)) + 1 || 1;

  function show() {
    rows.forEach((row, index) => {
      row.hidden = index >= shown;
      row.querySelector("[data-move='-1']").disabled = index === 0;
      row.querySelector("[data-move='1']").disabled = index >= shown - 1;
      row.querySelector("[data-clear]").disabled = shown === 1;
    });
    add.hidden = shown === rows.length;
  }

  /** Trade what is in two rows: their places on the page, which number them, stay. */
  function swap(one, other) {
    inputs(rows[one]).forEach((input, index) => {
      const second = inputs(rows[other])[index];
      [input.value, second.value] = [second.value, input.value];
    });
  }

  list.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const at = rows.indexOf(button.closest("li"));
    if (button.dataset.move) {
      const next = at + Number(button.dataset.move);
      swap(at, next);
      show();
      const same = rows[next].querySelector(`[data-move="${button.dataset.move}"]`);
      (same.disabled ? rows[next].querySelector("[data-move]:enabled") : same).focus();
    } else {
      for (const input of inputs(rows[at])) input.value = "";
      for (let index = at; index < shown - 1; index++) swap(index, index + 1);
      shown -= 1;
      show();
      inputs(rows[Math.min(at, shown - 1)])[0].focus();
    }
  });
  add.addEventListener("click", () => {
    shown += 1;
    show();
    inputs(rows[shown - 1])[0].focus();
  });
  for (const tools of list.querySelectorAll(".axis-tools")) tools.hidden = false;
  show();
}
