"use strict";
// Names become text nodes only; nothing here makes markup of them.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = 0.05; // above and below curves that were zoomed
  const $ = (id) => document.getElementById(id);
  const { plots, block } = JSON.parse($("data").textContent);
  const count = (number) => number.toLocaleString("en-US");

  function element(tag, ...children) {
    const made = document.createElement(tag);
    made.append(...children);
    return made;
  }
  function drawn(tag, attributes, text = "") {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  }

  for (const hint of document.querySelectorAll(".for-scripts")) hint.hidden = false;

  // Curves: the drawing is the one of the page, until somebody zooms it.
  function ticksOf(low, high, isLog) {
    if (isLog && high / low > 8) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
        for (const digit of high / low > 1000 ? [1] : [1, 2, 5]) found.push(digit * 10 ** power);
      }
      return found.filter((tick) => tick >= low && tick <= high);
    }
    const rough = (high - low) / 5;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * ([1, 2, 5].find((digit) => digit * unit >= rough) ?? 10);
    const first = Math.ceil(low / step);
    return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, n) => (first + n) * step);
  }
  const short = (value) => (Math.abs(value) >= 1e4 ? count(value) : String(Number(value.toPrecision(4))));

  function plot({ id, box: [left, top, right, bottom], x: xAll, y: yAll, log, series }) {
    const svg = $(id), figure = $(`${id}-figure`);
    const lines = series.map((_, number) => $(`${id}-curve-${number}`));
    const first = Math.min(...series.flatMap(({ x }) => x.slice(0, 1)));
    const last = Math.max(...series.flatMap(({ x }) => x.slice(-1)));
    const own = lines.map((line) => line && [...line.childNodes]);
    const ticks = [...svg.querySelectorAll(".tick")];
    let [low, high] = xAll, [bottomValue, topValue] = yAll, isZoomed = false, at = null;
    const scale = (value) => (log ? Math.log10(value) : value);
    const toX = (step) => left + ((step - low) / (high - low)) * (right - left);
    const toY = (value) => bottom
      - ((scale(value) - scale(bottomValue)) / (scale(topValue) - scale(bottomValue))) * (bottom - top);

    const layer = drawn("g", {});
    const cross = drawn("line", { y1: top, y2: bottom, stroke: "var(--soft)", "stroke-dasharray": "3 3", visibility: "hidden" });
    const dots = series.map((_, number) => drawn("circle", { r: 3, fill: `var(--series-${number % 8})`, visibility: "hidden" }));
    const chosen = drawn("rect", { y: top, height: bottom - top, fill: "var(--focus)", opacity: 0.15, visibility: "hidden" });
    svg.append(layer, chosen, cross, ...dots);
    const tip = element("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("role", "status");
    figure.append(tip);

    function nearest({ x }, step) {
      let from = 0, to = x.length - 1;
      while (from < to) {
        const middle = (from + to) >> 1;
        if (x[middle] < step) from = middle + 1; else to = middle;
      }
      return from > 0 && step - x[from - 1] < x[from] - step ? from - 1 : from;
    }
    function draw() {
      layer.replaceChildren();
      ticks.forEach((tick) => { tick.style.display = isZoomed ? "none" : ""; });
      lines.forEach((line, number) => {
        if (!line) return;
        line.replaceChildren(...own[number]);
        if (!isZoomed) return;
        const { x, y } = series[number];
        const from = Math.max(0, x.findIndex((step) => step >= low) - 1);
        const points = [];
        for (let n = from; n < x.length && (n === 0 || x[n - 1] <= high); n++) points.push([x[n], y[n]]);
        const path = own[number].find((child) => child.tagName === "path").cloneNode();
        path.setAttribute("d", points.map(([step, value], n) => `${n ? "L" : "M"}${toX(step).toFixed(2)} ${toY(value).toFixed(2)}`).join(""));
        line.replaceChildren(path);
        if (points.length <= 60) {
          const inside = points.filter(([step]) => step >= low && step <= high);
          line.append(...inside.map(([step, value]) => drawn("circle", { cx: toX(step), cy: toY(value), r: 1.8, fill: `var(--series-${number % 8})` })));
        }
      });
      if (!isZoomed) return;
      const style = { fill: "var(--soft)", "font-size": 8.3 };
      for (const tick of ticksOf(low, high, false)) {
        layer.append(
          drawn("line", { x1: toX(tick), x2: toX(tick), y1: top, y2: bottom, stroke: "var(--line)", "stroke-width": 0.8 }),
          drawn("text", { ...style, x: toX(tick), y: bottom + 11, "text-anchor": "middle" }, short(tick)),
        );
      }
      for (const tick of ticksOf(bottomValue, topValue, log)) {
        layer.append(
          drawn("line", { x1: left, x2: right, y1: toY(tick), y2: toY(tick), stroke: "var(--line)", "stroke-width": 0.8 }),
          drawn("text", { ...style, x: left - 4, y: toY(tick) + 3, "text-anchor": "end" }, short(tick)),
        );
      }
    }
    function show(from, to) {
      const least = Math.max(1e-9, (last - first) / 500);
      isZoomed = to - from > 0 && (from > xAll[0] || to < xAll[1]);
      [low, high] = isZoomed ? [Math.max(from, xAll[0]), Math.min(to, xAll[1])] : xAll;
      if (high - low < least) [low, high] = [low - least / 2, high + least / 2];
      [bottomValue, topValue] = yAll;
      if (isZoomed) {
        const seen = series.flatMap(({ x, y }) => y.filter((_, n) => x[n] >= low && x[n] <= high));
        if (seen.length) {
          const [least, most] = [Math.min(...seen), Math.max(...seen)];
          const room = (most - least) * MARGIN || Math.abs(most) * MARGIN || 1;
          [bottomValue, topValue] = log ? [least / 1.1, most * 1.1] : [least - room, most + room];
        }
      }
      draw();
      if (at !== null) tell(at);
    }
    function tell(step) {
      at = Math.min(Math.max(step, low, first), high, last);
      const found = series.map((each) => (each.x.length ? nearest(each, at) : -1));
      const steps = found.map((n, number) => (n < 0 ? Infinity : series[number].x[n]));
      const best = steps.reduce((one, other) => (Math.abs(other - at) < Math.abs(one - at) ? other : one), Infinity);
      tip.replaceChildren(element("p", element("b", `step ${count(best)}`)));
      series.forEach(({ name, x, y }, number) => {
        const n = found[number];
        const isSeen = n >= 0 && x[n] >= low && x[n] <= high;
        dots[number].setAttribute("visibility", isSeen ? "visible" : "hidden");
        if (!isSeen) return;
        dots[number].setAttribute("cx", toX(x[n]));
        dots[number].setAttribute("cy", toY(y[n]));
        const where = x[n] === best ? "" : ` at ${count(x[n])}`;
        tip.append(element("p", element("span", name), element("b", `${short(y[n])}${where}`)));
      });
      cross.setAttribute("visibility", "visible");
      cross.setAttribute("x1", toX(best));
      cross.setAttribute("x2", toX(best));
      tip.hidden = false;
      const place = svg.getBoundingClientRect(), around = figure.getBoundingClientRect();
      const shownAt = (toX(best) / svg.viewBox.baseVal.width) * place.width;
      const isLeft = shownAt > place.width / 2;
      const offset = isLeft ? shownAt - tip.offsetWidth - 12 : shownAt + 12;
      tip.style.left = `${Math.max(0, Math.min(offset, around.width - tip.offsetWidth))}px`;
      tip.style.top = `${(top / svg.viewBox.baseVal.height) * place.height + 4}px`;
    }
    function hush() {
      at = null;
      tip.hidden = true;
      for (const mark of [cross, ...dots]) mark.setAttribute("visibility", "hidden");
    }
    function stepAt(event) {
      const place = svg.getBoundingClientRect();
      const x = ((event.clientX - place.left) / place.width) * svg.viewBox.baseVal.width;
      return low + ((Math.min(Math.max(x, left), right) - left) / (right - left)) * (high - low);
    }
    function zoom(factor) {
      const middle = at ?? (low + high) / 2, half = ((high - low) * factor) / 2;
      show(middle - half, middle + half);
    }

    let start = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = stepAt(event);
      if (start !== null) svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const step = stepAt(event);
      tell(step);
      if (start === null) return;
      const [from, to] = [toX(Math.min(start, step)), toX(Math.max(start, step))];
      chosen.setAttribute("x", from);
      chosen.setAttribute("width", to - from);
      chosen.setAttribute("visibility", "visible");
    });
    svg.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const step = stepAt(event), begin = start;
      start = null;
      chosen.setAttribute("visibility", "hidden");
      if (Math.abs(toX(step) - toX(begin)) > 5) show(Math.min(begin, step), Math.max(begin, step));
    });
    svg.addEventListener("pointercancel", () => { start = null; chosen.setAttribute("visibility", "hidden"); });
    svg.addEventListener("pointerleave", () => { if (start === null) hush(); });
    svg.addEventListener("dblclick", () => show(...xAll));
    svg.addEventListener("blur", hush);
    svg.addEventListener("keydown", (event) => {
      const longest = series.reduce((one, other) => (other.x.length > one.x.length ? other : one));
      const now = nearest(longest, at ?? low);
      const actions = {
        ArrowRight: () => tell(longest.x[Math.min(at === null ? now : now + 1, longest.x.length - 1)]),
        ArrowLeft: () => tell(longest.x[Math.max(now - 1, 0)]),
        Home: () => tell(Math.max(first, low)),
        End: () => tell(Math.min(last, high)),
        "+": () => zoom(0.5),
        "-": () => zoom(2),
        Escape: () => { show(...xAll); hush(); },
      };
      const action = actions[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
    svg.setAttribute("tabindex", "0");
    const tools = figure.querySelector(".zoom");
    tools.hidden = false;
    tools.addEventListener("click", ({ target }) => {
      const action = { in: () => zoom(0.5), out: () => zoom(2), all: () => show(...xAll) }[target.dataset.do];
      action?.();
    });
  }
  plots.forEach(plot);

  // What a cell of the matrix means.
  function matrix({ names, counts }) {
    const svg = $("plot-confusion"), cell = $("cell");
    let [row, column] = [0, 0];
    const tell = () => {
      const whole = counts[row].reduce((sum, number) => sum + number, 0);
      const number = counts[row][column], guess = names[column] ?? "any other";
      const share = whole ? ` (${((100 * number) / whole).toFixed(1)} %)` : "";
      cell.textContent = `${names[row]}: ${count(number)} of ${count(whole)}${share} taken for ${row === column ? "what they are" : guess}`;
    };
    svg.addEventListener("pointerover", ({ target }) => {
      const found = /-cell-(\d+)-(\d+)$/.exec(target.closest("[id*='-cell-']")?.id ?? "");
      if (!found) return;
      [row, column] = [Number(found[1]), Number(found[2])];
      tell();
    });
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("keydown", (event) => {
      const [down, across] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
      if (!down && !across) return;
      event.preventDefault();
      row = Math.min(Math.max(row + down, 0), names.length - 1);
      column = Math.min(Math.max(column + across, 0), names.length);
      tell();
    });
  }
  if (block) matrix(block);

  // Categories: sorted and searched.
  const table = $("category-table");
  if (table) {
    const body = table.tBodies[0], rows = [...body.rows];
    const natural = new Intl.Collator("en", { numeric: true });
    const plain = (text) => text.normalize("NFKD").toLowerCase().replaceAll(/[_/]/g, " ");
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, number) => {
      const isText = head.dataset.sort === "text";
      const own = element("button", ...head.childNodes);
      own.type = "button";
      head.append(own);
      own.addEventListener("click", () => {
        const isUp = head.ariaSort ? head.ariaSort === "descending" : isText;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
        const value = (row) => Number(row.cells[number].dataset.value);
        const order = isText
          ? (a, b) => natural.compare(a.cells[number].textContent, b.cells[number].textContent)
          : (a, b) => value(a) - value(b) || natural.compare(a.cells[0].textContent, b.cells[0].textContent);
        rows.sort((a, b) => (isUp ? order(a, b) : -order(a, b)));
        body.append(...rows);
      });
    });
    const search = () => {
      const words = plain($("search").value).split(/\s+/).filter(Boolean);
      let num = 0;
      for (const row of rows) {
        const text = plain(row.cells[0].textContent);
        row.hidden = !words.every((word) => text.includes(word));
        num += !row.hidden;
      }
      $("found").textContent = num === rows.length ? `${count(num)} categories` : `${count(num)} of ${count(rows.length)} categories`;
    };
    $("search").addEventListener("input", search);
    table.closest(".card").querySelector(".tools").hidden = false;
    search();
  }
})();
