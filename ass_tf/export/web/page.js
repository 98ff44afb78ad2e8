/** The page: photographs and pictures of the camera through the model, one at a time, the newest wish first. */

import { Camera, decode, read, readsExactly } from "./pictures.js";
import { shrunkSize } from "./resize.js";
import { Segmenter, findGPU } from "./segmenter.js";
import { View } from "./view.js";

const SIDES = [256, 512, 640, 1024];
const PATIENCE = 3000; // milliseconds after which a picture that nobody wants any more is given up
const byId = (id) => document.getElementById(id);

class Page {
  constructor(about) {
    this.about = about;
    this.view = new View(about.classes);
    this.camera = null; // while it is on
    this.began = null; // while the model runs: since when
    this.wish = 0; // counts what was asked for, so that an older one can tell that it is no longer wanted
  }

  async start() {
    this.#offerSizes();
    this.#offerProviders(await findGPU());
    this.#offerCamera();
    this.#listen();
    if (!readsExactly()) {
      warn("This browser changes the pixels that a page reads, so labels will be wrong. Allow it to read canvases.");
    }
    const examples = this.about.examples.map(({ file, name }) => this.#thumbnail(name, file, () => this.#fetch(file)));
    this.#load();
    examples[0]?.click();
  }

  /** Starts the model; what fails on the GPU is tried without it. */
  #load() {
    this.segmenter?.close();
    const provider = byId("run-on").value;
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    say("Loading the runtime and the model …");
    const segmenter = new Segmenter(this.about, provider, (loaded) => {
      say(`Loading: ${megabytes(loaded)} of ${megabytes(this.about.model.bytes)} MB of the model …`);
    });
    this.segmenter = segmenter;
    segmenter.ready.then(
      () => say(`Ready on ${segmenter.name}.`),
      (error) => {
        if (segmenter !== this.segmenter) {
          return;
        }
        say("");
        if (provider === "webgpu") {
          warn(`WebGPU does not take the model (${error.message}). WebAssembly runs it instead.`);
          byId("run-on").value = "wasm";
          this.#reload();
        } else {
          warn(error.message);
        }
      },
    );
  }

