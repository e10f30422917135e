// Wrong arguments: each public function of the tensor library names itself, the argument, what it is, and what to do.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as library from "../mod.ts";
import type { Device } from "../mod.ts";
import { alsoRight, AXES, CALLS } from "./support/argument_calls.ts";
import { testDevice } from "./support/check.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
const api = library as Any;
const x = library.tensor([[1, 2], [3, 4]]);
const vector = library.tensor([1, 2]);

/** Of the same section, but of numbers on the host: they have tests of their own. */
const HOST = ["foldIn", "keyFromSeed", "randomKey", "scalar", "tensor"];

const WRONG: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  string: "x",
  "list of numbers": [1, 2],
  Float32Array: Float32Array.of(1),
  promise: Promise.resolve(x),
  "list of a tensor": [x],
  object: { x },
  function: () => x,
  boolean: true,
  bigint: 3n,
};

const isTensor = (v: unknown) => v instanceof library.Tensor;

/** What a call throws; it must throw a TypeError. */
function refusal(name: string, args: readonly unknown[], about: string): string {
  const error = assertThrows(() => api[name](...args), Error, undefined, about);
  // An element type is an attribute of an op, as a shape is.
  assert(
    error instanceof TypeError ||
      (error instanceof library.ShapeError && / is no element type: /.test(error.message)),
    about,
  );
  return error.message;
}

const OPS = new URL("../ops/", import.meta.url).pathname;
const doors = async () =>
  (await Promise.all(["mod", "more"].map((name) => Deno.readTextFile(`${OPS}${name}.ts`)))).join(
    "\n",
  );

Deno.test("every op of the doors has a right call here", async () => {
  const names = [...(await doors()).matchAll(/\{([^}]*)\}/g)].flatMap(([, list]) =>
    list.split(",").map((n) => n.trim()).filter((n) => n && !n.startsWith("type "))
  ).filter((n) => typeof api[n] === "function");
  assert(names.length > 50);
  assertEquals(names.filter((n) => !CALLS[n] && !HOST.includes(n)), []);
  for (const [name, args] of Object.entries(CALLS)) {
    // Some give several: a list, or a record.
    const made = api[name](...args);
    assert(isTensor(made) || Object.values(made).every(isTensor), name);
  }
});

Deno.test("anything in the place of a tensor is named: the op, the argument, what it is", () => {
  for (const [name, args] of Object.entries(CALLS)) {
    for (const [i, arg] of args.entries()) {
      if (!isTensor(arg)) continue;
      for (const [kind, wrong] of Object.entries(WRONG)) {
        if (name === "linear" && i === 2 && wrong === undefined) continue; // No bias.
        const message = refusal(name, args.with(i, wrong), `${name} ${i} ${kind}`);
        assert(message.startsWith(`${name}: argument ${i + 1} `), message);
        assert(/is (undefined|null|the |a |an |true)/.test(message), message);
      }
    }
  }
});

Deno.test("numbers where lists belong, lists where numbers do, and options that do not exist", () => {
  for (const [name, args] of Object.entries(CALLS)) {
    for (const [i, arg] of args.entries()) {
      const wrongs = Array.isArray(arg)
        ? [1, "0", x, { keep: true }, ["0"]]
        : typeof arg === "number" && name !== "upsampleNearest"
        ? [undefined, x, [0], "0"]
        : typeof arg === "string"
        ? ["float32", 1, x]
        : arg !== null && typeof arg === "object" && !isTensor(arg)
        ? [1, true, [1], { keepdims: true }]
        : [];
      for (const wrong of wrongs) {
        if (alsoRight(name, i, wrong)) continue;
        const message = refusal(name, args.with(i, wrong), `${name} ${i} ${String(wrong)}`);
        assert(message.startsWith(`${name}: `), message);
      }
    }
  }
  assertThrows(
    () => api.sum(x, "1"),
    TypeError,
    'sum: argument 2 (axes) is the string "1", not a list such as [0, 1], or one axis',
  );
  assertThrows(
    () => api.sum(x, [0], { keepdims: true }),
    TypeError,
    'no option "keepdims"; it takes { keep }',
  );
  assertThrows(
    () => api.reshape([2, 2], x),
    TypeError,
    "reshape: argument 1 (x) is a list of 2 numbers",
  );
  assertThrows(
    () => api.add(x, Promise.resolve(x)),
    TypeError,
    "argument 2 is a promise (await it)",
  );
  assertThrows(() => api.concat([], 0), Error, "no tensors are given to join");
  assertThrows(() => api.concat([x, 1], 0), TypeError, "concat: part 1 is the number 1");
});

