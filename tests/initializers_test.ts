// Initializers: of the variance that their papers ask for, by key, whatever the shape.
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { initializers as init } from "../optim/mod.ts";
import { interpret } from "../compile/interpret.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { test } from "./support/devices.ts";

const KEY = m.randomKey(5);
const values = (t: Tensor) => interpret([t])[0];
const variance = (x: Float64Array) => x.reduce((s, v) => s + v * v, 0) / x.length;

Deno.test("variances are those of the papers, of linear's weights, of conv's, and along named axes", () => {
  const linear = [300, 50], conv = [3, 3, 40, 60];
  const cases: [string, init.Initializer, number[], number][] = [
    ["heNormal", init.heNormal(), linear, 2 / 50],
    ["heUniform", init.heUniform(), linear, 2 / 50],
    ["glorotNormal", init.glorotNormal(), linear, 2 / 350],
    ["glorotUniform", init.glorotUniform(), linear, 2 / 350],
    ["lecunNormal", init.lecunNormal(), linear, 1 / 50],
    ["lecunUniform", init.lecunUniform(), linear, 1 / 50],
    ["heNormal of a window", init.heNormal(), conv, 2 / 360],
    ["by what goes out", init.varianceScaling({ mode: "out" }), conv, 1 / 540],
    ["JAX's axes", init.heNormal({ inAxis: -2, outAxis: -1 }), linear, 2 / 300],
    ["normal", init.normal(0.5), linear, 0.25],
    ["uniform", init.uniform(3), linear, 3],
    ["truncated", init.truncatedNormal(0.1), linear, 0.01 * 0.7737],
    ["orthogonal", init.orthogonal(), linear, 1 / 300],
  ];
  for (const [name, make, shape, expected] of cases) {
    const x = values(make(KEY, shape)), v = variance(x);
    // Of 15,000 draws and more a variance is known to 1.2 %.
    assert(Math.abs(v / expected - 1) < 0.05, `${name}: ${v}, not ${expected}`);
    assertEquals([...values(make(KEY, shape))], [...x], "the same key draws the same");
    assert(values(make(m.foldIn(KEY, 1), shape))[0] !== x[0]);
  }
  const cut = values(init.heNormal()(KEY, linear));
  assert(cut.every((v) => Math.abs(v) <= 2 * Math.sqrt(2 / 50) / 0.8796));
});

Deno.test("orthogonal rows or columns, whichever are fewer, of windows too, and none preferred", () => {
  const cases: [number[], number][] = [[[4, 7], 0], [[7, 4], 0], [[2, 3, 4], 2], [[3, 5], 1]];
  for (const [shape, axis] of cases) {
    const t = init.orthogonal({ gain: 2, axis })(KEY, shape);
    assertEquals(t.shape, shape);
    const rank = shape.length, out = shape[axis];
    const order = [axis, ...[...Array(rank).keys()].filter((i) => i !== axis)];
    const rows = values(m.reshape(m.permute(t, order), [out, t.size / out])), rest = t.size / out;
    const [few, at] = out <= rest
      ? [out, (i: number, k: number) => rows[i * rest + k]]
      : [rest, (i: number, k: number) => rows[k * rest + i]];
    for (let a = 0; a < few; a++) {
      for (let b = 0; b < few; b++) {
        let dot = 0;
        for (let k = 0; k < Math.max(out, rest); k++) dot += at(a, k) * at(b, k);
        assert(Math.abs(dot - (a === b ? 4 : 0)) < 1e-5, `${shape}: ${a}, ${b}: ${dot}`);
      }
    }
  }
  // Haar: the mean of an element is 0, which it would not be if signs were fixed.
  let sum = 0;
  for (let i = 0; i < 2000; i++) sum += values(init.orthogonal()(m.foldIn(KEY, i), [2, 2]))[0];
  assert(Math.abs(sum / 2000) < 4 / Math.sqrt(2 * 2000), `mean ${sum / 2000}`);
});

test("within a program, by a key that is an argument, in f16", async (device) => {
  const make = m.compile(device, (key: Tensor) => {
    const [a, b] = m.randomSplit(key);
    return {
      w: init.heNormal()(a, [6, 5]),
      h: m.cast(init.glorotUniform()(b, [4, 4], "f16"), "f32"),
    };
  });
  const made = make(KEY);
  const [a, b] = m.randomSplit(KEY);
  assertEquals(
    [...await device.read(made.w)],
    [...await device.read(m.evaluate(device, init.heNormal()(a, [6, 5])))],
  );
  const drawn = Float64Array.from(await device.read(made.h) as Float32Array);
  values(init.glorotUniform()(b, [4, 4])).forEach((v, i) => assert(Math.abs(v - drawn[i]) < 1e-3));
});

Deno.test("constants, nothing, and what can't be drawn", () => {
  assertEquals([...values(init.zeros(KEY, [2]))], [0, 0]);
  assertEquals([...values(init.ones(KEY, [2]))], [1, 1]);
  assertEquals(init.constant(3)(KEY, [2], "i32").dtype, "i32");
  assertEquals(init.heNormal()(KEY, [0, 3]).shape, [0, 3]);
  assertEquals(init.heNormal()(KEY, [3, 0]).shape, [3, 0]);
  assertEquals(init.orthogonal()(KEY, [0, 3]).shape, [0, 3]);
  // deno-lint-ignore no-explicit-any
  const any = init as any;
  const cases: [() => unknown, string][] = [
    [() => init.heNormal()(KEY, [3]), "[3] has no axes for what comes in and goes out"],
    [() => init.heNormal({ inAxis: 0, outAxis: 0 })(KEY, [3, 4]), "axis 0 of [3,4] is both"],
    [() => init.heNormal({ inAxis: 5 })(KEY, [3, 4]), "axis"],
    [
      () => any.varianceScaling({ mode: "fan_in" }),
      'options.mode is "fan_in", not one of in,out,average',
    ],
    [() => any.varianceScaling({ scale: -1 }), "options.scale is -1"],
    [() => any.heNormal({ axis: 1 })(KEY, [3, 4]), 'no option "axis"'],
    [() => any.heNormal()(3, [3, 4]), "argument 1 (key) is the number 3"],
    [() => init.orthogonal()(KEY, [3]), "[3] is no matrix"],
    [() => init.orthogonal({ gain: NaN }), "options.gain is NaN"],
    [() => init.orthogonal()(m.add(KEY, 1), [2, 2]), "is not known on the host"],
    [() => init.normal(-1), "(deviation) is -1"],
  ];
  for (const [call, message] of cases) assertThrows(call, Error, message);
});
