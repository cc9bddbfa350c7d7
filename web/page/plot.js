// Curves of numbers over the last minute.

const SPAN_MS = 60000;
const CURVES = 4;
const SVG = "http://www.w3.org/2000/svg";

/** picture: an svg.   legend: a list. */
export class Plot {
  #curves = new Map(); // name: {points: [[time, number]], line, label}
  #wanted = null;

  constructor(picture, legend) {
    this.#picture = picture;
    this.#legend = legend;
  }
  #picture;
  #legend;

  /** Begin anew.   wanted: names of what is plotted; null: the first ones that come. */
  clear(wanted = null) {
    this.#wanted = wanted;
    this.#curves.clear();
    this.#picture.replaceChildren();
    this.#legend.replaceChildren();
  }

  /** values: [name, number] pairs; what is no number is left out. */
  add(values) {
    for (const [name, number] of values) {
      if (typeof number !== "number" || !Number.isFinite(number)) continue;
      if (this.#wanted && !this.#wanted.includes(name)) continue;
      if (!this.#curves.has(name) && this.#curves.size < CURVES) this.#addCurve(name);
      this.#curves.get(name)?.points.push([performance.now(), number]);
    }
  }

  #addCurve(name) {
    const line = document.createElementNS(SVG, "polyline");
    const sample = document.createElementNS(SVG, "svg");
    const style = `curve-${this.#curves.size}`;
    line.classList.add(style);
    sample.setAttribute("viewBox", "0 0 24 8");
    sample.setAttribute("aria-hidden", "true");
    const stroke = document.createElementNS(SVG, "line");
    const place = { x1: 0, x2: 24, y1: 4, y2: 4, "stroke-width": 4 };
    for (const [key, value] of Object.entries(place)) stroke.setAttribute(key, value);
    stroke.classList.add(style);
    sample.append(stroke);
    this.#picture.append(line);
    const item = document.createElement("li");
    const label = document.createElement("span");
    item.append(sample, label);
    this.#legend.append(item);
    this.#curves.set(name, { points: [], line, label });
  }

  draw() {
    const now = performance.now();
    const all = [];
    for (const { points } of this.#curves.values()) {
      while (points.length && points[0][0] < now - SPAN_MS) points.shift();
      for (const [, number] of points) all.push(number);
    }
    const low = Math.min(...all);
    const range = Math.max(...all) - low || 1;
    for (const [name, { points, line, label }] of this.#curves) {
      const at = ([time, number]) => `${600 - ((now - time) / SPAN_MS) * 600},${150 - ((number - low) / range) * 140}`;
      line.setAttribute("points", points.map(at).join(" "));
      label.textContent = `${name} ${points.at(-1)?.[1] ?? ""}`;
    }
  }
}
