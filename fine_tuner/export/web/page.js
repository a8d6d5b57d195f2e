// A trained network in a page that needs no server: picture or camera in, answer out, nothing leaves the browser.
// The network, what is known of it and the addresses of the runtime are in the page itself (see page.py).

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("about").textContent);
const TOP = 5;

// ------------------------------------------------------------------ pictures
const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** Python's round(): halves go to the even neighbour. */
function rounded(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

const FILTERS = {
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2,
    at: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
};

/** For each place of the output, the first input that it is made of and their weights; wider where it gets smaller. */
function weightsOf(from, to, { reach, at }) {
  const scale = from / to;
  const width = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = scale * (place + 0.5);
    const first = Math.max(0, Math.trunc(centre - reach * width + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach * width + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) => at((first + i - centre + 0.5) / width));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** RGB of one size to another, rows first and rounded between, as torch and Pillow do it. */
function resized({ data, width, height }, toWidth, toHeight, filter) {
  let pixels = data;
  if (toWidth !== width) pixels = pass(pixels, height, width * 3, 3, weightsOf(width, toWidth, filter), toWidth * 3, 3);
  if (toHeight !== height) {
    const row = toWidth * 3;
    pixels = pass(pixels, toWidth, 3, row, weightsOf(height, toHeight, filter), 3, row);
  }
  return { data: pixels, width: toWidth, height: toHeight };
}

/** One direction: `lines` of them, each `lineStep` apart, whose places are `step` apart. */
function pass(pixels, lines, lineStep, step, places, outLineStep, outStep) {
  const out = new Uint8ClampedArray(lines * 3 * places.length);
  for (let line = 0; line < lines; line++)
    for (let place = 0; place < places.length; place++) {
      const { first, weights } = places[place];
      const start = line * lineStep + first * step;
      let [r, g, b] = [0, 0, 0];
      for (let i = 0; i < weights.length; i++) {
        const at = start + i * step;
        r += weights[i] * pixels[at];
        g += weights[i] * pixels[at + 1];
        b += weights[i] * pixels[at + 2];
      }
      const to = line * outLineStep + place * outStep;
      out[to] = r;
      out[to + 1] = g;
      out[to + 2] = b;
    }
  return out;
}

/** The part of a picture that begins at `left`, `top`, on a square of `size`; what lies outside is `fill`. */
function placed(picture, left, top, size, fill = [0, 0, 0]) {
  const out = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const [from, to] = [((y + top) * picture.width + x + left) * 3, (y * size + x) * 3];
      const isInside = y + top >= 0 && y + top < picture.height && x + left >= 0 && x + left < picture.width;
      for (let c = 0; c < 3; c++) out[to + c] = isInside ? picture.data[from + c] : fill[c];
    }
  return { data: out, width: size, height: size };
}

/** The square that the network sees; `inside` is the part of it that is picture. */
function seen(picture) {
  const { image_size: size, resize_size: resize, interpolation, mean } = about.preprocessing;
  const filter = FILTERS[interpolation];
  const { width, height } = picture;
  if (about.target === "class") {
    const [short, to] = [Math.min(width, height), Math.max(size, resize)];
    const small = resized(picture, Math.trunc((to * width) / short), Math.trunc((to * height) / short), filter);
    const square = placed(small, rounded((small.width - size) / 2), rounded((small.height - size) / 2), size);
    return { square, inside: [0, 0, size, size] };
  }
  if (about.target !== "mask") return { square: resized(picture, size, size, filter), inside: [0, 0, size, size] };
  const scale = size / Math.max(width, height);
  const [w, h] = [width, height].map((side) => Math.max(1, rounded(side * scale)));
  const [left, top] = [rounded((w - size) / 2), rounded((h - size) / 2)];
  const fill = mean.map((value) => rounded(255 * value));
  return { square: placed(resized(picture, w, h, filter), left, top, size, fill), inside: [-left, -top, w, h] };
}

/** What can be drawn on a canvas, as RGB; clear parts are white, as the network was trained. */
function pixelsOf(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(width * height * 3);
  for (let i = 0, j = 0; j < data.length; i += 4, j += 3) {
    data[j] = rgba[i];
    data[j + 1] = rgba[i + 1];
    data[j + 2] = rgba[i + 2];
  }
  return { data, width, height };
}

// ------------------------------------------------------------------- network
const scriptOf = (source) =>
  new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(true);
    script.onerror = () => resolve(false);
    document.head.append(script);
  });

