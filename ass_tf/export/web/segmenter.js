/** The model as the page sees it: a worker that is asked and answers. */

const MOST_THREADS = 4;

/** Whether this browser has WebGPU for the page, and whether a real GPU is behind it. */
export async function findGPU() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return { isOffered: Boolean(adapter), isReal: Boolean(adapter) && !adapter.info?.isFallbackAdapter };
}

export class Segmenter {
  /**
   * @param {object} about page.json
   * @param {string} provider "webgpu" or "wasm"
   * @param {(loaded: number) => void} tell called with the bytes of the model that have come
   */
  constructor(about, provider, tell) {
    this.about = about;
    this.provider = provider;
    // Threads share memory, which a browser grants to pages that their server isolates by two headers.
    // They wait for each other in loops, so half of the cores stay free.
    const half = Math.ceil(navigator.hardwareConcurrency / 2);
    this.threads = self.crossOriginIsolated ? Math.min(half, MOST_THREADS) : 1;
    this.waiting = new Map();
    this.asked = 0;
    this.ended = ""; // why it has
    this.running = Promise.resolve(); // until the present picture is done
    this.began = 0; // milliseconds at which it came
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => ("loaded" in data ? tell(data.loaded) : this.#settle(data));
    this.worker.onerror = () => this.close("The part of the page that runs the model has ended.");
    const address = (file) => new URL(file, document.baseURI).href;
    const { bundle, binary } = about.runtime[provider];
    this.ready = this.#ask({
      kind: "load",
      bundle: address(about.runtime.folder + bundle),
      binary: address(about.runtime.folder + binary),
      model: address(about.model.file),
      provider,
      threads: this.threads,
    });
  }

  /** What it runs on, for people. */
  get name() {
    const threads = `${this.threads} ${this.threads === 1 ? "thread" : "threads"}`;
    return this.provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads}`;
  }

  /**
   * @param {ImageData} picture is gone afterwards
   * @param {{width: number, height: number}} size at which the model takes it
   */
  run({ data, width, height }, size) {
    this.began = performance.now();
    const question = { kind: "run", picture: { data, width, height }, size, count: this.about.fixed[0] ?? 1 };
    const answer = this.#ask(question, [data.buffer]);
    this.running = answer.catch(() => {});
    return answer;
  }

  /** Whether it could run a picture now, once it is ready. */
  get isFree() {
    return !this.ended && this.waiting.size === 0;
  }

  /** Comes when no picture runs, or one has run for so many milliseconds. */
  rests(patience) {
    const left = this.began + patience - performance.now();
    return Promise.race([this.running, new Promise((done) => setTimeout(done, left))]);
  }

  /** Ends the worker; what it was asked, or is asked later, fails with the reason. */
  close(reason = "Stopped.") {
    this.ended = reason;
    this.worker.terminate();
    this.worker.onmessage = null; // an answer may be on its way
    this.waiting.forEach(({ fail }) => fail(new Error(reason)));
    this.waiting.clear();
  }

  #ask(question, transfer = []) {
    const number = ++this.asked;
    return new Promise((done, fail) => {
      if (this.ended) {
        throw new Error(this.ended);
      }
      this.waiting.set(number, { done, fail });
      this.worker.postMessage({ number, ...question }, transfer);
    });
  }

  #settle({ number, error, ...answer }) {
    const { done, fail } = this.waiting.get(number);
    this.waiting.delete(number);
    error === undefined ? done(answer) : fail(new Error(error));
  }
}
