// Every public function, called with nonsense: what it throws begins with its own name, whatever failed underneath.
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as library from "../mod.ts";
import { calledAs, theirs } from "../tensor/called.ts";
import { CALLS } from "./support/argument_calls.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
const { optim, tensor } = library;
const { initializers } = optim as Any;

const NONSENSE: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  text: "nothing",
  NaN: NaN,
  "below 0": -1,
  fraction: 0.5,
  true: true,
  "no object": {},
  "no list": [],
  "list of NaN": [NaN],
  scalar: tensor(1),
  "7 axes": library.zeros([1, 1, 1, 1, 1, 1, 1]),
  integers: tensor([1, 2], [2], "i32"),
  "truth values": tensor([true, false]),
  "5 elements": library.ones([5]),
  "beyond f32": 1e39,
  "function of nothing": () => 3,
};

/** What a call is that is not to be made here: it takes over the thread. */
const LEFT_OUT = ["serveExamples"];

/** What was thrown in another's name, or by nobody; how many calls threw is counted. */
class Sweep {
  readonly odd: string[] = [];
  thrown = 0;
  options = 0;
  async call(name: string, about: string, f: () => unknown, alias = name): Promise<void> {
    try {
      await f();
    } catch (error) {
      this.thrown++;
      assert(error instanceof Error, name);
      // A file is named by its path, and so is a matrix of the merge: their errors are of classes of their own.
      if (error instanceof library.FileError || error instanceof library.MergeError) return;
      const known = error instanceof TypeError || error instanceof RangeError ||
        error instanceof library.ShapeError;
      const named = [name, alias].some((n) => error.message.startsWith(`${n}: `));
      // What is printed of an error that nobody catches.
      const printed = error.stack?.includes(error.message);
      if (known && named && printed) return;
      this.odd.push(`${name} ${about}: ${error.name}: ${error.message.slice(0, 120)}`);
    }
  }
}

/** Right calls with one option of every function replaced by something, found by what refuses one that there is not. */
function* withOption(
  f: (...args: unknown[]) => unknown,
  args: readonly unknown[],
): Generator<[option: string, call: (wrong: unknown) => readonly unknown[]]> {
  for (let at = 1; at <= args.length; at++) {
    let message = "";
    try {
      f(...args.slice(0, at), { "no option": 1 }, ...args.slice(at + 1));
    } catch (error) {
      message = (error as Error).message;
    }
    for (
      const option of /"no option"; it takes \{ ([^}]*) \}/.exec(message)?.[1].split(", ") ?? []
    ) {
      yield [option, (wrong) => [
        ...args.slice(0, at),
        { ...args[at] as object, [option]: wrong },
        ...args.slice(at + 1),
      ]];
    }
  }
}

/** A function with nothing, with one to four times the same, and with one argument, or one option, of a right call replaced. */
async function sweep(api: Record<string, unknown>, right: typeof CALLS = {}): Promise<Sweep> {
  const all = new Sweep();
  for (const [name, f] of Object.entries(api) as [string, Any][]) {
    if (typeof f !== "function" || /^class\b/.test(String(f)) || LEFT_OUT.includes(name)) continue;
    const call = (about: string, args: readonly unknown[]) =>
      all.call(name, about, () => f(...args), f.name);
    await call("()", []);
    for (const [kind, wrong] of Object.entries(NONSENSE)) {
      for (let n = 1; n <= Math.min(4, Math.max(1, f.length)); n++) {
        await call(`${n} × ${kind}`, Array(n).fill(wrong));
      }
      for (const i of right[name]?.keys() ?? []) {
        await call(`${kind} at ${i}`, right[name].with(i, wrong));
      }
    }
    for (const [option, args] of withOption(f, right[name] ?? [])) {
      all.options++;
      for (const [kind, wrong] of Object.entries(NONSENSE)) {
        await call(`${option}: ${kind}`, args(wrong));
      }
    }
  }
  return all;
}

