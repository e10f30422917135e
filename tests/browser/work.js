// What a page does with the library, and Deno with the same code, so that their numbers can be compared: it takes the
// library as an argument, reads nothing but the model that it is given, and gives back plain numbers.

/** A picture of noise, the same everywhere. */
function noise(seed) {
  let x = seed;
  const data = Uint8Array.from({ length: 64 * 64 * 3 }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x >>> 24;
  });
  return { width: 64, height: 64, data };
}

/** A hash of bytes that needs nothing of the runtime: pages without https have no crypto.subtle. */
function hash(bytes) {
  let h = 2166136261;
  for (const byte of bytes) h = Math.imul(h ^ byte, 16777619) >>> 0;
  return h;
}

/** Trains three steps of a concept and samples a picture with it. */
export async function trainAndSample(library, model, options) {
  const device = await library.gpu(options);
  const messages = [];
  try {
    const pipeline = await library.loadPipeline(device, model, { addTokens: { "<new1>": "ktn" } });
    const losses = [];
    const delta = await library.trainConcepts(pipeline, {
      concepts: [{ token: "<new1>", className: "mug", pictures: [noise(1)] }],
      regularization: [{ picture: noise(2), caption: "photo of a mug" }],
      batch: 2,
      steps: 3,
      seed: 0,
      reportEvery: 1,
      onReport: ({ loss }) => losses.push(loss),
    });
    const [picture] = await library.generate(
      library.withDelta(pipeline, delta),
      ["photo of a <new1> mug on a table"],
      { steps: 2, seed: 1 },
    );
    return {
      device: device.facts.description,
      result: {
        losses,
        token: [...delta.embeddings[0].subarray(0, 4)],
        picture: [
          picture.width,
          picture.height,
          ...picture.data.subarray(0, 24),
          hash(picture.data),
        ],
      },
      messages,
    };
  } finally {
    device[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
  }
}

/** What was found to be so last, for a page that stays silent. */
export const passed = [];

/** What must be so, or an error that says what was not. */
function same(found, wanted, what) {
  passed.push(what);
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} in place of ${b}`);
}

/** The message that a promise is rejected with. */
const refusal = (promise) => promise.then(() => "nothing was refused", (error) => error.message);

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** Files of the miniature that a page's user would pick. */
const PICKED = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model.safetensors",
  "tokenizer/merges.txt",
  "tokenizer/special_tokens_map.json",
  "tokenizer/tokenizer_config.json",
  "tokenizer/vocab.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
];

/**
 * Goes through all places that a page has: servers with and without ranges, picked files, a Map, the browser's own storage,
 * downloads. Each must give the same model, and back what was written to it.
 */
export async function places(library) {
  const { mount, openModelFolder, fingerprint, copyFile, loadDelta, saveDelta } = library;
  const marks = async (path) => {
    const folder = await openModelFolder(path);
    return [await fingerprint(folder), folder.components];
  };
  const known = await marks("./ranges/miniature");
  same(await marks("./whole/miniature/"), known, "a server without ranges");
  same(await marks(new URL("ranges/miniature", location.href).href), known, "an address");

  const files = [];
  for (const path of PICKED) {
    const file = new File(
      [await (await fetch(`./whole/miniature/${path}`)).blob()],
      path.split("/").pop(),
    );
    // As <input webkitdirectory> has them.
    Object.defineProperty(file, "webkitRelativePath", { value: `some folder/${path}` });
    files.push(file);
  }
  const picked = mount("picked", files);
  same(await marks(picked), known, "picked files");

  const root = await navigator.storage.getDirectory();
  for (const path of PICKED) {
    await copyFile(`./ranges/miniature/${path}`, `opfs:/sd/${path}`);
    passed.push(`the copy of ${path}`);
  }
  same(await marks("opfs:/sd"), known, "the browser's storage");
  same(
    await marks(mount("handle", await root.getDirectoryHandle("sd"))),
    known,
    "a handle of a folder",
  );

  const delta = await loadDelta("./ranges/some.safetensors");
  const map = new Map();
  mount("map", map);
  let href;
  HTMLAnchorElement.prototype.click = function () {
    href = [this.download, this.href];
  };
  for (
    const path of [
      "opfs:/sd/some.safetensors",
      "map:deltas/some.safetensors",
      "download:some.safetensors",
    ]
  ) {
    await saveDelta(path, delta);
  }
  same(href[0], "some.safetensors", "the name of a download");
  map.set("download.safetensors", await (await fetch(href[1])).blob());
  const weights = ({ weights, tokens }) => [
    tokens,
    [...weights].map((
      [name, { shape, value, change }],
    ) => [name, shape, hash(new Uint8Array((value ?? change ?? shape).buffer ?? []))]),
  ];
  for (const path of ["opfs:/sd/some.safetensors", "map:/deltas", "map:download.safetensors"]) {
    // In a folder, a delta is found by what it holds.
    same(weights(await loadDelta(path)), weights(delta), path);
  }

  const picture = noise(3);
  await library.writePng("opfs:/sd/some.png", picture, { prompt: "noise" });
  const back = await library.readPicture("opfs:/sd/some.png");
  same([back.width, back.height, hash(back.data)], [64, 64, hash(picture.data)], "a picture");
  same(await library.listPictures("opfs:/sd"), ["opfs:/sd/some.png"], "pictures in a folder");

  const device = await library.gpu({ backend: "cpu", threads: 1 });
  const t = library.tensor([1, 2, 3]);
  const state = library.evaluate(device, library.adamInit({ t }));
  await library.saveCheckpoint("opfs:/sd/checkpoint.safetensors", device, 7, "run", state);
  const loaded = await library.loadCheckpoint("opfs:/sd/checkpoint.safetensors", "run");
  same([loaded.step, [...await device.read(library.evaluate(device, loaded.state.params.t))]], [7, [
    1,
    2,
    3,
  ]], "a checkpoint");

  const half = library.writeSafetensors("opfs:/sd/half.safetensors", {
    a: { shape: [2], dtype: "F32", data: () => Promise.reject(new Error("the power went")) },
  });
  same(await refusal(half), "the power went", "what stops a file");
  same(
    await refusal(library.readPicture("opfs:/sd/half.safetensors")).then((m) =>
      /does not exist/.test(m)
    ),
    true,
    "half a file",
  );

  const pictures = {};
  const { good, odd, damaged } = await (await fetch("./pictures.json")).json();
  for (const { name, file, width, height, rgb } of [...good, ...odd]) {
    mount("one", new Map([[name, new Blob([bytesOf(file)])]]));
    const wanted = bytesOf(rgb);
    pictures[name] = await library.readPicture(`one:${name}`).then(
      (got) => {
        same([got.width, got.height, got.data.length], [width, height, wanted.length], name);
        return got.data.reduce((most, v, i) => Math.max(most, Math.abs(v - wanted[i])), 0);
      },
      (error) => error.message,
    );
  }

  const accepted = [];
  for (const [name, file] of Object.entries(damaged)) {
    mount("one", new Map([[name, new Blob([bytesOf(file)])]]));
    await library.readPicture(`one:${name}`).then(() => accepted.push(name), () => {});
  }

  return {
    pictures,
    accepted,
    refusals: {
      missing: await refusal(loadDelta("./ranges/none.safetensors")),
      page: await refusal(library.readPicture("./pages/a.png")),
      listed: await refusal(library.listPictures("./ranges/miniature")),
      written: await refusal(saveDelta("./ranges/new.safetensors", delta)),
      forbidden: await refusal(library.readPicture("./forbidden/a.png")),
      unreachable: await refusal(library.readPicture("http://127.0.0.1:1/a.png")),
      picked: await refusal(library.readPicture("picked:/a.png")),
      pickedWritten: await refusal(saveDelta("picked:/new.safetensors", delta)),
      storage: await refusal(library.readPicture("opfs:/none/a.png")),
      disk: await refusal(saveDelta("some.safetensors", delta)),
    },
    globals: [typeof Deno, typeof process],
  };
}
