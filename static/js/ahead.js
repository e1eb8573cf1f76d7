// The task behind the one in hand, fetched with its images while somebody works: once their answer is stored, it is
// on the page without another request. The server says whether it is theirs; if not, it sends what is.

let ready = null; // the task's page, its version and its images
let shown = null; // the images of the task in hand: as long as they are kept here, they need not be decoded again
let swaps = 0;

async function lookAhead() {
  const form = document.querySelector("#workspace form[data-ahead]");
  if (!form || ready) return;
  const before = swaps;
  await Promise.all([...form.querySelectorAll("img")].map(decoded)); // what is on the page comes first
  const answer = await fetch(form.dataset.ahead, { headers: { "HX-Request": "true" } }).catch(() => null);
  const text = answer?.status === 200 ? await answer.text().catch(() => "") : "";
  if (before !== swaps || ready) return; // the answer was stored in the meantime, and this task came with it
  const page = new DOMParser().parseFromString(text, "text/html");
  const version = page.querySelector("form[data-ready]")?.dataset.ready;
  if (!version) return;
  const addresses = new Set([...page.querySelectorAll("img")].map((image) => image.getAttribute("src")));
  const images = [...addresses].map((address) => Object.assign(new Image(), { src: address }));
  ready = { page, version, images };
  await Promise.all(images.map(decoded));
  form.toggleAttribute("data-next-ready", true);
}

function decoded(image) {
  return image.decode().catch(() => {}); // a broken image is no reason to wait
}

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (ready && detail.elt.matches("form[data-ahead]")) detail.formData.set("ready", ready.version);
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id !== "workspace" || detail.xhr.status !== 200) return;
  const claim = detail.xhr.getResponseHeader("Task-Claim");
  if (claim) {
    for (const input of ready.page.querySelectorAll("[name='claim']")) input.setAttribute("value", claim);
    detail.serverResponse = ready.page.body.innerHTML + detail.serverResponse;
  }
  shown = ready?.images;
  ready = null;
  swaps += 1;
});

document.addEventListener("htmx:load", ({ target }) => {
  if (target.id === "workspace") lookAhead();
});
lookAhead();
