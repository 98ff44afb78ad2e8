/**
 * The model under onnxruntime-web, away from the page's own thread.
 *
 * Takes {kind: "load", ...} once and then {kind: "run", ...}; answers each with {number, ...} or {number, error}, and
 * tells {loaded} bytes of the model while it comes.
 */

import { resize } from "./resize.js";

const state = { runtime: null, session: null };
const actions = { load, run };
let last = Promise.resolve(); // one after the other

self.onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};

async function answer({ number, kind, ...given }) {
  try {
    const { transfer = [], ...found } = await actions[kind](given);
    self.postMessage({ number, ...found }, transfer);
  } catch (error) {
    self.postMessage({ number, error: String(error?.message ?? error) });
  }
}

/**
 * @param {string} bundle address of onnxruntime-web's module
 * @param {string} binary address of its WebAssembly
 * @param {string} provider "webgpu" or "wasm"
 * @param {number} threads of WebAssembly
 * @param {string} model address of the ONNX file
 */
async function load({ bundle, binary, provider, threads, model }) {
  const [runtime, bytes] = await Promise.all([imported(bundle), fetched(model)]);
  runtime.env.wasm.numThreads = threads;
  runtime.env.wasm.wasmPaths = { wasm: binary };
  runtime.env.logLevel = "error";
  state.session = await runtime.InferenceSession.create(bytes, { executionProviders: [provider] });
  state.runtime = runtime;
  return {};
}

async function imported(address) {
  try {
    return await import(address);
  } catch {
    throw new Error(`The runtime does not come from ${address}.`);
  }
}

async function fetched(address) {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) {
    const reason = response ? `The server answers ${response.status}` : "No server answers";
    throw new Error(`The model does not come from ${address}. ${reason}.`);
  }
  const parts = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    parts.push(value);
    self.postMessage({ loaded: (loaded += value.length) });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * @param {{data: Uint8ClampedArray, width: number, height: number}} picture RGBA
 * @param {{width: number, height: number}} size at which the model takes it
 * @param {number} count images that the model takes at once
 * @returns {{labels: Uint8Array, size, seconds: {shrink: number, run: number}}}
 */
async function run({ picture, size, count }) {
  const start = performance.now();
  const { width, height } = size;
  const pixels = new Uint8Array(count * height * width * 3); // of the images that are not there, black
  pixels.set(resize(picture.data, picture, size));
  const image = new state.runtime.Tensor("uint8", pixels, [count, height, width, 3]);
  const middle = performance.now();
  const results = await state.session.run({ image }, ["labels"]);
  const labels = (await results.labels.getData()).slice(0, height * width);
  const end = performance.now();
  results.labels.dispose();
  const seconds = { shrink: (middle - start) / 1000, run: (end - middle) / 1000 };
  return { labels, size, seconds, transfer: [labels.buffer] };
}
