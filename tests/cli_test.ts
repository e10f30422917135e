// The command, run as a function with the work replaced: what flags become, what is refused, what errors look like.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { isKnown, report, UsageError } from "../terminal/errors.ts";
import { catchInterrupt, Interrupted } from "../terminal/interrupt.ts";
import { main } from "../cli/main.ts";
import { concept } from "../cli/train/parse_concept.ts";
import { memory } from "../terminal/parse.ts";
import type { Ui } from "../cli/shared/ui.ts";
import { AdapterError } from "../device/errors.ts";
import { FileError } from "../files/errors.ts";
import { mergeConcepts } from "../concepts/merge/solve.ts";

/** Runs the command with work that only notes its request. */
async function run(
  args: string[],
  work: Record<string, (request: unknown, ui: Ui) => unknown> = {},
) {
  const out: string[] = [], err: string[] = [], requests: unknown[] = [];
  const note = <T>(answer: T) => (request: unknown) => {
    requests.push(request);
    return Promise.resolve(answer);
  };
  const code = await main(args, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    work: {
      train: note("my-dog/delta.safetensors"),
      generate: note(["a.png", "b.png"]),
      edit: note(["source.png", "edited.png", "sheet.png"]),
      attention: note("attention.png"),
      merge: note("both.safetensors"),
      convert: note(["lora.safetensors", "new1.safetensors"]),
      inspect: note({ facts: { kind: "delta" }, lines: ["a delta"] }),
      analyse: note({ facts: {}, lines: ["changes"] }),
      tokens: note({ facts: { tokens: [] }, lines: ["--initializer"] }),
      compress: note("small.safetensors"),
      evaluate: note("evaluation/report.html"),
      verify: note({ facts: { passed: true }, lines: ["all agree"], wrong: [] }),
      demo: note("demo.png"),
      doctor: note({ facts: { device: {} }, lines: ["a device"] }),
      ...work,
    },
  });
  return {
    code,
    out: out.join("\n"),
    err: err.join("\n"),
    request: requests[0],
    count: requests.length,
  };
}

const train = ["train", "--model", "sd", "--out", "o", "--concept", "<new1> dog=./my=dog"];

Deno.test("train: a concept is words, new words, class and folder; the rest is the method's default", async () => {
  const { code, out, request } = await run(train);
  assertEquals(code, 0);
  assertEquals(out, "my-dog/delta.safetensors");
  assertEquals(request, {
    model: "sd",
    out: "o",
    concepts: [{ words: "<new1> dog", tokens: ["<new1>"], category: "dog", photos: "./my=dog" }],
    regularization: [],
    method: "custom",
    initializers: undefined,
    ...{ saveEvery: 50, keep: 5, logEvery: 10 },
    seed: 42,
    resume: false,
  });
});

Deno.test("train: every flag arrives", async () => {
  const flags =
    "--steps 7 --batch 2 --learning-rate 2e-4 --weight-decay 0 --size 64 --no-flip --no-augment " +
    "--precision f16 --activations f16 --memory 6GB --save-every 3 --keep 2 --sample-every 5 --log-every 1 --seed 0 --resume --initializer sks --prior-images 9 -q " +
    "--method custom-all --trains attention --freeze-tokens --preset style --from earlier --accumulate 3 " +
    "--no-scale-rate --schedule cosine --warm-up 2 --clip 0.5";
  const { request, code } = await run([
    ...train,
    "--regularization",
    "dog=./dogs",
    ...flags.split(" "),
    ...["--sample-prompt", "a <new1> dog", "--sample-prompt", "a dog"],
  ]);
  assertEquals(code, 0);
  const wanted = {
    steps: 7,
    batch: 2,
    learningRate: 2e-4,
    weightDecay: 0,
    size: 64,
    flip: false,
    augment: false,
    precision: "f16",
    activations: "f16",
    memory: 6e9,
    ...{ saveEvery: 3, keep: 2, logEvery: 1, seed: 0 },
    ...{ sampleEvery: 5, samplePrompts: ["a <new1> dog", "a dog"] },
    resume: true,
    initializers: ["sks"],
    priorImages: 9,
    method: "custom-all",
    trains: "attention",
    freezeTokens: true,
    preset: "style",
    from: "earlier",
    accumulate: 3,
    scaleRate: false,
    schedule: "cosine",
    warmUp: 2,
    clip: 0.5,
    regularization: [{ name: "dog", path: "./dogs" }],
  };
  const got = request as Record<string, unknown>;
  for (const [name, value] of Object.entries(wanted)) assertEquals(got[name], value, name);
});

