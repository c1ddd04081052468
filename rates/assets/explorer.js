// The page works without this script. It adds autocomplete, reading and zooming the chart, and copying.
"use strict";

/** Autocomplete for ports and regions in a text field: a WAI-ARIA combobox. */
class Completion {
  constructor(input) {
    this.input = input;
    this.name = document.getElementById(`${input.id}-name`);
    this.list = this.#createList();
    this.places = [];
    this.active = -1;
    this.timer = 0;
    this.request = null;
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #createList() {
    const list = document.createElement("ul");
    list.id = `${this.input.id}-choices`;
    list.className = "choices";
    list.role = "listbox";
    list.hidden = true;
    list.setAttribute("aria-label", "Ports and regions");
    this.input.parentElement.append(list);
    this.input.role = "combobox";
    this.input.setAttribute("aria-autocomplete", "list");
    this.input.setAttribute("aria-controls", list.id);
    this.input.setAttribute("aria-expanded", "false");
    return list;
  }

  close() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.request?.abort();
    this.request = null;
    this.list.hidden = true;
    this.active = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #mark(index) {
    this.active = index;
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    if (index < 0) {
      this.input.removeAttribute("aria-activedescendant");
    } else {
      this.input.setAttribute("aria-activedescendant", this.list.children[index].id);
      this.list.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  #choose(index) {
    this.input.value = this.places[index].code;
    this.name.textContent = this.places[index].name;
    this.input.removeAttribute("aria-invalid");
    this.close();
  }

  #option(place, at) {
    const option = document.createElement("li");
    option.id = `${this.list.id}-${at}`;
    option.role = "option";
    const more = document.createElement("small");
    const lanes = place.lanes > 1 ? `${NUMBERS.format(place.lanes)} ports, ` : "";
    const prices = `${lanes}${NUMBERS.format(place.prices)} ${place.prices === 1 ? "price" : "prices"}`;
    more.textContent = [place.code, place.within, prices].filter(Boolean).join(" · ");
    option.append(place.name, more);
    // On pointerdown, because the list closes when the field loses focus.
    option.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.#choose(at);
    });
    return option;
  }

  #show() {
    this.list.replaceChildren(...this.places.map((place, at) => this.#option(place, at)));
    this.list.hidden = this.places.length === 0;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.#mark(-1);
  }

  /** Finds what is typed; shows it if the field still has the focus. */
  async #find() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    try {
      const other = otherEnd(this.input)?.value;
      this.places = (await this.#search(request.signal, other)) ?? (await this.#search(request.signal)) ?? [];
      if (this.places.length === 0 && this.input.value) this.name.textContent = other ? "No such place has prices with the other" : "No such place has prices";
      if (document.activeElement === this.input) this.#show();
    } catch (error) {
      // AbortError: a newer request replaced this one. On a network error, close the list.
      if (error.name !== "AbortError") this.close();
    } finally {
      if (this.request === request) this.request = null;
    }
  }

  /** The places with prices as this end of a lane; null if the other end is no place. */
  async #search(signal, other) {
    const query = new URLSearchParams({ q: this.input.value, limit: "8", role: this.input.id.split("-")[0] });
    if (other) query.set("other_end", other);
    const response = await fetch(`/places?${query}`, { signal });
    return response.ok ? (await response.json()).places : null;
  }

  #typed() {
    this.name.textContent = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#find(), 80);
  }

  #pressed(event) {
    const count = this.list.hidden ? 0 : this.list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (count === 0) {
        this.#find();
      } else {
        // One more position than options: the field itself.
        const step = event.key === "ArrowDown" ? 1 : -1;
        this.#mark(((this.active + 1 + step + count + 1) % (count + 1)) - 1);
      }
    } else if (event.key === "Enter" && (count > 0 || this.timer || this.request)) {
      event.preventDefault();
      this.#take();
    } else if (event.key === "Escape" && count > 0) {
      event.preventDefault();
      this.close();
    }
  }

  /** Takes the marked suggestion or the first, which may not have arrived yet. */
  async #take() {
    if (this.timer || this.request) await this.#find();
    if (!this.list.hidden) this.#choose(Math.max(this.active, 0));
  }
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const NUMBERS = new Intl.NumberFormat("en");

/** The value of a measure in an interval, in the words of the server (src/explorer/shown.rs). */
function valueText({ unit, values }, at) {
  const known = values[at];
  if (!known) return null;
  const sign = { dollars: "$", difference: known[0] > 0 ? "+" : "", number: "" }[unit];
  return known.map((value) => sign + NUMBERS.format(value)).join(" to ");
}