Deno.test("whatever a public function is given, its errors begin with its name", async () => {
  const before = Deno.cwd(), folder = await Deno.makeTempDir();
  try {
    Deno.chdir(folder);
    const { odd, thrown, options } = await sweep(library as Any, CALLS);
    assertEquals(odd, []);
    assert(thrown > 10_000 && options > 200, `${thrown} ${options}`);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("so do those of training: schedules, transformations, initializers", async () => {
  const before = Deno.cwd(), folder = await Deno.makeTempDir();
  try {
    Deno.chdir(folder);
    const training = await sweep(optim as Any), drawing = await sweep(initializers);
    assertEquals([...training.odd, ...drawing.odd], []);
    assert(training.thrown > 600 && drawing.thrown > 200, `${training.thrown} ${drawing.thrown}`);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an optimizer speaks for its chain: options, gradients, states", async () => {
  const all = new Sweep();
  const params = { w: tensor([1, 2]) };
  for (const name of ["sgd", "adam", "adamw", "lion", "rmsprop", "adafactor"]) {
    const make = (optim as Any)[name];
    const unknown = assertThrows(() => make({ nothing: 1 }), TypeError);
    const options = /it takes \{ ([^}]*) \}/.exec(unknown.message)![1].split(", ");
    for (const [kind, wrong] of Object.entries(NONSENSE)) {
      for (const option of options) {
        const given = { rate: 0.1, [option]: wrong };
        await all.call(name, `${option} ${kind}`, () => {
          // Some are looked at when they are used: a mask needs parameters.
          const { init, update } = make(given);
          update(params, init(params), params);
        });
      }
      const { init, update } = make({ rate: 0.1 });
      const state = init(params);
      await all.call(name, `init ${kind}`, () => init({ w: wrong }));
      await all.call(name, `gradients ${kind}`, () => update({ w: wrong }, state, params));
      await all.call(name, `state ${kind}`, () => update(params, wrong, params));
      await all.call(name, `parameters ${kind}`, () => update(params, state, { w: wrong }));
    }
    for (const option of ["rate", "momentum", "decay", "beta1", "clip"]) {
      if (!options.includes(option)) continue;
      const message = `${name}: options.${option} is -1`;
      assertThrows(() => make({ rate: 1, [option]: -1 }), RangeError, message);
    }
  }
  assertEquals(all.odd, []);
  assert(all.thrown > 400, `${all.thrown}`);
});

Deno.test("an initializer speaks for what it draws with, when it draws", async () => {
  const all = new Sweep(), key = library.randomKey(1);
  for (const [name, maker] of Object.entries(initializers) as [string, Any][]) {
    if (name === "fans") continue;
    const draw = ["zeros", "ones"].includes(name)
      ? maker
      : name === "constant"
      ? maker(1)
      : maker();
    assert(draw(key, [2, 3]) instanceof library.Tensor, name);
    for (const [kind, wrong] of Object.entries(NONSENSE)) {
      await all.call(name, `key ${kind}`, () => draw(wrong, [2, 3]));
      await all.call(name, `shape ${kind}`, () => draw(key, wrong));
      await all.call(name, `dtype ${kind}`, () => draw(key, [2, 3], wrong));
    }
    await all.call(name, "not called before", () => maker(key, [2, 3], "x"));
  }
  assertEquals(all.odd, []);
  assert(all.thrown > 200, `${all.thrown}`);
});

Deno.test("what is said anew: parts and places, in the stack too; errors of the caller's functions are left alone", () => {
  const part = (message: string) => () => {
    throw new RangeError(message);
  };
  const places = {
    "argument 1 (rate)": "options.rate",
    "trace: argument 1 (decay)": "options.momentum",
  };
  const said: [string, string][] = [
    ["scaleByRate: argument 1 (rate) is -1", "adam: options.rate is -1"],
    ["trace: argument 1 (decay) is 2", "adam: options.momentum is 2"],
    ["ema: argument 1 (decay) is 2", "adam: argument 1 (decay) is 2"],
    ["adam: no $& more", "adam: no $& more"],
    ["a text with no name: it stays", "a text with no name: it stays"],
  ];
  for (const [before, after] of said) {
    const error = assertThrows(() => calledAs("adam", part(before), places), RangeError);
    assertEquals(error.message, after);
    assert(error.stack!.includes(after));
  }
  const own = () => calledAs("adam", () => theirs(part("scale: mine")));
  assertEquals(assertThrows(own, Error).message, "scale: mine");
  const masked = optim.adamw({ rate: 1, mask: part("scale: mine") });
  const w = { w: tensor([1]) };
  assertEquals(
    assertThrows(() => masked.update(w, masked.init(w), w), Error).message,
    "scale: mine",
  );
});
