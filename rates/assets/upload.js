// Checks a sheet of prices, shows its faults beside the rows, and stores it. The key is only read from its field where a
// request is made: it is kept nowhere else and is never part of an address.
"use strict";

const TYPES = {
  csv: "text/csv",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  json: "application/json",
  ndjson: "application/x-ndjson",
};
/** Rows of larger sheets are not shown beside their faults. */
const MOST_BYTES = 20_000_000;
/** The most characters of a row that are shown. */
const MOST_CHARACTERS = 200;

const [form, key, file, check, store, result] = ["upload", "key", "file", "check", "store", "result"].map((id) =>
  document.getElementById(id),
);
const drop = file.closest(".drop");

/** The sheet that was checked and has no fault. */
let checked = null;

const element = (name, content = "", properties = {}) => {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...[content].flat());
  return created;
};
const paragraph = (content) => element("p", content);
const counted = (count, noun) => `${new Intl.NumberFormat("en").format(count)} ${noun}${count === 1 ? "" : "s"}`;

/** What goes wrong, in words. */
class Fault extends Error {
  constructor(message, problem = {}) {
    super(message);
    this.problem = problem;
  }
}

async function send(path, options) {
  const headers = { authorization: `Bearer ${key.value.trim()}`, ...options.headers };
  let response;
  try {
    // Without credentials, or the browser would ask for a user and a password where the key is wrong.
    response = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    throw new Fault(`The server cannot be reached, or the file has changed (${error.message}). Try again: nothing is stored twice.`);
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return { status: response.status, batch: body };
  throw new Fault(body.detail ?? body.title ?? `The server answered ${response.status}.`, body);
}

function post(sheet, query) {
  const type = TYPES[sheet.name.split(".").pop().toLowerCase()];
  if (!type) throw new Fault(`${sheet.name} is no sheet that can be read. Save it as .csv or .xlsx.`);
  return send(`/prices${query}`, { method: "POST", headers: { "content-type": type }, body: sheet });
}

/** The rows of a CSV file by number, as a spreadsheet shows them: a line break in quotes ends none. */
async function rowsOf(sheet) {
  if (!sheet.name.toLowerCase().endsWith(".csv") || sheet.size > MOST_BYTES) return [];
  const rows = [];
  let row = "";
  let quoted = false;
  for (const line of (await sheet.text()).split(/\r\n|\n|\r/)) {
    row += row || quoted ? `\n${line}` : line;
    if (line.split('"').length % 2 === 0) quoted = !quoted;
    if (!quoted) {
      rows.push(row);
      row = "";
    }
  }
  return rows;
}

/** A table of faults or warnings, each beside its row. */
function tableOf(faults, rows, label) {
  const withRows = rows.length > 0;
  const head = ["Row", "Value", "What is wrong", ...(withRows ? ["In the sheet"] : [])];
  const body = faults.map(({ row, field, value, detail }) => {
    const text = rows[row - 1] ?? "";
    const shown = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
    const cells = [value ? `${field}: ${value}` : field, detail, ...(withRows ? [element("code", shown)] : [])];
    return element("tr", [element("th", row ? String(row) : "all", { scope: "row" }), ...cells.map((cell) => element("td", cell))]);
  });
  const headers = head.map((text) => element("th", text, { scope: "col" }));
  const table = element("table", [element("thead", element("tr", headers)), element("tbody", body)]);
  const region = element("div", table, { className: "table", tabIndex: 0, role: "region" });
  region.setAttribute("aria-label", label);
  return region;
}

function warningsOf(batch, rows, advice) {
  if (!batch.total_warnings) return [];
  const first = batch.total_warnings > batch.warnings.length ? ` The first ${batch.warnings.length}:` : "";
  const text = `${counted(batch.total_warnings, "price")} may be wrong. ${advice}${first}`;
  return [paragraph(text), tableOf(batch.warnings, rows, "Warnings")];
}

const extent = (batch) =>
  `${counted(batch.rows, "row")} with ${counted(batch.prices, "price")} on ${counted(batch.days, "day")} and ${counted(batch.lanes, "lane")}`;

function showProblem(error, rows) {
  const { errors, total, stopped } = error.problem;
  if (!errors?.length) {
    result.replaceChildren(element("div", paragraph(error.message), { className: "faults", role: "alert" }));
    return;
  }
  const all = `${stopped ? "At least " : ""}${counted(total, "fault")}; nothing is stored.`;
  const first = total > errors.length ? ` The first ${errors.length}:` : "";
  const alert = element("div", paragraph(all + first), { className: "faults", role: "alert" });
  result.replaceChildren(alert, tableOf(errors, rows, "Faults"));
}

function showChecked(batch, rows) {
  const text = batch.id ? `This sheet was stored before, as batch ${batch.id}.` : `No fault: ${extent(batch)}. Nothing is stored yet.`;
  const advice = "Correct the sheet, or store it as it is.";
  result.replaceChildren(paragraph(text), ...warningsOf(batch, rows, advice));
  if (batch.id) result.append(...undoOf(batch));
}

function showStored(status, batch, rows) {
  const text = status === 201 ? `Batch ${batch.id} is stored: ${extent(batch)}.` : `This sheet was stored before, as batch ${batch.id}.`;
  const advice = "If so, withdraw the batch and send a better sheet.";
  result.replaceChildren(paragraph(element("strong", text)), ...warningsOf(batch, rows, advice), ...undoOf(batch));
}

/** How to undo a batch: here, or later by a command. */
function undoOf({ id }) {
  const withdraw = element("button", `Withdraw batch ${id}`, { type: "button" });
  withdraw.addEventListener("click", () => run("Withdrawing…", async () => {
    const { batch } = await send(`/batches/${id}`, { method: "DELETE" });
    result.replaceChildren(paragraph(`Batch ${batch.id} is withdrawn: its ${counted(batch.prices, "price")} are deleted.`));
  }));
  const command = `curl -X DELETE ${location.origin}/batches/${id} -H "Authorization: Bearer $RATES_KEY"`;
  return [
    paragraph([withdraw, " deletes exactly its prices. Later, with the same key:"]),
    element("pre", command, { tabIndex: 0 }),
  ];
}

/** Runs one request at a time, and shows what goes wrong. */
async function run(doing, work) {
  const sheet = file.files[0];
  check.disabled = store.disabled = true;
  result.replaceChildren(paragraph(doing));
  try {
    await work(sheet);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    showProblem(error, sheet && error.problem.errors ? await rowsOf(sheet) : []);
  } finally {
    check.disabled = false;
    store.disabled = checked === null || checked !== file.files[0];
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run("Checking…", async (sheet) => {
    checked = null;
    const { batch } = await post(sheet, "?dry_run=true");
    checked = batch.id ? null : sheet;
    showChecked(batch, batch.total_warnings ? await rowsOf(sheet) : []);
  });
});

store.addEventListener("click", () =>
  run("Storing…", async (sheet) => {
    const { status, batch } = await post(sheet, "");
    checked = null;
    showStored(status, batch, batch.total_warnings ? await rowsOf(sheet) : []);
  }),
);

// Another sheet has to be checked first.
file.addEventListener("change", () => {
  checked = null;
  store.disabled = true;
  result.replaceChildren();
});

for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", over);
    if (name !== "drop" || !event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change"));
  });
}