Deno.test("generate and merge: prompts and deltas are collected", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, "a cat\r\n\n  a dog \n");
    const generate = await run(
      [
        "generate",
        "--model",
        "sd",
        "--delta",
        "C:\\x:0.5",
        "--strength",
        "-0.5",
        "--delta",
        "y",
        "-n",
        "4",
        "--prompts-from",
        file,
        "a <new1> dog",
      ],
    );
    assertEquals(generate.code, 0);
    assertEquals(generate.out, "a.png\nb.png");
    assertEquals(generate.request, {
      model: "sd",
      deltas: [{ path: "C:\\x:0.5", strength: -0.5 }, { path: "y", strength: 1 }],
      prompts: ["a <new1> dog", "a cat", "a dog"],
      negative: "",
      count: 4,
      batch: 1,
      seed: 42,
      out: "pictures",
      promptsFrom: file,
      plain: false,
    });
  } finally {
    await Deno.remove(file);
  }
  const flags =
    "--sampler dpm++2m-karras --steps 20 --guidance 7.5 --size 64 --width 96 --height 32 " +
    "--image a.png --image-strength 0.5 --negative fog";
  const { request } = await run(["generate", "--model", "sd", "x", ...flags.split(" ")]);
  const wanted = {
    sampler: "dpm++2m-karras",
    steps: 20,
    guidance: 7.5,
    size: 64,
    width: 96,
    height: 32,
    image: "a.png",
    imageStrength: 0.5,
    negative: "fog",
  };
  const got = request as Record<string, unknown>;
  for (const [name, value] of Object.entries(wanted)) assertEquals(got[name], value, name);
  const merge = await run(["merge", "a", "b", "--model", "sd", "--out", "c", "--ridge", "1e-6"]);
  assertEquals(merge.request, {
    model: "sd",
    out: "c",
    deltas: ["a", "b"],
    captionCount: 1000,
    ridge: 1e-6,
  });
  const demo = await run(["demo", "--seed", "7"]);
  assertEquals(demo.request, { seed: 7, out: "out/demo" });
});

Deno.test("convert and inspect: flags arrive, results are printed, --json prints the facts", async () => {
  const flags = "--to lora --out o --rank 4 --model sd --token".split(" ");
  const convert = await run(["convert", "x.bin", ...flags, "<new2> dog", "-q"]);
  assertEquals(convert.out, "lora.safetensors\nnew1.safetensors");
  assertEquals(convert.request, {
    from: "x.bin",
    to: "lora",
    out: "o",
    rank: 4,
    model: "sd",
    tokens: ["<new2> dog"],
  });
  const inspect = await run(["inspect", "x", "--model", "sd"]);
  assertEquals([inspect.out, inspect.request], ["a delta", { path: "x", model: "sd" }]);
  assertEquals(JSON.parse((await run(["inspect", "x", "--json"])).out), { kind: "delta" });
  const listed = await run(["inspect", "--architecture", "sd15", "--json"], {
    inspect: () => ({ facts: { tensors: {} }, lines: ["tensors"] }),
  });
  assertEquals(JSON.parse(listed.out), { tensors: {} });
  const asked = await run(["inspect", "--architecture", "sd15"]);
  assertEquals(asked.request, { architecture: "sd15", component: "unet" });
});

Deno.test("what makes no sense is refused before any work, with what would", async () => {
  const refused: [string[], RegExp][] = [
    [["train", "--modl", "sd"], /unknown option '--modl'[^]*Did you mean --model/],
    [["trian"], /unknown command 'trian'[^]*Did you mean train/],
    [["train", "--model", "sd"], /--out is needed/],
    [
      ["train", "--model", "sd", "--out", "o"],
      /nothing to teach: give --concept, or --concepts-list/,
    ],
    [[...train, "--stepz", "3"], /Did you mean --steps/],
    [[...train, "--steps", "0"], /whole number, 1 or more/],
    [[...train, "--steps", "1.5"], /whole number/],
    [[...train, "--learning-rate", "0"], /more than 0/],
    [[...train, "--learning-rate", ""], /must be a number/],
    [[...train, "--size", "500"], /pixels that 8 divides/],
    [[...train, "--memory", "lots"], /such as "6GB"/],
    [[...train, "--precision", "f8"], /Allowed choices are f32, f16/],
    [[...train, "--activations", "bf16"], /Allowed choices are f32, f16/],
    [[...train, "--caption", "a photo"], /has no \{\}/],
    [[...train, "--concept", "dog"], /must look like/],
    [[...train, "--concept", "<new2>=./x"], /no class word/],
    [[...train, "--concept", "<new 2> cat=./x"], /without spaces/],
    [[...train, "--concept", "<new1> cat=./x"], /two concepts use <new1>/],
    [[...train, "--concept", "<new2> cat=./x", "--initializer", "ktn"], /2 new words need as many/],
    [[...train, "--regularization", "cat=./x"], /names the class "cat"/],
    [[...train, "extra"], /too many arguments/],
    [["generate", "--model", "sd"], /no prompt given/],
    [
      ["generate", "--model", "sd", "--strength", "1", "--delta", "x", "p"],
      /goes after the --delta/,
    ],
    [["generate", "--delta", "x", "--strength", "1", "--strength", "2", "p"], /has a strength/],
    [["generate", "--delta", "x", "--strength", "much", "p"], /must be a number/],
    [["generate", "--model", "sd", "x", "--eta", "2"], /at most 1/],
    [["generate", "--model", "sd", "x", "--sampler", "heun"], /choices are ddpm, ddim, pndm/],
    [["generate", "--model", "sd", "x", "--width", "90"], /pixels that 8 divides/],
    [["generate", "--model", "sd", "x", "--image", "a", "--image-strength", "0"], /more than 0/],
    [["generate", "--model", "sd", "x", "--image-strength", "0.5"], /name one with --image/],
    [["merge", "a", "--model", "sd", "--out", "c"], /two deltas or more/],
    [["convert", "a", "--out", "c"], /--to is needed/],
    [["convert", "a", "--to", "lora", "--out", "c", "--rank", "0"], /whole number, 1 or more/],
    [["inspect"], /give a path, or --architecture/],
  ];
  for (const [args, message] of refused) {
    const { code, err, out, count } = await run(args);
    assertEquals([code, count, out], [1, 0, ""], args.join(" "));
    assertMatch(err, message);
    assert(!/\n\s+at /.test(err), `a stack for ${args.join(" ")}`);
  }
});

