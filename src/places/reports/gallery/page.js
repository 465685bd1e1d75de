"use strict";
// Names and reasons become text nodes only; nothing here makes markup of them.
(() => {
  const PER_PAGE = 60;
  const NUM_FREQUENT = 12;
  const MAX_SHEETS = 24; // decoded ones that are kept: 3.7 MB each
  const UNITS = 1e6; // of a probability
  const $ = (id) => document.getElementById(id);
  const { page, rows: packed } = JSON.parse($("data").textContent);
  const count = (number) => number.toLocaleString("en-US");
  const pretty = (category) => category.replaceAll("/", ", ").replaceAll("_", " ");
  const names = page.categories.map(pretty);

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const rows = packed.map((fields, index) => {
    const [path, link, width, height] = fields;
    const row = { index, path, link, width, height, name: path.slice(path.lastIndexOf("/") + 1) || path };
    if (fields.length === 5) return { ...row, error: fields[4], best: -1, sure: 0 };
    const [indoor, labels, probabilities, tile, grid, label = -1] = fields.slice(4); // -1: nobody knows
    return { ...row, error: "", indoor, labels, probabilities, tile, grid, label, best: labels[0], sure: probabilities[0] };
  });
  const answered = rows.filter((row) => !row.error);
  const sided = answered.filter((row) => row.indoor !== null); // where the 365 categories are known
  const isIndoor = (row) => row.indoor * 2 >= UNITS;

  const isWrong = (row) => row.label >= 0 && row.label !== row.best;
  const sideOf = (row) => (row.error || row.indoor === null ? "" : isIndoor(row) ? "indoor" : "outdoor");

  // What is shown, kept in the address too, so that a reload or a link shows the same.
  const DEFAULTS = { text: "", category: "", show: "all", sort: "table", page: "1", cam: "" };
  const state = { ...DEFAULTS };

  function readAddress() {
    let given;
    try {
      given = new URLSearchParams(location.hash.slice(1));
    } catch {
      return;
    }
    for (const key of Object.keys(DEFAULTS)) state[key] = given.get(key) ?? DEFAULTS[key];
    if (!page.categories.includes(state.category)) state.category = "";
    if (!document.querySelector(`[name=show][value="${CSS.escape(state.show)}"]`)) state.show = "all";
    if (![...$("sort").options].some((option) => option.value === state.sort)) state.sort = "table";
  }

  function writeAddress() {
    const given = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) given.set(key, value);
    try {
      history.replaceState(null, "", given.size ? `#${given}` : location.pathname + location.search);
    } catch {
      // Some browsers refuse it for pages from a disk, or often in a short time.
    }
  }

  // Filter and sort.
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  function haystack(row) {
    if (row.haystack === undefined) {
      const words = row.error ? [row.error] : [...row.labels, row.label].filter((label) => label >= 0).flatMap((label) => [page.categories[label], names[label]]);
      row.haystack = plain([row.path, ...words].join("\n"));
    }
    return row.haystack;
  }
  const SHOWN = {
    all: () => true,
    indoor: (row) => sideOf(row) === "indoor",
    outdoor: (row) => sideOf(row) === "outdoor",
    wrong: (row) => !row.error && isWrong(row),
    error: (row) => row.error !== "",
  };
  const natural = new Intl.Collator("en", { numeric: true });
  const ORDERS = {
    table: (a, b) => a.index - b.index,
    most: (a, b) => b.sure - a.sure || a.index - b.index,
    least: (a, b) => a.sure - b.sure || a.index - b.index,
    name: (a, b) => natural.compare(a.name, b.name) || a.index - b.index,
  };
  function found() {
    const words = plain(state.text).split(/\s+/).filter(Boolean);
    const category = page.categories.indexOf(state.category);
    const isShown = SHOWN[state.show];
    const order = ORDERS[state.sort];
    return rows
      .filter((row) => isShown(row) && (category < 0 || row.best === category))
      .filter((row) => words.every((word) => haystack(row).includes(word)))
      .sort((a, b) => (b.error !== "") - (a.error !== "") || order(a, b));
  }

  // Sheets: WebP images with many thumbnails, as base64 in the elements after this script.
  const sheets = new Map();
  const pause = () => new Promise((resolve) => setTimeout(resolve, 40));
  async function sheetText(number) {
    for (;;) {
      const isLoading = document.readyState === "loading";
      const found = $(`sheet-${number}`);
      if (found && (found.nextElementSibling || !isLoading)) return found.textContent;
      if (!isLoading) throw new Error(`no sheet ${number}`);
      await pause();
    }
  }
  function bytesOf(text) {
    return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }
  function sheet(number) {
    const found = sheets.get(number) ?? sheetText(number)
      .then((text) => createImageBitmap(new Blob([bytesOf(text)], { type: "image/webp" })));
    sheets.delete(number); // so that the map is ordered by last use
    sheets.set(number, found);
    return found;
  }
  function forgetSheets() {
    for (const [number, bitmap] of sheets) {
      if (sheets.size <= MAX_SHEETS) return;
      sheets.delete(number);
      bitmap.then((decoded) => decoded.close(), () => {});
    }
  }
  let drawing = 0;
  async function drawThumbnails(cards) {
    const mine = ++drawing;
    const bySheet = new Map();
    for (const [row, canvas] of cards) {
      const number = Math.floor(row.tile / page.columns ** 2);
      bySheet.set(number, [...(bySheet.get(number) ?? []), [row, canvas]]);
    }
    for (const [number, wanted] of bySheet) {
      if (mine !== drawing) return;
      let bitmap;
      try {
        bitmap = await sheet(number);
      } catch {
        continue; // a page that was cut off: its answers are still there
      }
      for (const [row, canvas] of wanted) {
        const place = row.tile % page.columns ** 2;
        const [x, y] = [place % page.columns, Math.floor(place / page.columns)].map((n) => n * page.tile);
        canvas.getContext("2d").drawImage(bitmap, x, y, page.tile, page.tile, 0, 0, page.tile, page.tile);
        canvas.dataset.drawn = "";
      }
      forgetSheets();
    }
    if (mine === drawing) document.documentElement.dataset.drawn = String(mine);
  }

  // The activation: bilinear between the middles of its cells, then coloured.
  const COLOURS = [[0, 22, 15, 61, 0.62], [0.35, 122, 31, 120, 0.5], [0.7, 238, 106, 53, 0.46], [1, 255, 226, 122, 0.5]];
  function colour(value) {
    const next = Math.max(1, COLOURS.findIndex((stop) => stop[0] >= value));
    const [low, high] = [COLOURS[next - 1], COLOURS[next]];
    const share = (value - low[0]) / (high[0] - low[0]);
    return [1, 2, 3, 4].map((part) => low[part] + share * (high[part] - low[part]));
  }
  const PALETTE = new Uint8ClampedArray(4 * 256);
  for (let value = 0; value < 256; value++) {
    const [red, green, blue, alpha] = colour(value / 255);
    PALETTE.set([red, green, blue, alpha * 255], 4 * value);
  }
  const COLOUR_OF = new Uint32Array(PALETTE.buffer);
  function between(size, number) { // for each pixel the cell before it, the one after, and how far it is
    const first = new Uint8Array(size), second = new Uint8Array(size), share = new Float32Array(size);
    for (let position = 0; position < size; position++) {
      const place = Math.min(Math.max(((position + 0.5) * number) / size - 0.5, 0), number - 1);
      first[position] = Math.floor(place);
      second[position] = Math.min(first[position] + 1, number - 1);
      share[position] = place - first[position];
    }
    return { first, second, share };
  }
  const CAM_SIZE = 48; // the browser makes it larger, smoothly
  const [down, across] = (page.grid ?? [1, 1]).map((number) => between(CAM_SIZE, number));
  function drawActivation(canvas, text) {
    const width = page.grid[1];
    const cells = bytesOf(text);
    const image = new ImageData(CAM_SIZE, CAM_SIZE);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = 0, at = 0; y < CAM_SIZE; y++) {
      const top = down.first[y] * width, bottom = down.second[y] * width, low = down.share[y];
      for (let x = 0; x < CAM_SIZE; x++, at++) {
        const left = across.first[x], right = across.second[x], far = across.share[x];
        const over = cells[top + left] * (1 - far) + cells[top + right] * far;
        const under = cells[bottom + left] * (1 - far) + cells[bottom + right] * far;
        pixels[at] = COLOUR_OF[Math.round(over * (1 - low) + under * low)];
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // Cards.
  const percent = (value) => {
    const whole = Math.round(value / 1e4);
    return whole === 0 && value > 0 ? "<1%" : `${whole}%`;
  };
  const side = (label) => (page.indoor[label] ? "indoor" : "outdoor");
  function bar(share) {
    const filled = element("i");
    filled.style.width = `${share * 100}%`;
    return element("span", { class: "bar", "aria-hidden": "true" }, filled);
  }
  function guess(label, probability) {
    return element("li", { class: side(label) },
      element("span", { class: "name", title: names[label] }, names[label]),
      element("span", {}, percent(probability)), bar(probability / UNITS));
  }
  const link = (row) =>
    row.link
      ? element("a", { href: row.link, target: "_blank", rel: "noopener noreferrer", title: row.path }, row.name)
      : element("span", { title: row.path }, row.name);
  function details(row) {
    const facts = [["From", row.path]];
    if (row.width) facts.push(["Size", `${count(row.width)} × ${count(row.height)} pixels`]);
    if (!row.error) {
      if (row.label >= 0) facts.push(["True category", `${page.categories[row.label]} (${row.label})`]);
      if (row.indoor !== null) facts.push(["Indoors", `${(row.indoor / 1e4).toFixed(2)}%`]);
      row.labels.forEach((label, rank) => facts.push([
        `${rank + 1}`, `${page.categories[label]} (${label}), ${(row.probabilities[rank] / 1e4).toFixed(4)}%`]));
    }
    const list = element("dl");
    for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", { dir: "auto" }, value));
    return element("details", {}, element("summary", { "aria-label": `Details of ${row.name}` }, "Details"), list);
  }
  function about(row) {
    if (row.error) return element("p", { class: "why", dir: "auto" }, row.error);
    const parts = element("p");
    const mine = sideOf(row);
    if (mine) {
      const share = percent(mine === "indoor" ? row.indoor : UNITS - row.indoor);
      parts.append(element("span", { class: `dot ${mine}`, "aria-hidden": "true" }), `${mine === "indoor" ? "Indoor" : "Outdoor"} ${share}`);
    }
    if (row.width) parts.append(parts.childNodes.length ? "  ·  " : "", `${row.width} × ${row.height}`);
    return parts;
  }
  function truth(row) {
    if (row.error || row.label < 0) return [];
    const words = isWrong(row) ? `\u2717 It is ${names[row.label]}` : "\u2713 Right";
    return [element("p", { class: isWrong(row) ? "truth wrong" : "truth" }, words)];
  }
  function below(row) {
    return element("div", { class: "below" }, element("h3", { dir: "auto" }, link(row)), ...truth(row),
      element("div", { class: "about" }, about(row), details(row)));
  }
  function thumbnail(row, toDraw) {
    const size = page.tile || 1;
    const label = `${row.name}: ${names[row.best]}`;
    const hasCam = row.grid !== "" && row.tile >= 0;
    const picture = element("canvas", { width: size, height: size, ...(hasCam ? {} : { role: "img", "aria-label": label }) });
    if (row.tile >= 0) toDraw.push([row, picture]);
    if (!hasCam) return element("div", { class: "thumb" }, picture);
    const cam = element("canvas", { class: "cam", width: CAM_SIZE, height: CAM_SIZE });
    drawActivation(cam, row.grid);
    const button = element("button", { type: "button", class: "thumb", "aria-pressed": "false",
      "aria-label": `${label}. Show where it looked` }, picture, cam);
    button.addEventListener("click", (event) => {
      const isPressed = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!isPressed));
      if (isPressed && event.detail) button.blur(); // focus, too, shows it
    });
    return button;
  }
  function card(row, toDraw) {
    if (row.error) {
      return element("li", { class: "card error" },
        element("div", { class: "sign", "aria-hidden": "true" }, "!"), below(row));
    }
    const guesses = row.labels.map((label, rank) => guess(label, row.probabilities[rank]));
    return element("li", { class: "card" }, thumbnail(row, toDraw), element("ol", { class: "guesses" }, ...guesses), below(row));
  }

  // The page.
  function pageNumbers(current, last) {
    const near = [1, current - 1, current, current + 1, last].filter((number) => number >= 1 && number <= last);
    return [...new Set(near)].sort((a, b) => a - b);
  }
  function drawPager(current, last) {
    $("pager").hidden = last < 2;
    $("previous").setAttribute("aria-disabled", String(current <= 1));
    $("next").setAttribute("aria-disabled", String(current >= last));
    const hadFocus = $("numbers").contains(document.activeElement);
    let before = 0;
    $("numbers").replaceChildren(...pageNumbers(current, last).flatMap((number) => {
      const button = element("button", { type: "button", "aria-label": `Page ${number}`,
        "aria-current": number === current ? "page" : null }, count(number));
      button.addEventListener("click", () => turnTo(number));
      const parts = number > before + 1 ? [element("i", { "aria-hidden": "true" }, "…"), button] : [button];
      before = number;
      return parts;
    }));
    if (hadFocus) $("numbers").querySelector("[aria-current]").focus();
  }
  function draw() {
    const shown = found();
    const last = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    const current = Math.min(Math.max(1, parseInt(state.page, 10) || 1), last);
    state.page = String(current);
    const first = (current - 1) * PER_PAGE;
    const part = shown.slice(first, first + PER_PAGE);
    const toDraw = [];
    $("pictures").replaceChildren(...part.map((row) => card(row, toDraw)));
    drawThumbnails(toDraw);
    const isAll = shown.length === rows.length;
    const all = `${count(shown.length)}${isAll ? "" : ` of ${count(rows.length)}`} picture${rows.length === 1 ? "" : "s"}`;
    const range = last > 1 ? `, ${count(first + 1)} to ${count(first + part.length)} shown` : "";
    $("status").textContent = all + range;
    $("clear").hidden = !(state.text || state.category || state.show !== "all");
    $("nothing").hidden = part.length > 0;
    $("nothing").textContent = rows.length ? "Nothing matches." : "There are no pictures.";
    drawPager(current, last);
    drawControls();
    writeAddress();
  }
  function drawControls() {
    if ($("text").value !== state.text) $("text").value = state.text;
    $("category").value = state.category;
    $("sort").value = state.sort;
    document.querySelector(`[name=show][value="${state.show}"]`).checked = true;
    for (const button of $("frequent").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.category === state.category));
    }
    for (const name of ["indoor", "outdoor"]) $(`split-${name}`).setAttribute("aria-pressed", String(state.show === name));
    $("cam").setAttribute("aria-pressed", String(state.cam === "on"));
    $("legend").hidden = state.cam !== "on";
    $("pictures").classList.toggle("with-cam", state.cam === "on");
  }
  function change(changes) {
    Object.assign(state, { page: "1" }, changes);
    draw();
  }
  function turnTo(number) {
    change({ page: String(number) });
    $("pictures").scrollIntoView({ block: "start" });
  }
  function step(by) {
    const last = Math.max(1, Math.ceil(found().length / PER_PAGE));
    const wanted = parseInt(state.page, 10) + by;
    if (wanted >= 1 && wanted <= last) turnTo(wanted);
  }

  // What is drawn once.
  function drawFrequent() {
    const counts = new Map();
    for (const row of answered) counts.set(row.best, (counts.get(row.best) ?? 0) + 1);
    const ordered = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    $("category").append(element("option", { value: "" }, "All"), ...ordered.map(([label, number]) =>
      element("option", { value: page.categories[label] }, `${names[label]} (${count(number)})`)));
    $("frequent").append(...ordered.slice(0, NUM_FREQUENT).map(([label, number]) => {
      const button = element("button", { type: "button", class: side(label), "aria-pressed": "false",
        "data-category": page.categories[label] },
      element("span", { class: "name" }, names[label]), element("span", { class: "number" }, count(number)),
      bar(number / ordered[0][1]));
      button.addEventListener("click", () =>
        change({ category: state.category === page.categories[label] ? "" : page.categories[label] }));
      return element("li", {}, button);
    }));
    drawSplit();
    document.querySelector(".overview").hidden = answered.length === 0;
  }
  function drawSplit() {
    const share = Math.round((100 * sided.filter(isIndoor).length) / Math.max(sided.length, 1));
    for (const [name, value] of [["indoor", share], ["outdoor", 100 - share]]) {
      const button = $(`split-${name}`);
      button.style.flexGrow = String(Math.max(value, 1));
      button.querySelector("b").textContent = `${value}%`;
      button.addEventListener("click", () => change({ show: state.show === name ? "all" : name }));
    }
    for (const part of document.querySelectorAll(".split, .of-side")) part.hidden = sided.length === 0;
  }
  $("cam").hidden = !answered.some((row) => row.grid);
  $("cam").addEventListener("click", () => {
    state.cam = state.cam === "on" ? "" : "on";
    drawControls();
    writeAddress();
  });
  $("text").addEventListener("input", () => change({ text: $("text").value }));
  $("category").addEventListener("change", () => change({ category: $("category").value }));
  $("sort").addEventListener("change", () => change({ sort: $("sort").value }));
  for (const radio of document.querySelectorAll("[name=show]")) {
    radio.addEventListener("change", () => change({ show: radio.value }));
  }
  $("clear").addEventListener("click", () => {
    change({ text: "", category: "", show: "all" });
    $("text").focus();
  });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  addEventListener("hashchange", () => {
    if (location.hash === "#pictures") return; // the link for the keyboard
    readAddress();
    draw();
  });
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const hasOther = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (!by || hasOther || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    step(by);
  });
  drawFrequent();
  readAddress();
  $("app").hidden = false;
  draw();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