function element(name, className, ...children) {
  const created = document.createElement(name);
  created.className = className;
  created.append(...children);
  return created;
}

/** Reads a day, week or other interval of the chart by pointer, finger or keyboard, and zooms to what is dragged over. */
class Reader {
  constructor(chart) {
    this.image = chart.querySelector("img");
    this.data = chart.dataset;
    this.days = Number(this.data.days);
    // The first day of each interval, and the measures of each line.
    ({ starts: this.starts, lines: this.lines } = JSON.parse(document.getElementById("readings").textContent));
    this.rows = [...chart.querySelectorAll(".reading li")];
    this.heading = document.getElementById("day");
    this.firstDay = new URL(this.data.link, location.href).searchParams.get("date_from");
    this.rule = element("span", "rule");
    this.zone = element("span", "zone");
    this.tip = element("div", "tip");
    this.tip.setAttribute("aria-hidden", "true");
    this.slider = element("div", "slider", this.zone, this.rule, this.tip);
    this.at = this.starts.length - 1;
    this.anchor = null;
    this.#prepareSlider();
    chart.querySelector(".picture").append(this.slider);
    addEventListener("resize", () => this.slider.classList.contains("reads") && this.#place());
  }

  #prepareSlider() {
    const { slider } = this;
    slider.role = "slider";
    slider.tabIndex = 0;
    slider.setAttribute("aria-label", `${this.data.interval} of the chart`);
    slider.setAttribute("aria-valuemin", "0");
    slider.setAttribute("aria-valuemax", String(this.at));
    slider.setAttribute("aria-valuenow", String(this.at));
    slider.setAttribute("aria-valuetext", this.#inWords());
    slider.addEventListener("keydown", (event) => this.#pressed(event));
    slider.addEventListener("focus", () => slider.matches(":focus-visible") && this.#show(this.at));
    slider.addEventListener("pointerdown", (event) => this.#down(event));
    slider.addEventListener("pointermove", (event) => this.#show(this.#intervalAt(event)));
    slider.addEventListener("pointerup", (event) => this.#up(event));
    slider.addEventListener("pointercancel", () => this.#select(null));
    slider.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#hide());
  }

  /** The plot's left edge and width in page pixels; its margins are constant in picture pixels. */
  #plot() {
    const scale = this.image.clientWidth / (this.image.naturalWidth || this.image.clientWidth);
    const left = Number(this.data.left) * scale;
    return { left, width: this.image.clientWidth - left - Number(this.data.right) * scale };
  }

  #intervalAt(event) {
    const { left, width } = this.#plot();
    const x = event.clientX - this.slider.getBoundingClientRect().left - left;
    const day = Math.floor((x / width) * this.days);
    return Math.max(0, this.starts.findLastIndex((start) => start <= day));
  }

  /** The day after the interval, from the first of the range. */
  #end(at) {
    return this.starts[at + 1] ?? this.days;
  }

  #date(day) {
    const date = new Date(`${this.firstDay}T00:00Z`);
    date.setUTCDate(date.getUTCDate() + day);
    return date;
  }

  #dateText(day) {
    const date = this.#date(day);
    return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  }

  /** The day, or the first and the last of the interval. */
  #spanText() {
    const [first, last] = [this.starts[this.at], this.#end(this.at) - 1];
    return first === last ? this.#dateText(first) : `${this.#dateText(first)} to ${this.#dateText(last)}`;
  }

  /** The label and the value of everything that is read of a line in the interval. */
  #values(measures, unknown) {
    return measures.map((measure) => [measure.label, valueText(measure, this.at) ?? unknown]);
  }

  #inWords() {
    const lines = this.lines.map((measures, at) => {
      const name = this.rows[at].querySelector(".line-name")?.textContent;
      const words = this.#values(measures, "unknown").map((pair) => pair.join(" ")).join(", ");
      return name ? `${name}: ${words}` : words;
    });
    return `${this.#spanText()}: ${lines.join("; ")}`;
  }