Deno.test("an axis alone is the list of it, wherever axes are taken; none is named twice, and all are there", async () => {
  const device = await testDevice() as Any;
  for (const [name, [at, option]] of Object.entries(AXES)) {
    const given = CALLS[name][at];
    const call = (axes: unknown) =>
      api[name](...CALLS[name].with(at, option ? { ...given as object, [option]: axes } : axes));
    const values = (axes: unknown) => {
      const made = [call(axes)].flat().map((t: Any) => api.evaluate(device, t));
      return Promise.all(made.map(async (t: Any) => [t.spec, await device.read(t)]));
    };
    for (const axis of [0, -1]) {
      assertEquals(await values(axis), await values([axis]), `${name} ${axis}`);
    }
    const place = option ? `options.${option}` : "axes";
    for (const axis of [3, -4, 0.5, NaN, Infinity]) {
      for (const axes of [axis, [axis]]) {
        assertThrows(() => call(axes), library.ShapeError, `${name}: axis ${axis} is out of range`);
      }
    }
    assertThrows(() => call("0"), TypeError, `${name}: `);
    if (name === "roll" || name === "slidingWindowView") continue;
    assertThrows(() => call([0, 0]), library.ShapeError, `${name}: ${place} [0,0] name one of`);
  }
  assertEquals(api.tensordot(x, x, [1, 0]).shape, api.tensordot(x, x, [[1], [0]]).shape);
  assertThrows(() => api.tensordot(x, x, [[1]]), library.ShapeError, "axes has 1 entries, not 2");
  // Whatever says "axes" in a signature takes one alone; permute names all of them by its meaning.
  const files = [...(await doors()).matchAll(/from "\.\/([^"]*)"/g)].map(([, file]) => file);
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(`${OPS}${file}`)));
  const signature = /^export (?:function|const) (\w+)[^{}]*?\baxes\??: readonly number\[\]/gm;
  const lists = [...texts.join("\n").matchAll(signature)].map(([, name]) => name);
  assertEquals(lists.filter((name) => api[name]), ["permute"]);
});

Deno.test("compile and evaluate name what they cannot take", async () => {
  const device = await testDevice() as Any;
  const f = api.compile(device, ({ a }: Any) => api.add(a, 1));
  const calls: [() => unknown, string][] = [
    [() => api.evaluate(x, device), "evaluate: argument 1 (device) is the tensor f32[2,2]"],
    [() => api.evaluate(Promise.resolve(device), x), "is a promise (await it)"],
    [() => api.evaluate(device), "evaluate: argument 2 is undefined"],
    [
      () => api.evaluate(device, { a: x, b: [x, 3] }),
      'evaluate: "b.1" is the number 3, not a tensor: scalar(x)',
    ],
    [() => api.evaluate(device, x, { fused: 1 }), 'no option "fused"'],
    [() => api.compile(f, device), "compile: argument 1 (device) is the function"],
    [
      () => api.compile(device, x),
      "compile: argument 2 (fn) is the tensor f32[2,2], not a function",
    ],
    [
      () => api.compile(device, () => x, { donated: [0] }),
      'no option "donated"; it takes { donate, fuse }',
    ],
    [() => api.compile(device, () => x, { donate: 0 }), "(options.donate) is the number 0"],
    [() => api.compile(device, () => {})(), "returned undefined: is its return missing?"],
    [() => api.compile(device, () => Promise.resolve(x))(), "returned a promise"],
    [() => api.compile(device, () => ({ loss: 3 }))(), 'its result "loss" is the number 3'],
    [() => f({ a: "x" }), 'argument 0.a is the string "x", not a tensor or a number'],
    [() => f({ a: Float32Array.of(1) }), "argument 0.a is a Float32Array of 1"],
    [() => f({ a: true }), "argument 0.a is true"],
    [() => f(null), "argument 0 is null"],
    [() => api.debugRun(x, []), "the tensor f32[2,2] is no function that compile"],
    [() => api.gpu({ hardwre: true }), 'gpu: there is no option "hardwre"'],
  ];
  for (const [call, message] of calls) {
    await assertRejects(async () => await call(), TypeError, message);
  }
});

Deno.test("derivatives and optimizers name the parameter that is none", () => {
  const loss = (p: Any) => library.sum(p.w);
  const state = library.adamInit({ w: x });
  const calls: [() => unknown, string][] = [
    [() => api.valueAndGrad(3), "valueAndGrad: argument 1 (loss) is the number 3"],
    [() => api.grad(loss)({ w: x, rate: 0.1 }), 'parameter "rate" is the number 0.1'],
    [
      () => api.valueAndGrad((p: Any) => ({ loss: loss(p) }))({ w: x }),
      "what the loss returned is an object",
    ],
    [() => api.vjp(x, [x]), "vjp: argument 1 (outputs) is the tensor f32[2,2]"],
    [() => api.vjp([[x, 1]], [x]), "the cotangent of output 0 is the number 1"],
    [() => api.vjp([], ["w"]), 'wanted 0 is the string "w"'],
    [() => api.checkpoint(x), "checkpoint: argument 1 (fn) is the tensor"],
    [() => api.checkpoint(() => 3)(), "checkpoint: the result is the number 3"],
    [() => api.adamInit({ layer: { w: x } }), 'adamInit: params["layer"] is an object with w'],
    [() => api.adamw(state, {}, { rate: 1 }), 'adamw: grads["w"] is undefined'],
    [() => api.adamw(state, { w: x }, {}), "adamw: options.rate is undefined"],
    [() => api.adamw(state, { w: x }, { rate: 1, lr: 2 }), 'no option "lr"'],
    [() => api.adamw({ w: x }, { w: x }, { rate: 1 }), "adamw: state.params is undefined"],
    [() => api.sgd({ w: x }, { v: x }, 1), 'sgd: grads["w"] is undefined'],
    [() => api.clipByGlobalNorm(x.spec, 1), 'clipByGlobalNorm: grads["shape"] is a list'],
    [() => api.mask({ w: x }, { w: [0] }), 'mask: "w" selects a list of 1 number'],
  ];
  for (const [call, message] of calls) assertThrows(call, TypeError, message);
  assertThrows(
    () => library.vjp([[x, vector]], [x]),
    library.ShapeError,
    "output 0 is f32[2,2], its cotangent f32[2]",
  );
});

