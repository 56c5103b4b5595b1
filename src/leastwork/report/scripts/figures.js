// Figures: the numbers under the pointer or, by arrow keys, of one point after the other; zoom by dragging, with ticks of
// its own; downloads.
"use strict";
{
  const NEAR = 14;  // pixels within which a point is taken
  const TICKS = 5, STRIP = [54, 20], TICK = 5, LETTERS = 12;  // numbers of a zoomed axis; pixels
  const log = (value, is) => is ? Math.log10(value) : value;

  // Between a panel's numbers and the picture's own units.
  function scale(panel, width, height) {
    const [left, top, right, bottom] = panel.box;
    const x = {from: log(panel.x[0], panel.log_x), to: log(panel.x[1], panel.log_x), a: left * width, b: right * width};
    const y = {from: log(panel.y[0], panel.log_y), to: log(panel.y[1], panel.log_y), a: bottom * height, b: top * height};
    const place = (axis, value) => axis.a + (value - axis.from) / (axis.to - axis.from) * (axis.b - axis.a);
    const value = (axis, place, is) => {
      const found = axis.from + (place - axis.a) / (axis.b - axis.a) * (axis.to - axis.from);
      return is ? 10 ** found : found;
    };
    return {
      x: v => place(x, log(v, panel.log_x)), y: v => place(y, log(v, panel.log_y)),
      box: {left: x.a, right: x.b, top: y.b, bottom: y.a},
      xValue: p => value(x, p, panel.log_x), yValue: p => value(y, p, panel.log_y),
      holds: (px, py) => px >= x.a && px <= x.b && py >= y.b && py <= y.a,
    };
  }

  // Round numbers between two values, about as many as an axis holds.
  function rounded(one, other, isLog) {
    const low = Math.min(one, other), high = Math.max(one, other);
    if (isLog && high > 10 * low) {
      const first = Math.ceil(Math.log10(low)), last = Math.floor(Math.log10(high)), by = Math.ceil((last - first + 1) / TICKS);
      return Array.from({length: Math.floor((last - first) / by) + 1}, (_, i) => 10 ** (first + i * by));
    }
    const rough = (high - low) / TICKS, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find(times => times * power >= rough) || 10), from = Math.ceil(low / step);
    return Array.from({length: Math.max(Math.floor(high / step) - from + 1, 0)}, (_, i) => (from + i) * step);
  }

  // Both axes of the part of a panel that is seen, [x, y, width, height], along the left and the bottom.
  function axes(panel, s, [x, y, width, height], unit) {
    const [wide, high] = STRIP.map(one => one * unit), left = x + wide, bottom = y + height - high;
    const strip = (...at) => page.svg("rect", Object.fromEntries(["x", "y", "width", "height"].map((name, i) => [name, at[i]])));
    const tick = d => page.svg("path", {d});
    const text = (value, x, y, anchor) => {
      const made = page.svg("text", {x, y, "text-anchor": anchor, "font-size": LETTERS * unit});
      made.textContent = page.number(value);
      return made;
    };
    const found = [strip(x, y, wide, height), strip(x, bottom, width, high)];
    for (const value of rounded(s.xValue(Math.max(left, s.box.left)), s.xValue(Math.min(x + width, s.box.right)), panel.log_x)) {
      const at = s.x(value);
      found.push(tick(`M${at} ${bottom}v${TICK * unit}`), text(value, at, bottom + 16 * unit, "middle"));
    }
    for (const value of rounded(s.yValue(Math.max(y, s.box.top)), s.yValue(Math.min(bottom, s.box.bottom)), panel.log_y)) {
      const at = s.y(value);
      found.push(tick(`M${left} ${at}h${-TICK * unit}`), text(value, left - 8 * unit, at + 4 * unit, "end"));
    }
    return found;
  }

  // The entry of a series that is nearest to a place: its index, and how far it is in the picture's units.
  function nearest(series, s, px, py) {
    if (series.kind === "map") return null;
    let best = null;
    for (let i = 0; i < series.x.length; i++) {
      if (series.x[i] === null || series.y[i] === null) continue;
      const dx = s.x(series.x[i]) - px, dy = s.y(series.y[i]) - py;
      if (series.kind === "steps" && (dx > 0 || i + 1 >= series.x.length || s.x(series.x[i + 1]) < px)) continue;
      const far = series.kind === "points" ? Math.hypot(dx, dy) : Math.abs(dx);
      if (best === null || far < best.far) best = {i, far};
    }
    return best;
  }

  function line(series, i) {
    const error = series.error && series.error[i] !== null ? ` ± ${page.number(series.error[i])}` : "";
    return `${series.label ? series.label + ": " : ""}${page.number(series.y[i])}${error}`;
  }

  function cell(series, x, y) {
    const [x0, x1] = series.x, [y0, y1] = series.y, rows = series.heights;
    const row = rows[Math.floor((y - y0) / (y1 - y0) * rows.length)];
    return row ? row[Math.floor((x - x0) / (x1 - x0) * row.length)] : undefined;
  }

  // What there is to say of a place of a panel, and the points that are meant.
  function told(panel, s, px, py, reach) {
    const x = s.xValue(px), lines = [], marks = [];
    for (const series of panel.series) {
      if (series.kind === "map") {
        const height = cell(series, x, s.yValue(py));
        if (height !== undefined && height !== null) lines.push(`${page.number(height)} at y = ${page.number(s.yValue(py))}`);
        continue;
      }
      const found = nearest(series, s, px, py);
      if (found === null || found.far > (series.kind === "points" ? reach : Infinity)) continue;
      marks.push({series, i: found.i, far: found.far});
      const own = series.kind === "points" ? `x = ${page.number(series.x[found.i])}, ` : "";
      lines.push(own + line(series, found.i));
    }
    return {text: [`${panel.labels[0] || "x"} = ${page.number(x)}`, ...lines].join("\n"), marks};
  }

  function rows(panels) {
    const found = [["panel", "series", "x", "y", "standard error", "axes"]];
    panels.forEach((panel, k) => {
      const name = panel.title || String(k + 1), axes = panel.labels.join(" | ");
      for (const series of panel.series) {
        if (series.kind === "map") {
          const [x0, x1] = series.x, [y0, y1] = series.y, high = series.heights.length;
          series.heights.forEach((row, j) => row.forEach((height, i) => height === null || found.push(
            [name, `height ${height}`, x0 + (i + 0.5) / row.length * (x1 - x0), y0 + (j + 0.5) / high * (y1 - y0), null, axes])));
        } else {
          series.x.forEach((x, i) => found.push([name, series.label, x, series.y[i], series.error && series.error[i], axes]));
        }
      }
    });
    return found;
  }

  function standalone(svg, box) {
    const copy = svg.cloneNode(true);
    copy.querySelectorAll(".cursor, .lasso, .chosen, .ticks").forEach(one => one.remove());
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("viewBox", box.join(" "));
    const light = page.json(document.getElementById("palette"));
    return copy.outerHTML.replace(/var\(--([\w-]+)\)/g, (whole, name) => light[name] || whole);
  }

  function attach(plot, number) {
    const svg = plot.querySelector("svg.drawing"), wide = svg.parentElement;
    const panels = page.json(plot.querySelector("script.numbers"));
    const box = svg.getAttribute("viewBox").split(/\s+/).map(Number);
    const scales = panels.map(panel => scale(panel, box[2], box[3]));
    const tip = page.make("div", {class: "tip", hidden: true, role: "status"});
    const cursor = page.svg("path", {class: "cursor"}), lasso = page.svg("rect", {class: "lasso", width: 0, height: 0});
    const reset = page.make("button", {type: "button", hidden: true, click: () => zoom(box)}, "Whole figure");
    const ticks = page.svg("g", {class: "ticks", "aria-hidden": true});
    svg.append(cursor, ticks, lasso);
    plot.append(tip);
    plot.style.position = "relative";

    const place = event => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const at = point => scales.findIndex(s => s.holds(point.x, point.y));
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const within = ({x, y}, k) => k < 0 ? {x, y} : {x: clamp(x, scales[k].box.left, scales[k].box.right), y: clamp(y, scales[k].box.top, scales[k].box.bottom)};
    const unit = () => svg.viewBox.baseVal.width / svg.getBoundingClientRect().width;

    function zoom(to) {
      svg.setAttribute("viewBox", to.join(" "));
      reset.hidden = to === box;
      svg.classList.toggle("zoomed", to !== box);
      const k = at({x: to[0] + to[2] / 2, y: to[1] + to[3] / 2});
      ticks.replaceChildren(...(to === box || k < 0 ? [] : axes(panels[k], scales[k], to, unit())));
    }
    // The lasso with the sides of the whole picture, so that nothing is stretched.
    function framed() {
      const [x, y, width, height] = ["x", "y", "width", "height"].map(name => Number(lasso.getAttribute(name)));
      const share = Math.max(width / box[2], height / box[3]);
      return [x + width / 2 - share * box[2] / 2, y + height / 2 - share * box[3] / 2, share * box[2], share * box[3]];
    }
    function hide() {
      tip.hidden = true;
      cursor.setAttribute("d", "");
    }
    function show(k, point) {
      const {text, marks} = told(panels[k], scales[k], point.x, point.y, NEAR * unit());
      const [, top, , bottom] = panels[k].box;
      tip.textContent = text;
      tip.hidden = false;
      const on = new DOMPoint(point.x, point.y).matrixTransform(svg.getScreenCTM());
      const whole = plot.getBoundingClientRect();
      const left = Math.min(on.x - whole.left + 14, whole.width - tip.offsetWidth - 2);
      tip.style.left = `${Math.max(left, 0)}px`;
      tip.style.top = `${on.y - whole.top + 14}px`;
      cursor.setAttribute("d", `M${point.x} ${top * box[3]}V${bottom * box[3]}`);
      return marks;
    }
    function pick(marks) {
      const points = marks.filter(mark => mark.series.kind === "points").sort((a, b) => a.far - b.far);
      if (points.length) plot.dispatchEvent(new CustomEvent("pick", {detail: {label: points[0].series.label, i: points[0].i}}));
    }

    let start = null;
    svg.addEventListener("pointerdown", event => {
      if (event.pointerType === "mouse" && event.button === 0) { start = place(event); event.preventDefault(); }
    });
    svg.addEventListener("pointermove", event => {
      const point = place(event), k = at(point);
      if (start) {
        const end = within(point, at(start));
        lasso.setAttribute("x", Math.min(start.x, end.x));
        lasso.setAttribute("y", Math.min(start.y, end.y));
        lasso.setAttribute("width", Math.abs(end.x - start.x));
        lasso.setAttribute("height", Math.abs(end.y - start.y));
      }
      if (k < 0) hide(); else show(k, point);
    });
    svg.addEventListener("pointerup", event => {
      const width = Number(lasso.getAttribute("width")), height = Number(lasso.getAttribute("height"));
      if (start && width > 8 * unit() && height > 8 * unit()) {
        zoom(framed());
        hide();
      } else {
        const point = place(event), k = at(point);
        if (k >= 0) pick(show(k, point));
      }
      start = null;
      lasso.setAttribute("width", 0);
    });
    svg.addEventListener("pointerleave", () => { hide(); start = null; lasso.setAttribute("width", 0); });
    svg.addEventListener("dblclick", () => zoom(box));

    // By keys: left and right along a series, up and down to the next one, Enter takes the point, Escape ends.
    const walks = panels.flatMap((panel, k) => panel.series.filter(one => one.kind !== "map").map(series => ({k, series})));
    let walk = 0, step = -1;
    wide.addEventListener("keydown", event => {
      if (event.key === "Escape") { zoom(box); hide(); return; }
      if (!walks.length) return;
      const {k, series} = walks[walk], last = series.x.length - 1;
      if (event.key === "Enter") { if (step >= 0) pick([{series, i: step, far: 0}]); return; }
      const moves = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1]};
      if (!(event.key in moves)) return;
      event.preventDefault();
      const [along, other] = moves[event.key];
      walk = (walk + other + walks.length) % walks.length;
      step = other ? 0 : Math.min(Math.max(step + along, 0), last);
      const now = walks[walk], s = scales[now.k], x = now.series.x[step], y = now.series.y[step];
      if (x === null || y === null) { tip.textContent = `${now.series.label}: –`; tip.hidden = false; return; }
      show(now.k, {x: s.x(x), y: s.y(y)});
      tip.textContent = `x = ${page.number(x)}, ${line(now.series, step)}`;
    });
    wide.addEventListener("blur", hide);

    const name = `figure-${number}`;
    wide.after(page.make("div", {class: "tools"},
      page.make("button", {type: "button", click: () => page.save(`${name}.csv`, page.csv(rows(panels)), "text/csv")}, "Numbers (CSV)"),
      page.make("button", {type: "button", click: () => page.save(`${name}.svg`, standalone(svg, box), "image/svg+xml")}, "Picture (SVG)"),
      reset,
      page.make("span", {class: "hint"}, "Point for numbers, drag to zoom; or arrow keys and Escape."),
      page.make("span", {class: "narrow"}, "Swipe for the rest, tap for numbers.")));
    plot.locate = (label, i) => {
      const k = panels.findIndex(panel => panel.series.some(one => one.label === label && one.kind === "points"));
      if (k < 0) return null;
      const series = panels[k].series.find(one => one.label === label);
      return {x: scales[k].x(series.x[i]), y: scales[k].y(series.y[i]), panel: panels[k], series};
    };
  }

  document.querySelectorAll(".plot").forEach(plot => {
    if (plot.querySelector("script.numbers")) attach(plot, (plot.closest("figure").id || "figure-0").replace("figure-", ""));
  });
}