Deno.test("help has options and examples, and goes to stdout with code 0", async () => {
  for (const name of ["train", "generate", "merge", "convert", "inspect", "demo", "doctor"]) {
    const { code, out, err } = await run([name, "--help"]);
    assertEquals([code, err], [0, ""]);
    assertMatch(out, new RegExp(`Examples:\\n  moongate ${name}`));
  }
  assertMatch((await run([])).out, /Usage: moongate/);
  assertMatch((await run(["--version"])).out, /^\d+\.\d+\.\d+$/);
});

Deno.test("an error meant for the user is one line; any other shows its stack and asks for a report", async () => {
  const known = [
    new FileError("a.safetensors", "is cut short", "Copy it again"),
    new AdapterError("no adapter"),
    assertThrows(() => mergeConcepts({} as never)) as Error,
    new Deno.errors.NotFound("no such file: x"),
  ];
  for (const error of known) {
    const { code, err } = await run(["demo"], { demo: () => Promise.reject(error) });
    assertEquals([code, err], [1, `moongate: ${error.message}`]);
  }
  const bug = await run(["demo"], { demo: () => Promise.reject(new TypeError("x is undefined")) });
  assertEquals(bug.code, 1);
  assertMatch(bug.err, /TypeError: x is undefined\n\s+at [^]*Please report it/);
  const lines: string[] = [];
  assertEquals(report("a string", (line) => lines.push(line)), 1);
  assertMatch(lines.join("\n"), /^a string/);
  assert(!isKnown(new RangeError("x")) && isKnown(new UsageError("x")));
});

/** Signals that a test sends itself. */
function signals() {
  const listeners = new Map<string, Set<() => void>>();
  return {
    addSignalListener: (name: string, listener: () => void) =>
      void listeners.set(name, (listeners.get(name) ?? new Set()).add(listener)),
    removeSignalListener: (name: string, listener: () => void) =>
      void listeners.get(name)?.delete(listener),
    send: (name: string) => listeners.get(name)?.forEach((listener) => listener()),
    count: () => [...listeners.values()].reduce((sum, set) => sum + set.size, 0),
  };
}

Deno.test("the first Ctrl-C asks to stop, the second quits, and nothing listens afterwards", () => {
  const fake = signals(), lines: string[] = [], codes: number[] = [];
  {
    using interrupt = catchInterrupt({
      write: (line) => lines.push(line),
      exit: (code) => codes.push(code),
      signals: fake,
    });
    assertEquals(interrupt.requested, false);
    fake.send("SIGINT");
    assert(interrupt.requested && interrupt.signal.aborted);
    assertEquals(codes, []);
    assertThrows(() => interrupt.saved("moongate train … --resume"), Interrupted);
    assertEquals(lines.at(-1), "saved. Go on with: moongate train … --resume");
    fake.send("SIGINT");
    assertEquals(codes, [130]);
  }
  assertEquals(fake.count(), 0);
});

Deno.test("an interrupted verb ends with code 130 and no error", async () => {
  const { code, err } = await run(["demo"], {
    demo: (_, { interrupt }) => interrupt.saved("moongate demo"),
  });
  assertEquals([code, err], [130, "saved. Go on with: moongate demo"]);
});

Deno.test("sizes of memory and concepts without new words", () => {
  assertEquals(["6GB", "900mb", "4GiB", "1.5 G"].map(memory), [6e9, 9e8, 4 * 2 ** 30, 1.5e9]);
  assertEquals(concept(" big  dog = ./x "), {
    words: "big dog",
    tokens: [],
    category: "big dog",
    photos: "./x",
  });
  assertEquals(concept("<a> <b> dog=x").tokens, ["<a>", "<b>"]);
});
