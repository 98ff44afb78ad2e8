/** What the page shows of one picture: the labels over it, the share of each class, sizes and times. */

import { say } from "./messages.js";

const LARGEST = 2048; // pixels of a side of the shown picture

const byId = (id) => document.getElementById(id);
const [stage, photo, cover] = ["stage", "photo", "cover"].map(byId);

export class View {
  /** @param {{id: number, name: string, colour: string}[]} classes */
  constructor(classes) {
    this.classes = classes;
    this.colours = new Uint32Array(256).fill(0xff000000); // as bytes: red, green, blue, opaque
    for (const { id, colour } of classes) {
      const [red, green, blue] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
      this.colours[id] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }
    this.names = new Map(classes.map(({ id, name }) => [id, name]));
    this.pointed = null; // place on the picture that the pointer is at, or a finger was last
    byId("overlay").addEventListener("input", () => this.#blend());
    for (const kind of ["pointermove", "pointerdown"]) {
      stage.addEventListener(kind, (event) => this.#point(placeOf(event)));
    }
    stage.addEventListener("pointerleave", ({ pointerType }) => pointerType !== "touch" && this.#point(null));
    this.#blend();
  }

  /**
   * @param {HTMLCanvasElement} canvas holds the picture
   * @param {string} name of the picture
   * @param {{labels: Uint8Array, size: {width: number, height: number}, seconds: object}} found
   * @param {string} provider what the model ran on
   */
  show(canvas, name, found, provider) {
    const { width, height } = canvas;
    const scale = Math.min(1, LARGEST / Math.max(width, height));
    photo.width = Math.max(1, Math.round(width * scale));
    photo.height = Math.max(1, Math.round(height * scale));
    photo.getContext("2d").drawImage(canvas, 0, 0, photo.width, photo.height);
    this.#paint(found);
    stage.style.setProperty("--ratio", String(width / height));
    this.#table(this.#shares(found.labels));
    byId("name").textContent = name;
    photo.setAttribute("aria-label", name);
    const { width: w, height: h } = found.size;
    byId("size").textContent = w === width && h === height ? `${w} × ${h}` : `${w} × ${h} of ${width} × ${height}`;
    byId("provider").textContent = provider;
    for (const [kind, seconds] of Object.entries(found.seconds)) {
      byId(`${kind}-seconds`).value = seconds;
      byId(`${kind}-seconds`).textContent = `${seconds.toFixed(3)} s`;
    }
    byId("empty").hidden = true;
    byId("result").hidden = false;
    this.#point(this.pointed);
  }

  #paint({ labels, size }) {
    Object.assign(cover, size);
    const coloured = new Uint32Array(labels.length);
    labels.forEach((id, i) => (coloured[i] = this.colours[id]));
    const data = new ImageData(new Uint8ClampedArray(coloured.buffer), size.width, size.height);
    cover.getContext("2d").putImageData(data, 0, 0);
    this.shown = { labels, ...size };
  }

  #shares(labels) {
    const counts = new Uint32Array(256);
    labels.forEach((id) => counts[id]++);
    return new Map(this.classes.map(({ id }) => [id, counts[id] / labels.length]));
  }

  /** The legend: all classes, those with the largest share first. */
  #table(shares) {
    const share = ({ id }) => shares.get(id);
    const sorted = [...this.classes].sort((one, other) => share(other) - share(one));
    byId("classes").replaceChildren(
      ...sorted.map((known) => {
        const row = document.createElement("tr");
        row.classList.toggle("absent", share(known) === 0);
        row.style.setProperty("--colour", known.colour);
        row.style.setProperty("--share", `${100 * share(known)}%`);
        const [head, value] = [document.createElement("th"), document.createElement("td")];
        head.scope = "row";
        head.textContent = known.name;
        value.textContent = percent(share(known));
        row.append(head, value);
        return row;
      }),
    );
  }

  #blend() {
    const percent = byId("overlay").value;
    stage.style.setProperty("--overlay", String(percent / 100));
    byId("overlay-value").textContent = `${percent} %`;
  }

  /** Names the class at a place of the picture. */
  #point(place) {
    this.pointed = place;
    const { labels, width, height } = this.shown;
    const label = place && labels[Math.floor(place.y * height) * width + Math.floor(place.x * width)];
    say(this.names.get(label) ?? "", "pointed");
  }
}

/** Where on the picture a pointer is, as parts of its width and height; null beside it. */
function placeOf({ clientX, clientY }) {
  const { left, top, width, height } = cover.getBoundingClientRect();
  const place = { x: (clientX - left) / width, y: (clientY - top) / height };
  return Object.values(place).every((part) => part >= 0 && part < 1) ? place : null;
}

function percent(share) {
  return share === 0 ? "0 %" : share < 0.001 ? "<0.1 %" : `${(100 * share).toFixed(1)} %`;
}
