/** The page: photographs and pictures of the camera through the model, one at a time, the newest wish first. */

import { complain, quieten, say, warn } from "./messages.js";
import { Camera, decode, read, readsExactly } from "./pictures.js";
import { shrunkSize } from "./resize.js";
import { Segmenter, findGPU } from "./segmenter.js";
import { View } from "./view.js";

const SIDES = [256, 512, 640, 1024];
const PATIENCE = 3000; // milliseconds that a picture has if nobody wants it any more
const byId = (id) => document.getElementById(id);

class Page {
  constructor(about) {
    this.about = about;
    this.view = new View(about.classes);
    this.camera = null; // while it is on
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
    const { bytes } = this.about.model;
    say("Loading the runtime and the model …");
    const segmenter = new Segmenter(this.about, provider, (loaded) => {
      const tenths = Math.floor((10 * loaded) / bytes); // more steps would be a burden to who hears them
      say(`Loading: ${10 * tenths} % of the model's ${(bytes / 1e6).toFixed(1)} MB …`);
    });
    this.segmenter = segmenter;
    segmenter.ready.then(
      () => say(`Ready on ${segmenter.name}.`),
      (error) => {
        if (segmenter !== this.segmenter) {
          return;
        }
        segmenter.close(); // what still comes is of no use
        say("");
        if (!this.#leaveGPU(`WebGPU does not take the model (${error.message}).`)) {
          warn(error.message);
        }
      },
    );
  }

  /** Goes on in WebAssembly, and returns true, if it was the GPU that failed. */
  #leaveGPU(failure) {
    if (this.segmenter.provider !== "webgpu") {
      return false;
    }
    warn(`${failure} WebAssembly runs it instead.`);
    byId("run-on").value = "wasm";
    this.#reload();
    return true;
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
    Object.assign(image, { alt: "", decoding: "async", loading: "lazy", src: address }); // there may be hundreds
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

  #show(button, name, find) {
    this.#stopCamera();
    this.chosen?.removeAttribute("aria-current");
    this.chosen = button;
    button.setAttribute("aria-current", "true");
    button.scrollIntoView({ block: "nearest", inline: "nearest" });
    quieten();
    byId("result").setAttribute("aria-busy", "true");
    this.#try(name, async () => decode(await find()));
  }

  async #film() {
    const wish = this.wish;
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
    let goesOn = true;
    while (goesOn && (await camera.comes())) {
      goesOn = await this.#try("Camera", () => camera.picture());
    }
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
   * @param {() => Promise<ImageBitmap>} prepare decodes it
   * @returns {Promise<boolean>} whether it had no error and nothing else is asked for
   */
  async #try(name, prepare) {
    const wish = ++this.wish;
    const isWanted = () => wish === this.wish;
    let bitmap = null;
    try {
      const [decoded, decoding] = await timed(prepare);
      bitmap = decoded;
      const segmenter = await this.#turn(isWanted);
      if (!segmenter) {
        return false;
      }
      const [{ canvas, pixels }, reading] = await timed(() => read(bitmap));
      bitmap.close(); // now, since it may be large
      const side = Number(byId("side").value);
      const size = shrunkSize(canvas.width, canvas.height, side, this.about.fixed.slice(1));
      const found = await this.#segment(segmenter, pixels, size);
      if (found && isWanted()) {
        const seconds = { run: found.seconds.run, read: decoding + reading + found.seconds.shrink };
        this.view.show(canvas, name, { labels: found.labels, size, seconds }, segmenter.name);
      }
      return isWanted();
    } catch (error) {
      if (isWanted()) {
        complain(`${name}: ${error.message}`);
        byId("result").hidden = true; // it is of another picture
      }
      return false;
    } finally {
      bitmap?.close();
      if (isWanted()) {
        byId("result").removeAttribute("aria-busy");
      }
    }
  }

  /** The segmenter once it is free; null without a model, as the page says by then, and where nobody waits any more. */
  async #turn(isWanted) {
    for (;;) {
      const segmenter = this.segmenter;
      const isReady = await segmenter.ready.then(() => true, () => false);
      await segmenter.rests(PATIENCE);
      if (!isWanted()) {
        return null;
      }
      if (segmenter !== this.segmenter) {
        continue;
      }
      if (!isReady || segmenter.isFree) {
        return isReady ? segmenter : null;
      }
      this.#load(); // it runs what nobody wants any more, or has ended
    }
  }

  /** What the model finds; null where it was stopped, or failed on the GPU, after which a new one is there. */
  async #segment(segmenter, pixels, size) {
    if (!this.camera) {
      say("Segmenting …");
    }
    try {
      return await segmenter.run(pixels, size);
    } catch (error) {
      const failure = `at ${size.width} × ${size.height} pixels`;
      if (segmenter !== this.segmenter || this.#leaveGPU(`WebGPU fails ${failure} (${error.message}).`)) {
        return null;
      }
      this.#load(); // what has run out of memory can do no more
      throw new Error(`The model fails ${failure}. ${error.message}`);
    } finally {
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

async function start() {
  say("");
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly, which the model needs.");
  }
  const response = await fetch("page.json", { cache: "no-cache" }).catch(() => null);
  if (!response?.ok) {
    throw new Error("page.json does not come from the server. It lies beside this page.");
  }
  const about = await response.json();
  if (!import.meta.url.includes(`/${about.scripts}/`)) {
    throw new Error("This page was made anew after your browser had read it. Reload it.");
  }
  await new Page(about).start();
}

start().catch((error) => warn(error.message));
