// Runs the operations of the API from the forms of its description. Without this script there are links to examples.
"use strict";

/** The most characters of an answer that are shown. */
const SHOWN = 20_000;

const filled = (form, place) => [...form.querySelectorAll(`[data-in="${place}"]`)].filter((field) => field.value !== "");

/** The request that a form describes: URL and options of `fetch`. */
function requestOf(form) {
  let { path } = form.dataset;
  for (const field of form.querySelectorAll('[data-in="path"]')) {
    path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
  }
  const query = new URLSearchParams(filled(form, "query").map((field) => [field.name, field.value]));
  const headers = new Headers(filled(form, "header").map((field) => [field.name, field.value]));
  const key = document.getElementById("key").value;
  const options = { method: form.dataset.method, headers };
  if (form.dataset.key) {
    if (key) headers.set("authorization", `Bearer ${key}`);
    // Or the browser would ask for a user and a password where the key is missing or wrong.
    options.credentials = "omit";
  }
  const body = form.querySelector(".body");
  if (body) {
    options.body = body.value;
    headers.set("content-type", form.querySelector(".type").value);
  }
  return [query.size ? `${path}?${query}` : path, options];
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same request as a command, without the secret of the key. */
function commandOf(path, { method, headers, body }) {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  for (const [name, value] of headers) parts.push("-H", quoted(`${name}: ${name === "authorization" ? "Bearer $RATES_KEY" : value}`));
  if (body !== undefined) parts.push("--data-binary", quoted(body));
  return [...parts, quoted(location.origin + path)].join(" ");
}

function block(text) {
  const created = document.createElement("pre");
  // So that it can be scrolled with the keyboard.
  created.tabIndex = 0;
  created.textContent = text;
  return created;
}

/** The body of an answer as people read it. */
async function readable(response) {
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const shown = isJson && text ? JSON.stringify(JSON.parse(text), null, 2) : text;
  return shown.length > SHOWN ? `${shown.slice(0, SHOWN)}\n… ${shown.length - SHOWN} more characters` : shown;
}

async function run(form) {
  const [path, options] = requestOf(form);
  const answer = form.querySelector(".answer");
  answer.textContent = "Running…";
  try {
    const response = await fetch(path, options);
    const status = document.createElement("p");
    status.textContent = `${response.status} ${response.statusText}, ${response.headers.get("content-type") ?? "no body"}`;
    const picture = response.ok && response.headers.get("content-type") === "image/svg+xml";
    const body = picture ? Object.assign(new Image(), { src: path, alt: "The picture" }) : block(await readable(response));
    answer.replaceChildren(block(commandOf(path, options)), status, body);
  } catch (error) {
    answer.textContent = `The server cannot be reached (${error.message}).`;
  }
}

// The key is only read where an operation runs, and never part of an address.
document.getElementById("key").form.addEventListener("submit", (event) => event.preventDefault());

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form);
  });
  form.querySelector(".type")?.addEventListener("change", ({ target }) => {
    form.querySelector(".body").value = target.selectedOptions[0].dataset.example;
  });
}