Deno.test("values that are not there: lazy, leaked, freed, donated, overwritten, on another device", async () => {
  const device: Device = await testDevice();
  const other = await library.gpu();
  let leaked = x;
  const f = library.compile(device, (p: { a: library.Tensor }) => {
    leaked = p.a;
    return library.add(p.a, 1);
  });
  const taking = library.compile(device, (a: library.Tensor) => library.add(a, 1), { donate: [0] });
  const old = f({ a: x });
  const lazy = library.add(x, 1);
  f({ a: x });
  const freed = library.evaluate(device, x), donated = library.evaluate(device, x);
  device.free(freed);
  taking(donated);
  const abroad = library.evaluate(other, x);
  const outside = "has no value outside of that function. Return what is needed from there";
  const cases: [() => unknown, string][] = [
    [
      () => f({ a: lazy }),
      "argument 0.a is f32[2,2] (result of add, not computed yet): evaluate(device, t)",
    ],
    [() => device.read(leaked), outside],
    [() => library.evaluate(device, leaked), outside],
    [
      () => library.evaluate(device, library.mul(leaked, 2)),
      "an input of mul is f32[2,2] (argument 0.a of",
    ],
    [() => f({ a: leaked }), outside],
    [() => library.compile(device, (a: library.Tensor) => f({ a }))(x), "call the plain one"],
    [
      () => device.read(freed),
      "device.read: the tensor f32[2,2] is used after its memory was freed",
    ],
    [() => f({ a: freed }), "argument 0.a, f32[2,2], is used after its memory was freed"],
    [
      () => device.free(freed),
      "device.free: the tensor f32[2,2] is used after its memory was freed",
    ],
    [
      () => library.evaluate(device, library.add(freed, 1)),
      "evaluate: the tensor f32[2,2] is used after its memory was freed",
    ],
    [
      () => device.read(donated),
      "is used after its memory was donated to a compiled function: what that returned",
    ],
    [() => device.read(old), "ran again or was freed: keep a copy with evaluate(device, t)"],
    [
      () => f({ a: old }),
      "argument 0.a, f32[2,2], is used after the compiled function that made it ran again",
    ],
    [() => device.read(abroad), "device.read: the tensor f32[2,2] lies on another device"],
    [() => f({ a: abroad }), "argument 0.a, f32[2,2], lies on another device"],
    [() => device.item(x), "device.item reads one element, the tensor is f32[2,2]"],
  ];
  for (const [call, message] of cases) {
    await assertRejects(async () => await call(), Error, message);
  }
  const notTensors = [["x", 'the string "x"'], [{ a: x }, "an object with a"], [
    undefined,
    "undefined",
  ]] as const;
  for (const [wrong, is] of notTensors) {
    await assertRejects(
      () => device.read(wrong as Any),
      TypeError,
      `device.read: its argument is ${is}`,
    );
  }
  assertEquals(await device.read(x), Float32Array.of(1, 2, 3, 4), "a constant is read where it is");
  other.destroy();
});

Deno.test("gpu() starts without a word on stderr, and leaves no folder of a session behind", async () => {
  const code = `const { gpu } = await import(${
    JSON.stringify(new URL("../mod.ts", import.meta.url).href)
  });
    using device = await gpu(); console.log(Deno.env.get("XDG_RUNTIME_DIR"), device.facts.description.length > 0);`;
  const run = async (...permissions: string[]) => {
    const env = { ...Deno.env.toObject(), NO_COLOR: "1" } as Record<string, string>;
    for (const name of ["XDG_RUNTIME_DIR", "DENO_WEBGPU_BACKEND"]) delete env[name];
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-check",
        "--no-prompt",
        ...permissions,
        `data:text/javascript,${encodeURIComponent(code)}`,
      ],
      env,
      clearEnv: true,
    });
    const { code: rc, stdout, stderr } = await child.output();
    return {
      rc,
      out: new TextDecoder().decode(stdout).trim(),
      err: new TextDecoder().decode(stderr).trim(),
    };
  };
  const allowed = await run("--allow-read", "--allow-env=XDG_RUNTIME_DIR,DENO_WEBGPU_BACKEND");
  assertEquals(allowed, { rc: 0, out: "undefined true", err: "" });
});