/** The runtime's code and its WebAssembly: from runtime.js beside the page, else from the CDN if its hash is right. */
async function runtimeFiles() {
  if (await scriptOf("runtime.js")) {
    const { code, wasm } = globalThis.FINE_TUNER_RUNTIME;
    return { code: bytesOf(code), wasm: bytesOf(wasm) };
  }
  const get = async ({ url, integrity }) => {
    const answer = await fetch(url, { integrity, mode: "cors", referrerPolicy: "no-referrer" });
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  const [code, wasm] = await Promise.all([get(about.runtime.code), get(about.runtime.wasm)]);
  return { code, wasm };
}

let session;
let ort;

async function load() {
  say("Loading the runtime");
  const { code, wasm } = await runtimeFiles().catch((error) => {
    throw new Error(
      `onnxruntime-web is not to be had (${error.message}). Connect to the internet, or put runtime.js beside this page.`,
    );
  });
  ort = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // more need headers that a file and most static hosts do not send
  say("Loading the network");
  if (!$("model") && !(await scriptOf("model.js"))) throw new Error("model.js is missing. Keep it beside this page.");
  const model = bytesOf($("model")?.textContent ?? globalThis.FINE_TUNER_MODEL);
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** Logits of a picture, and what the network saw of it. */
async function ask(picture) {
  const view = seen(picture);
  const size = view.square.width;
  const images = new ort.Tensor("uint8", new Uint8Array(view.square.data.buffer), [1, size, size, 3]);
  const { logits } = await session.run({ images });
  return { logits: logits.data, dims: logits.dims, ...view };
}

// ------------------------------------------------------------------- answers
function say(text, isProblem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", isProblem);
}

/** `[name, value]` of each output: probabilities, numbers, or shares of the picture's pixels. */
function valuesOf({ logits }, classes) {
  if (about.target === "numbers") return about.classes.map((name, i) => [name, logits[i]]);
  if (about.target === "labels") return about.classes.map((name, i) => [name, 1 / (1 + Math.exp(-logits[i]))]);
  if (about.target === "mask") {
    const counts = about.classes.map(() => 0);
    for (const index of classes) counts[index]++;
    return about.classes.map((name, i) => [name, counts[i] / classes.length]);
  }
  const most = Math.max(...logits);
  const parts = Array.from(logits, (value) => Math.exp(value - most));
  const sum = parts.reduce((a, b) => a + b, 0);
  return about.classes.map((name, i) => [name, parts[i] / sum]);
}

/** The class of every pixel of the picture, without the padding. */
function classesOf({ logits, dims, inside: [left, top, width, height] }) {
  const [, count, rows, columns] = dims;
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = (y + top) * columns + x + left;
      let best = 0;
      for (let k = 1; k < count; k++)
        if (logits[k * rows * columns + at] > logits[best * rows * columns + at]) best = k;
      out[y * width + x] = best;
    }
  return out;
}

function drawMask(classes, [, , width, height]) {
  const colours = about.legend.map(({ colour }) => colour && [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16)));
  const image = new ImageData(width, height);
  classes.forEach((index, i) => colours[index] && image.data.set([...colours[index], 150], i * 4));
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(image, 0, 0);
  $("canvas").getContext("2d").drawImage(small, 0, 0, $("canvas").width, $("canvas").height);
}

function showValues(values) {
  const isShare = about.target !== "numbers";
  const ranked = isShare ? values.toSorted((a, b) => b[1] - a[1]) : values;
  $("answer").replaceChildren(
    ...ranked.slice(0, about.target === "class" ? TOP : ranked.length).map(([name, value]) => {
      const row = document.createElement("li");
      const label = document.createElement("span");
      const colour = about.legend?.find((entry) => entry.name === name)?.colour;
      if (colour) label.style.borderLeft = `0.8em solid ${colour}`;
      label.textContent = name;
      const number = document.createElement("b");
      number.textContent = isShare ? `${(100 * value).toFixed(1)} %` : value.toPrecision(4);
      row.append(label, number);
      if (isShare) row.style.setProperty("--share", `${100 * value}%`);
      return row;
    }),
  );
}

async function show(picture, source) {
  const canvas = $("canvas");
  const scale = Math.min(1, 800 / Math.max(picture.width, picture.height));
  [canvas.width, canvas.height] = [picture.width * scale, picture.height * scale].map(Math.round);
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  const began = performance.now();
  const answer = await ask(picture);
  const classes = about.target === "mask" ? classesOf(answer) : [];
  if (about.target === "mask") drawMask(classes, answer.inside);
  const values = valuesOf(answer, classes);
  showValues(values);
  say(`${Math.round(performance.now() - began)} ms`);
  document.body.dataset.answer = JSON.stringify(Object.fromEntries(values));
}

// -------------------------------------------------------------------- inputs
async function showFile(file) {
  stopCamera();
  say("Looking");
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
    await show(pixelsOf(bitmap, bitmap.width, bitmap.height), bitmap);
  } catch (error) {
    say(`${file.name} cannot be shown: ${error.message}. Choose a JPEG, PNG or WebP picture.`, true);
  }
}

let camera = null;

function stopCamera() {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = null;
  $("camera").textContent = "Camera";
}

async function toggleCamera() {
  if (camera) return stopCamera();
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(`The camera cannot be used: ${error.message}. Allow it for this page, or choose a picture.`, true);
  }
  $("camera").textContent = "Stop the camera";
  const video = document.createElement("video");
  video.srcObject = camera;
  video.muted = video.playsInline = true;
  await video.play();
  while (camera) {
    await show(pixelsOf(video, video.videoWidth, video.videoHeight), video);
    await new Promise((done) => requestAnimationFrame(done));
  }
}

$("file").addEventListener("change", ({ target }) => target.files[0] && showFile(target.files[0]));
$("camera").addEventListener("click", toggleCamera);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file) showFile(file);
});
addEventListener("paste", ({ clipboardData }) => clipboardData?.files[0] && showFile(clipboardData.files[0]));

load().then(
  () => {
    for (const id of ["file", "camera"]) $(id).disabled = false;
    say("Drop a picture here");
    document.body.dataset.ready = "yes";
  },
  (error) => say(error.message, true),
);
