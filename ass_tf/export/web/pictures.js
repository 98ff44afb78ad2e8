/** Photographs from files and from the camera, as pixels. */

// What a canvas holds: above it browsers draw nothing and tell nobody.
const MOST_PIXELS = 2 ** 24; // on iPhones
const LONGEST = 2 ** 15 - 1; // pixels of a side, in Firefox

const canvas = document.createElement("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });

/**
 * A photograph's file, upright by its EXIF data.
 * @param {Blob} file
 * @returns {Promise<ImageBitmap>}
 */
export async function decode(file) {
  try {
    // The numbers as they are in the file, as Python reads them: no profile of colours is applied.
    return await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot read it as an image.");
  }
}

/**
 * Pixels of a picture, and a canvas that holds it until the next call.
 * @param {ImageBitmap} bitmap
 */
export function read(bitmap) {
  const { width, height } = bitmap;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)), LONGEST / Math.max(width, height));
  canvas.width = Math.max(1, Math.floor(width * scale));
  canvas.height = Math.max(1, Math.floor(height * scale));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return { canvas, pixels: context.getImageData(0, 0, canvas.width, canvas.height) };
}

/** Whether a canvas gives back what was drawn; some browsers add noise so that pages cannot recognise a visitor. */
export function readsExactly() {
  canvas.width = canvas.height = 16;
  const drawn = context.createImageData(16, 16);
  drawn.data.forEach((_, i) => (drawn.data[i] = i % 4 === 3 ? 255 : (i * 89) % 256));
  context.putImageData(drawn, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((value, i) => value === drawn.data[i]);
}

export class Camera {
  /** Whether a page at this address may ask for a camera. */
  static get isOffered() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** Asks for the camera, on a phone for the one at its back. */
  async start() {
    const wanted = { facingMode: { ideal: "environment" }, width: { ideal: 1280 } };
    this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
    this.video.srcObject = this.stream;
    try {
      await this.video.play();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Whether it is still on, as soon as it has a picture and somebody looks at the page. */
  async comes() {
    do {
      await new Promise(requestAnimationFrame);
    } while (this.stream.active && !this.#hasPicture);
    return this.stream.active;
  }

  /** The present picture, once `comes` said so. */
  picture() {
    return createImageBitmap(this.video);
  }

  get #hasPicture() {
    return this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && this.video.videoWidth > 0;
  }

  stop() {
    this.stream.getTracks().forEach((track) => track.stop());
  }
}
