// Structures that one turns, by 3Dmol: sets side by side, a colour by a number, and the structure of a point of the map.
// 3Dmol stands in the page as text, and is run, and structures are unpacked, only when some are about to be seen.
"use strict";
{
  const NM = 10;  // Å
  const THIN = 0.05, MIDDLE = 0.3, THICK = 0.32;  // Å

  function webgl() {
    try { return !!document.createElement("canvas").getContext("webgl2") || !!document.createElement("canvas").getContext("webgl"); }
    catch { return false; }
  }

  // The viewer, run from the text of the page as a script whose hash the page's policy names.
  function viewer() {
    if (!window.$3Dmol) document.head.append(page.make("script", {}, document.getElementById("viewer").textContent));
    return window.$3Dmol;
  }

  // Å, from picometres in base64.
  function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), one => one.charCodeAt(0));
    return Float32Array.from(new Int16Array(bytes.buffer), one => one * NM / 1000);
  }

  function chain(x, first, atoms, k, serial) {
    return Array.from({length: atoms}, (_, i) => ({
      elem: "C", atom: "CA", serial: serial + i, properties: {k, i},
      x: x[first + 3 * i], y: x[first + 3 * i + 1], z: x[first + 3 * i + 2],
      bonds: [i - 1, i + 1].filter(j => j >= 0 && j < atoms).map(j => serial + j),
      bondOrder: [i - 1, i + 1].filter(j => j >= 0 && j < atoms).map(() => 1),
    }));
  }

  // From blue over grey to orange, at a share of the way.
  function between(share) {
    const ends = [page.colour("blue"), page.colour("shade-4"), page.colour("orange")].map(one => [1, 3, 5].map(i => parseInt(one.slice(i, i + 2), 16)));
    const at = Math.min(Math.max(share, 0), 1) * 2, low = at < 1 ? 0 : 1;
    return "#" + ends[low].map((a, i) => Math.round(a + (at - low) * (ends[low + 1][i] - a)).toString(16).padStart(2, "0")).join("");
  }

  class Scene {
    constructor(set, reference, holder) {
      this.set = set;
      this.reference = reference;
      this.x = unpacked(set.x);
      this.chosen = -1;
      this.said = page.make("div", {class: "said"});
      this.canvas = page.make("div", {class: "scene", role: "img", "aria-label": `${set.label}: ${set.n} structures, to be turned`});
      holder.append(page.make("div", {class: "viewer"},
        page.make("h4", {}, `${set.label}, ${set.n} of ${set.of.toLocaleString("en")}`), this.canvas, this.said));
    }

    start() {
      this.viewer = viewer().createViewer(this.canvas, {backgroundColor: page.colour("paper"), antialias: true, disableFog: true});
      const {n, atoms} = this.set;
      const model = this.viewer.addModel();
      model.addAtoms(Array.from({length: n}, (_, k) => chain(this.x, 3 * atoms * k, atoms, k, k * atoms)).flat());
      if (this.reference) this.viewer.addModel().addAtoms(chain(this.reference, 0, this.reference.length / 3, 0, 0));
      this.paint(null);
      this.viewer.zoomTo();
      this.viewer.render();
    }

    // Colours by a number of each structure, or by the place in the chain.
    paint(shade) {
      if (shade !== undefined) this.shade = shade;
      if (!this.viewer) return;
      const last = Math.max(this.set.atoms - 1, 1), chosen = this.chosen;
      const colour = this.shade
        ? atom => between((this.shade.values[atom.properties.k] - this.shade.low) / (this.shade.high - this.shade.low || 1))
        : atom => between(atom.properties.i / last);
      this.viewer.setBackgroundColor(page.colour("paper"));
      this.viewer.setStyle({model: 0}, {stick: {radius: THIN, colorfunc: colour, opacity: chosen < 0 ? 1 : 0.15}});
      if (this.reference) this.viewer.setStyle({model: 1}, {stick: {radius: chosen < 0 ? MIDDLE : THIN, color: page.colour("ink")}});
      if (this.alone) this.viewer.removeModel(this.alone);
      this.alone = null;
      if (chosen >= 0) {
        const atoms = this.set.atoms;
        this.alone = this.viewer.addModel();
        this.alone.addAtoms(chain(this.x, 3 * atoms * chosen, atoms, chosen, 0));
        this.alone.setStyle({}, {stick: {radius: THICK, colorfunc: atom => between(atom.properties.i / last)}, sphere: {radius: THICK * 1.4, colorfunc: atom => between(atom.properties.i / last)}});
      }
      this.viewer.render();
    }

    show(k, words) {
      this.chosen = k;
      this.said.textContent = words;
      this.paint();
    }
  }

  function begin(figure) {
    const data = page.json(figure.querySelector("script.chains"));
    const holder = figure.querySelector(".viewers"), picture = figure.querySelector(".picture"), map = figure.querySelector(".map");
    const reference = data.reference && unpacked(data.reference);
    holder.hidden = false;
    picture.hidden = true;
    const scenes = data.sets.map(set => new Scene(set, reference, holder));
    const circle = map && page.svg("circle", {class: "chosen", r: 5, cx: -99, cy: -99});
    if (map) map.querySelector("svg.drawing").append(circle);

    function words(s, k) {
      const set = data.sets[s], parts = [`structure ${k + 1} of ${set.n}`];
      const where = map && map.locate(set.label, k);
      if (where) {
        parts.push(`${where.panel.labels[0]}: ${page.number(where.series.x[k])}`, `${where.panel.labels[1]}: ${page.number(where.series.y[k])}`);
        circle.setAttribute("cx", where.x);
        circle.setAttribute("cy", where.y);
      }
      for (const shade of data.shades) {
        if (!parts.some(part => part.startsWith(shade.label))) parts.push(`${shade.label}: ${page.number(shade.values[s][k])}`);
      }
      return parts.join(" · ");
    }
    function show(s, k) {
      scenes.forEach((scene, i) => i === s ? scene.show(k, words(s, k)) : scene.show(-1, ""));
      figure.dataset.chosen = k < 0 ? "" : `${data.sets[s].label} ${k + 1}`;
    }
    let now = [0, -1];
    const go = (s, k) => { now = [s, k]; show(s, k); };
    if (map) map.addEventListener("pick", event => {
      const s = data.sets.findIndex(set => set.label === event.detail.label);
      if (s >= 0) go(s, event.detail.i);
    });

    const shades = page.make("select", {"aria-label": "Colour by"}, page.make("option", {value: -1}, "colour: from first to last atom"),
      ...data.shades.map((shade, i) => page.make("option", {value: i}, `colour: ${shade.label}`)));
    const says = page.make("span");
    shades.addEventListener("change", () => {
      const shade = data.shades[Number(shades.value)];
      if (!shade) { says.textContent = ""; scenes.forEach(scene => scene.paint(null)); return; }
      const all = shade.values.flat().sort((a, b) => a - b);
      const low = all[Math.floor(0.02 * (all.length - 1))], high = all[Math.ceil(0.98 * (all.length - 1))];
      says.textContent = `blue ${page.number(low)} to orange ${page.number(high)}`;
      scenes.forEach((scene, s) => scene.paint({values: shade.values[s], low, high}));
    });
    const step = by => { const n = data.sets[now[0]].n; go(now[0], (now[1] + by + n) % n); };
    holder.after(page.make("div", {class: "tools"},
      page.make("button", {type: "button", click: () => go(now[0], -1)}, "All"),
      page.make("button", {type: "button", click: () => step(now[1] < 0 ? 0 : -1)}, "Previous structure"),
      page.make("button", {type: "button", click: () => step(1)}, "Next structure"),
      ...(data.sets.length > 1 ? [page.make("button", {type: "button", click: () => go(1 - now[0], Math.min(Math.max(now[1], 0), data.sets[1 - now[0]].n - 1))}, "Other set")] : []),
      shades, says));

    scenes.forEach(scene => scene.start());
    figure.dataset.drawn = "yes";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scenes.forEach(scene => scene.paint()));
  }

  const near = new IntersectionObserver(seen => {
    for (const one of seen.filter(one => one.isIntersecting)) {
      near.unobserve(one.target);
      if (webgl()) begin(one.target);
    }
  }, {rootMargin: "300px"});
  document.querySelectorAll("figure.structures").forEach(figure => near.observe(figure));
}
