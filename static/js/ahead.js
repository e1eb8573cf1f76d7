// The task behind the one in hand, there with its images while somebody works: once their answer is stored, it is on
// the page without another request. The answer's receipt brings the task behind that one. The server says whether
// a task is theirs; if not, it sends what is.

let ready = null; // the task in a template, its version, and its images once they are fetched
let shown = null; // the images of the task in hand: as long as they are kept here, they need not be decoded again
let swaps = 0;

async function lookAhead() {
  const form = document.querySelector("#workspace form[data-ahead]");
  if (!form || ready?.images) return;
  const before = swaps;
  await Promise.all([...form.querySelectorAll("img")].map(decoded)); // what is on the page comes first
  const task = ready ?? (await fetched(form.dataset.ahead));
  if (!task || before !== swaps || ready?.images) return; // the answer was stored in the meantime
  const addresses = new Set([...task.template.content.querySelectorAll("img")].map((image) => image.getAttribute("src")));
  const images = [...addresses].map((address) => Object.assign(new Image(), { src: address }));
  ready = { ...task, images };
  await Promise.all(images.map(decoded));
  form.toggleAttribute("data-next-ready", true);
}

async function fetched(address) {
  const answer = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => null);
  return asTask(parsed(answer?.status === 200 ? await answer.text().catch(() => "") : ""));
}

function parsed(html) {
  return Object.assign(document.createElement("template"), { innerHTML: html });
}

/** Null unless there is a task in the template. */
function asTask(template) {
  const version = template?.content.querySelector("form[data-ready]")?.dataset.ready;
  return version ? { template, version } : null;
}

function decoded(image) {
  return image.decode().catch(() => {}); // a broken image is no reason to wait
}

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (ready && detail.elt.matches("form[data-ahead]")) detail.formData.set("ready", ready.version);
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id !== "workspace" || detail.xhr.status !== 200) return;
  shown = ready?.images;
  const claim = detail.xhr.getResponseHeader("Task-Claim");
  let behind = null;
  if (claim) {
    const { template } = ready;
    for (const input of template.content.querySelectorAll("[name='claim']")) input.setAttribute("value", claim);
    const receipt = parsed(detail.serverResponse);
    behind = receipt.content.querySelector("template");
    behind?.remove();
    detail.serverResponse = template.innerHTML + receipt.innerHTML;
  }
  ready = asTask(behind);
  swaps += 1;
});

document.addEventListener("htmx:load", ({ target }) => {
  if (target.id === "workspace") lookAhead();
});
lookAhead();
