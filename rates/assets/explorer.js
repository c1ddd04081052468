// The page works without this script. It adds autocomplete, the values of a day in the chart, and copying.
"use strict";

/** Adds autocomplete for ports and regions to a text field: a WAI-ARIA combobox. */
function complete(input) {
  const list = document.createElement("ul");
  list.id = `${input.id}-choices`;
  list.className = "choices";
  list.role = "listbox";
  list.hidden = true;
  list.setAttribute("aria-label", "Ports and regions");
  input.parentElement.append(list);
  for (const [name, value] of [
    ["role", "combobox"],
    ["aria-autocomplete", "list"],
    ["aria-controls", list.id],
    ["aria-expanded", "false"],
  ]) {
    input.setAttribute(name, value);
  }
  const name = document.getElementById(`${input.id}-name`);
  let places = [];
  let active = -1;
  let asked = null;
  let timer = 0;

  const close = () => {
    clearTimeout(timer);
    asked?.abort();
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    active = index;
    [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    if (index < 0) {
      input.removeAttribute("aria-activedescendant");
    } else {
      input.setAttribute("aria-activedescendant", list.children[index].id);
      list.children[index].scrollIntoView({ block: "nearest" });
    }
  };
  const choose = (index) => {
    input.value = places[index].code;
    name.textContent = places[index].name;
    input.removeAttribute("aria-invalid");
    close();
  };
  const show = () => {
    const options = places.map((place, at) => {
      const option = document.createElement("li");
      option.id = `${list.id}-${at}`;
      option.role = "option";
      const more = document.createElement("small");
      more.textContent = [place.code, place.within].filter(Boolean).join(" · ");
      option.append(place.name, more);
      // On pointerdown, because the list closes when the field loses focus.
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        choose(at);
      });
      return option;
    });
    list.replaceChildren(...options);
    list.hidden = places.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  };
  const find = async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const query = new URLSearchParams({ q: input.value, limit: "8" });
      const response = await fetch(`/places?${query}`, { signal: asked.signal });
      if (!response.ok) return;
      ({ places } = await response.json());
      if (document.activeElement === input) show();
    } catch (error) {
      // AbortError: a newer request replaced this one. On a network error, close the list.
      if (error.name !== "AbortError") close();
    }
  };
  input.addEventListener("input", () => {
    name.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(find, 80);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const count = list.hidden ? 0 : list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (count === 0) {
        find();
      } else {
        // One more position than options: the field itself.
        const step = event.key === "ArrowDown" ? 1 : -1;
        mark(((active + 1 + step + count + 1) % (count + 1)) - 1);
      }
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      choose(active);
    } else if (event.key === "Escape" && count > 0) {
      event.preventDefault();
      close();
    }
  });
}

/** Shows the values of a day, selected by the pointer over the chart or by the slider below it. */
function read(chart) {
  const picture = chart.querySelector(".picture");
  const image = chart.querySelector("img");
  const rule = chart.querySelector(".rule");
  const slider = chart.querySelector("input");
  const output = chart.querySelector("output");
  const days = Number(chart.dataset.days);
  const lanes = [...document.querySelectorAll("[data-lane]")];
  const dollars = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  let answers = null;

  /** The plot's left edge and width in page pixels; its margins are constant in picture pixels. */
  const plot = () => {
    const scale = image.clientWidth / (image.naturalWidth || image.clientWidth);
    const left = Number(chart.dataset.left) * scale;
    return { left, width: image.clientWidth - left - Number(chart.dataset.right) * scale };
  };
  const load = () => {
    answers ??= Promise.all(
      lanes.map(async (link) => {
        const response = await fetch(`${link.getAttribute("href")}&order=asc`);
        if (!response.ok) throw new Error(`HTTP ${response.status}`);
        return (await response.json()).rates;
      }),
    );
    return answers;
  };
  /** The names and values of a day. */
  const describe = (day) => {
    const prices = [day.count === 1 ? "price" : "prices", String(day.count ?? 0)];
    if (day.price === null) return [["average", "no"], prices];
    const band = (low, high) => `${dollars.format(low)} to ${dollars.format(high)}`;
    return [
      ["average", `$${dollars.format(day.price)}`],
      ["median", dollars.format(day.median)],
      ["25 to 75 %", band(day.midlow, day.midhigh)],
      ["2.5 to 97.5 %", band(day.low, day.high)],
      prices,
    ];
  };
  const tell = async () => {
    const index = Number(slider.value);
    const { left, width } = plot();
    rule.style.left = `${left + (width * (index + 0.5)) / days}px`;
    rule.hidden = false;
    let rates;
    try {
      rates = await load();
    } catch (error) {
      answers = null;
      output.textContent = `Cannot load prices (${error.message}); move again to retry.`;
      return;
    }
    if (Number(slider.value) !== index) return;
    const element = (name, text, ...children) => {
      const created = document.createElement(name);
      created.append(text, ...children);
      return created;
    };
    const { day } = rates[0][index];
    const known = rates.map((lane) => describe(lane[index]));
    const lines = known.map((values, at) => {
      const line = element("div", "", ...values.map(([name, value]) => element("span", element("b", value), ` ${name}`)));
      if (lanes.length > 1) line.prepend(element("em", lanes[at].dataset.lane));
      return line;
    });
    output.replaceChildren(element("strong", day), ...lines);
    const words = known.map((values, at) => {
      const text = values.map(([name, value]) => `${name} ${value}`).join(", ");
      return lanes.length > 1 ? `${lanes[at].dataset.lane}: ${text}` : text;
    });
    slider.setAttribute("aria-valuetext", `${day}: ${words.join("; ")}`);
  };
  picture.addEventListener("pointermove", (event) => {
    const { left, width } = plot();
    const x = event.clientX - picture.getBoundingClientRect().left - left;
    slider.value = String(Math.min(days - 1, Math.max(0, Math.floor((x / width) * days))));
    tell();
  });
  slider.addEventListener("input", tell);
  slider.addEventListener("focus", tell);
  addEventListener("resize", () => rule.hidden || tell());
}

for (const input of document.querySelectorAll("fieldset.lane input")) complete(input);

// Keep empty fields out of the URL.
document.querySelector("form").addEventListener("submit", (event) => {
  for (const row of event.target.querySelectorAll("fieldset.lane, fieldset.days")) {
    const inputs = [...row.querySelectorAll("input")];
    if (inputs.every((input) => input.value === "")) {
      for (const input of inputs) input.disabled = true;
    }
  }
});
// The back button may restore the page with its fields still disabled.
addEventListener("pageshow", () => {
  for (const input of document.querySelectorAll("form input")) input.disabled = false;
});

const chart = document.getElementById("chart");
if (chart) read(chart);

for (const button of document.querySelectorAll("[data-curl]")) {
  button.addEventListener("click", async () => {
    const command = `curl '${location.origin}${button.dataset.curl}'`;
    const note = document.querySelector(".copied");
    try {
      await navigator.clipboard.writeText(command);
      note.textContent = "Copied.";
    } catch {
      // Browsers offer no clipboard without HTTPS; show the command to be copied by hand.
      note.textContent = command;
    }
  });
}