  #reload() {
    this.#load();
    this.chosen?.click();
  }

  #offerSizes() {
    const [, height, width] = this.about.fixed;
    const own = Math.max(...this.about.size);
    const sides = [...new Set([...SIDES, own])].sort((one, other) => one - other);
    const choices = sides.map((side) => new Option(side === own ? `${side} (the model's)` : side, side));
    choices.push(new Option("full", 0));
    byId("side").append(...(height && width ? [new Option(`${width} × ${height} (fixed)`, 0)] : choices));
    byId("side").value = height && width ? 0 : own;
    byId("side").disabled = Boolean(height && width);
  }

  #offerProviders(gpu) {
    const choices = gpu.isOffered ? [new Option("WebGPU", "webgpu")] : [];
    byId("run-on").append(...choices, new Option("WebAssembly", "wasm"));
    byId("run-on").value = gpu.isReal && this.about.model.precision !== "int8" ? "webgpu" : "wasm";
    byId("run-on").closest("label").hidden = !gpu.isOffered;
  }

  #offerCamera() {
    byId("camera").disabled = !Camera.isOffered;
    byId("camera-note").hidden = Camera.isOffered;
  }

  #listen() {
    byId("files").addEventListener("change", ({ target }) => {
      this.#open([...target.files]);
      target.value = ""; // the same file may be opened again
    });
    byId("side").addEventListener("change", () => this.chosen?.click());
    byId("run-on").addEventListener("change", () => this.#reload());
    byId("camera").addEventListener("click", () => (this.camera ? this.#stopCamera() : this.#film()));
    addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    addEventListener("dragleave", ({ relatedTarget }) => {
      document.body.classList.toggle("dropping", Boolean(relatedTarget));
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      this.#open([...event.dataTransfer.files]);
    });
    addEventListener("paste", ({ clipboardData }) => this.#open([...clipboardData.files]));
  }

  #open(files) {
    const opened = files.map((file) => this.#thumbnail(file.name, URL.createObjectURL(file), async () => file));
    opened[0]?.click();
  }

  /** A button that shows a photograph, whose file `find` gives. */
  #thumbnail(name, address, find) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    Object.assign(image, { src: address, alt: "", decoding: "async" });
    Object.assign(button, { type: "button", title: name });
    button.setAttribute("aria-label", `Show ${name}`);
    image.addEventListener("error", () => button.replaceChildren("?"));
    button.append(image);
    button.addEventListener("click", () => this.#show(button, name, find));
    byId("thumbnails").append(button);
    return button;
  }

  async #fetch(file) {
    const response = await fetch(file).catch(() => null);
    if (!response?.ok) {
      throw new Error("It does not come from the server.");
    }
    return response.blob();
  }

  async #show(button, name, find) {
    this.#stopCamera();
    this.chosen?.removeAttribute("aria-current");
    this.chosen = button;
    button.setAttribute("aria-current", "true");
    button.scrollIntoView({ block: "nearest", inline: "nearest" });
    quieten();
    byId("result").setAttribute("aria-busy", "true");
    if (this.began !== null && performance.now() - this.began > PATIENCE) {
      this.#load();
    }
    await this.#try(name, async () => {
      const bitmap = await decode(await find());
      return () => {
        const picture = read(bitmap, bitmap.width, bitmap.height);
        bitmap.close();
        return picture;
      };
    });
  }

  async #film() {
    const wish = ++this.wish;
    const camera = new Camera();
    quieten();
    byId("camera").disabled = true;
    try {
      await camera.start();
    } catch (error) {
      complain(`The camera does not start. ${error.message}`);
      return;
    } finally {
      byId("camera").disabled = false;
    }
    if (wish !== this.wish) {
      camera.stop();
      return;
    }
    this.camera = camera;
    this.chosen?.removeAttribute("aria-current");
    this.chosen = null;
    byId("camera").textContent = "Stop the camera";
    let frame;
    do {
      frame = await camera.next();
    } while (frame && (await this.#try("Camera", async () => () => frame)));
    if (camera === this.camera) {
      this.#stopCamera();
    }
  }

  #stopCamera() {
    this.camera?.stop();
    this.camera = null;
    byId("camera").textContent = "Use the camera";
  }

  /**
   * Segments and shows a picture, unless something else is asked for meanwhile.
   * @param {string} name of the picture
   * @param {() => Promise<() => {canvas, pixels}>} prepare decodes it, and returns what reads it
   * @returns {Promise<boolean>} whether it is shown
   */
  async #try(name, prepare) {
    const wish = ++this.wish;
    const segmenter = this.segmenter;
    const isWanted = () => wish === this.wish && segmenter === this.segmenter;
    try {
      const [picture, decoding] = await timed(prepare);
      const isReady = await segmenter.ready.then(() => true, () => false); // the reason is on the page already
      if (!isReady || !isWanted()) {
        return false;
      }
      const [{ canvas, pixels }, reading] = await timed(picture);
      const side = Number(byId("side").value);
      const size = shrunkSize(canvas.width, canvas.height, side, this.about.fixed.slice(1));
      const { labels, seconds } = await this.#segment(segmenter, pixels, size);
      if (!isWanted()) {
        return false;
      }
      const spent = { run: seconds.run, read: decoding + reading + seconds.shrink };
      this.view.show(canvas, name, { labels, size, seconds: spent }, segmenter.name);
      return true;
    } catch (error) {
      if (wish === this.wish) {
        complain(`${name}: ${error.message}`);
        byId("result").hidden = true; // it is of another picture
      }
      return false;
    } finally {
      if (wish === this.wish) {
        byId("result").removeAttribute("aria-busy");
      }
    }
  }

  async #segment(segmenter, pixels, size) {
    this.began = performance.now();
    if (!this.camera) {
      say("Segmenting …");
    }
    try {
      return await segmenter.run(pixels, size);
    } catch (error) {
      if (segmenter === this.segmenter) {
        this.#load(); // what has run out of memory can do no more
      }
      throw new Error(`The model fails at ${size.width} × ${size.height} pixels. ${error.message}`);
    } finally {
      this.began = null;
      if (segmenter === this.segmenter) {
        say(`Ready on ${segmenter.name}.`);
      }
    }
  }
}

/** What a function gives, and the seconds that it takes. */
async function timed(action) {
  const start = performance.now();
  return [await action(), (performance.now() - start) / 1000];
}

function say(text) {
  byId("status").textContent = text;
}

/** An error that stays on the page. */
function warn(text) {
  addLine("warnings", text);
}

/** An error of the present picture. */
function complain(text) {
  addLine("errors", text);
}

function addLine(place, text) {
  const line = document.createElement("p");
  line.textContent = text;
  byId(place).append(line);
}

function quieten() {
  byId("errors").replaceChildren();
}

async function start() {
  say("");
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly, which the model needs.");
  }
  const response = await fetch("page.json", { cache: "no-cache" }).catch(() => null);
  if (!response?.ok) {
    throw new Error("page.json does not come from the server. It lies beside this page.");
  }
  await new Page(await response.json()).start();
}

start().catch((error) => warn(error.message));