  #show(at) {
    this.at = at;
    this.slider.classList.add("reads");
    this.heading.textContent = this.#spanText();
    this.lines.forEach((measures, at) => {
      const spans = this.#values(measures, "–").map(([label, value]) => element("span", "", `${label} `, element("b", "", value)));
      this.rows[at].querySelector(".values").replaceChildren(...spans.flatMap((span) => [span, " "]));
    });
    const lines = this.lines.map((measures, at) => {
      const [label, value] = this.#values(measures, "–")[0];
      return element("div", this.rows[at].className, `${label} `, element("b", "", value));
    });
    this.tip.replaceChildren(element("strong", "", this.#spanText()), ...lines);
    this.slider.setAttribute("aria-valuenow", String(at));
    this.slider.setAttribute("aria-valuetext", this.#inWords());
    this.#place();
  }

  /** Moves rule, tip and what is selected to where they belong. */
  #place() {
    const { left, width } = this.#plot();
    const x = (day) => left + (width * day) / this.days;
    const middle = (this.starts[this.at] + this.#end(this.at)) / 2;
    this.rule.style.left = `${x(middle)}px`;
    const isRight = middle > this.days / 2;
    this.tip.style.left = isRight ? "" : `${x(middle) + 12}px`;
    this.tip.style.right = isRight ? `${this.slider.clientWidth - x(middle) + 12}px` : "";
    this.zone.hidden = this.anchor === null;
    if (this.anchor === null) return;
    const [first, last] = this.#selected();
    this.zone.style.left = `${x(this.starts[first])}px`;
    this.zone.style.width = `${x(this.#end(last)) - x(this.starts[first])}px`;
  }

  #hide() {
    this.slider.classList.remove("reads");
    this.#select(null);
  }

  #select(anchor) {
    this.anchor = anchor;
    this.#place();
  }

  /** The first and the last of the selected intervals. */
  #selected() {
    return [Math.min(this.anchor, this.at), Math.max(this.anchor, this.at)];
  }

  #down(event) {
    // A finger scrolls the page and reads; only a mouse drags.
    if (event.pointerType === "mouse" && event.button === 0) {
      event.preventDefault();
      this.slider.setPointerCapture(event.pointerId);
      this.anchor = this.#intervalAt(event);
    }
    this.#show(this.#intervalAt(event));
  }

  #up(event) {
    this.slider.releasePointerCapture(event.pointerId);
    this.#zoom();
  }

  /** Opens the page of the selected days; a click selects nothing to zoom to. */
  #zoom() {
    if (this.anchor === null) return;
    const [first, last] = this.#selected();
    this.#select(null);
    if (first === last) return;
    const url = new URL(this.data.link, location.href);
    const set = (name, day) => url.searchParams.set(name, this.#date(day).toISOString().slice(0, 10));
    set("date_from", this.starts[first]);
    set("date_to", this.#end(last) - 1);
    location.assign(url);
  }

  #pressed(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -30, PageUp: 30, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      if (!event.shiftKey) this.anchor = null;
      else this.anchor ??= this.at;
      this.#show(Math.min(this.starts.length - 1, Math.max(0, this.at + steps[event.key])));
    } else if (event.key === "Enter") {
      this.#zoom();
    } else if (event.key === "Escape") {
      this.#hide();
    }
  }
}

/** Shows the button back where a page of this explorer came before. */
function prepareBack(button) {
  button.hidden = !document.referrer.startsWith(`${location.origin}/`);
  button.addEventListener("click", () => history.back());
}

async function copy(button) {
  const { copy, before = "", after = "" } = button.dataset;
  const text = `${before}${location.origin}${copy}${after}`;
  const note = document.querySelector(".copied");
  try {
    await navigator.clipboard.writeText(text);
    note.textContent = "Copied.";
  } catch {
    // Browsers offer no clipboard without HTTPS; show the text to be copied by hand.
    note.textContent = text;
  }
}

/** Keeps fields of further lanes and days that are empty, and choices that are the default, out of the URL. */
function leaveOut(form) {
  const isFirst = (input) => input.id === "origin-1" || input.id === "destination-1";
  for (const input of form.querySelectorAll("input")) {
    if (input.value === "" && !isFirst(input) && !otherEnd(input)?.value) input.disabled = true;
  }
  for (const select of form.querySelectorAll("select")) select.disabled = select.selectedIndex === 0;
}

/** The field of the other end of the lane of this field. */
function otherEnd(input) {
  const [end, number] = input.id.split("-");
  return document.getElementById(`${end === "origin" ? "destination" : "origin"}-${number}`);
}

function prepareForm(form) {
  for (const input of form.querySelectorAll("input[placeholder]")) new Completion(input);
  form.addEventListener("submit", () => leaveOut(form));
  for (const choice of form.querySelectorAll("select, [type=checkbox]")) {
    choice.addEventListener("change", () => form.requestSubmit());
  }
  // The back button may restore the page with its fields still disabled.
  const enabled = [...form.querySelectorAll("input, select")].filter((field) => !field.disabled);
  addEventListener("pageshow", () => {
    for (const field of enabled) field.disabled = false;
  });
}

prepareForm(document.querySelector("form.query"));
const chart = document.getElementById("chart");
if (chart) new Reader(chart);
const back = document.getElementById("back");
if (back) prepareBack(back);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
