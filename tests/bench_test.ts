// The benchmark's own arithmetic: a table that compares wrong results, or divides the wrong way round, is worse than none.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Case, CASES, isModelCase, rightResults } from "../bench/cases/all.ts";
import {
  channelsFirst,
  channelsLast,
  deviation,
  operandsOf,
  permuted,
  placesOf,
} from "../bench/cases/case.ts";
import { Child } from "../bench/child.ts";
import { expectPython } from "../bench/peers/python.ts";
import { DEVICES } from "../bench/contenders.ts";
import { missing, options, whole } from "../bench/options.ts";
import { circumstances, joined, page, type Run, table } from "../bench/report.ts";

const softmax = CASES.find(({ name }) => name === "softmax") as Case;

Deno.test("a result that is off, too short, missing or NaN is not taken for right", () => {
  const size = 1e4;
  const places = placesOf(size);
  const right = [places.map((k) => k)];
  const all = Float32Array.from({ length: size }, (_, k) => k);
  assertEquals(deviation([size], [all], right), 0);
  const off = all.map((v, k) => k === places[3] ? NaN : v);
  assertEquals(deviation([size], [off], right), Infinity);
  assertThrows(() => deviation([size], [all.subarray(1)], right), Error, "expected");
  assertThrows(() => deviation([size], [], right), Error, "result 0");
  const close = all.map((v, k) => v + (k === places[5] ? 1 : 0));
  const error = deviation([size], [close], right);
  assert(Math.abs(error - 1 / Math.max(...places)) < 1e-9, `${error}`);
});

Deno.test("every case has a right result of every part, and small ones are compared whole", () => {
  for (const c of CASES) {
    const right = rightResults(c);
    if (isModelCase(c)) continue;
    const places = c.results.map(({ shape }) => placesOf(shape.reduce((a, b) => a * b, 1)).length);
    assertEquals(right.map(({ length }) => length), places, c.name);
  }
  assertEquals(placesOf(3), [0, 1, 2]);
  assert(placesOf(1e6).some((k) => k > 9e5) && placesOf(1e6).every((k) => k < 1e6));
});

Deno.test("operands are the same for all: whole numbers below their bound, one 1 a row, others around their shift", () => {
  const c = CASES.find(({ name }) => name === "train-transformer")!;
  assert(c.kind === "op");
  const { ids, t, tokens } = operandsOf(c);
  assert(ids.every((v) => Number.isInteger(v) && v >= 0 && v < 64) && new Set(ids).size > 32);
  for (let row = 0; row < t.length; row += 64) {
    assertEquals(t.subarray(row, row + 64).reduce((a, b) => a + b), 1);
  }
  assert(tokens.every((v) => Math.abs(v) <= 0.3) && tokens.some((v) => Math.abs(v) > 0.29));
});

const outcome = (peer: string, ...ms: number[]) => ({ peer, case: "softmax", ms });
const ran: Run = {
  device: "cpu",
  machines: [{ name: "a machine", busy: 0.25 }, { name: "a machine", busy: 0.01 }],
  outcomes: [
    { ...outcome("PyTorch", 1, 1, 1), library: "PyTorch 2" },
    outcome("jax-js jit", 5, 4, 6),
    outcome("moongate", 2, 1, 3, 2, 4),
    outcome("jax-js", 9, 9, 9),
    { peer: "tfjs", case: "softmax", failure: "wrong by 1" },
    { peer: "onnxruntime-web", case: "softmax" },
  ],
};

Deno.test("the ratio is the best peer's time over ours; neither wrong results nor native libraries are peers", () => {
  assertEquals(
    table(ran).split("\n").at(-1),
    "| softmax 4096×256 | 2.00 | 9.00 | 5.00 | wrong | – | **2.50×** | 4.00× | 1.00 | 0.500× |",
  );
  const said = circumstances(ran);
  for (
    const part of [
      "Machine: a machine; other work took at most 25.0 %",
      "Batches: 3 of each",
      "PyTorch 2",
    ]
  ) {
    assert(said.includes(part), said);
  }
});

Deno.test("a section takes the place of its device's alone", () => {
  const mark = (device: string) => `<!-- deno task bench, ${device} -->`;
  const before = `a\n${mark("cpu")}\nold\n<!-- end -->\nb\n${mark("webgpu")}\nold\n<!-- end -->\n`;
  const cpu = page(before, "cpu", "new");
  assertEquals(cpu, before.replace("old\n", "\nnew\n\n"));
  assertEquals(page(cpu, "cpu", "new"), cpu);
  const both = page(cpu, "webgpu", "new");
  assertEquals(both.split("new").length, 3);
  assertThrows(() => page("a", "cpu", "new"), Error, 'no "<!-- deno');
  const kept = Deno.readTextFileSync(new URL("../docs/benchmarks.md", import.meta.url));
  for (const device of DEVICES) assert(page(kept, device, "new").includes("\nnew\n"));
});

Deno.test("what was measured before is kept with what is measured now, which takes its place", () => {
  const now: Run = {
    ...ran,
    machines: [{ name: "b", busy: 0 }],
    outcomes: [outcome("moongate", 7)],
  };
  const both = joined(ran, now);
  assertEquals(both.outcomes.length, ran.outcomes.length);
  assertEquals(both.outcomes.filter((o) => o.peer === "moongate"), [outcome("moongate", 7)]);
  assertEquals(both.machines.length, 3);
  assertEquals(joined(undefined, now), now);
  assertThrows(() => joined({ ...ran, device: "webgpu" }, now), Error, "webgpu");
});

Deno.test("axes are permuted as in numpy.transpose, and back", () => {
  const image = { shape: [2, 3, 4, 5], layout: "image" } as const;
  const values = Float32Array.from({ length: 120 }, (_, i) => i);
  const first = channelsFirst(values, image);
  assertEquals([first.shape, first.data[1]], [[2, 5, 3, 4], 5]);
  assertEquals(channelsLast(first.data, image), values);
  assertEquals([...permuted([0, 1, 2, 3, 4, 5], [1, 2, 3], [2, 0, 1])], [0, 3, 1, 4, 2, 5]);
});

Deno.test("the command line takes known names only, and writes the page for whole runs only", () => {
  assertEquals(options(["--cases=softmax", "--rounds=2"]).cases, [softmax]);
  assertThrows(() => options(["--cases=soft"]), Error, "none of");
  assertThrows(() => options(["--rounds=0"]), Error, "positive");
  assertThrows(() => options(["--quick"]), Error, "Unknown option");
  assertThrows(() => options(["--device=gpu"]), Error, "none of cpu, webgpu");
  assertThrows(() => options(["--peers=PyTorch"]), Error, "--python=PATH");
  const { peers, cases } = options(["--write", "--python=p"]);
  const names = (of: readonly { name: string }[]) => of.map(({ name }) => name);
  assertEquals(names(cases), names(CASES));
  assertEquals([peers[0].name, peers.at(-1)!.name], ["moongate", "PyTorch"]);
  assertEquals(missing(whole("cpu"), names(cases), names(peers)), []);
  assertEquals(
    missing(whole("cpu"), ["softmax"], ["moongate"]).slice(0, 2),
    ["matmul-512", "matmul-1024"],
  );
  assertEquals(missing(whole("cpu"), names(cases), names(peers.slice(0, -1))), ["PyTorch"]);
  assertEquals(
    missing(whole("webgpu"), names(cases.filter((c) => !isModelCase(c))), names(peers)),
    [],
  );
});

Deno.test("a process that answers is asked; one that dies or is silent says why", async () => {
  const child = (code: string, limit = 20_000) => new Child(Deno.execPath(), ["eval", code], limit);
  const echo = child(
    `console.log("noise"); console.log('outcome {"ready":true}');
    for await (const chunk of Deno.stdin.readable) console.log("outcome " + chunk.length);`,
  );
  assertEquals(await echo.ask(), { ready: true });
  assertEquals(await echo.ask("four"), 5);
  echo.end();
  await assertRejects(() => child("throw new Error('no luck')").ask(), Error, "no luck");
  await assertRejects(
    () => child("setTimeout(() => {}, 1e5)", 1000).ask(),
    Error,
    "no answer in 1 s",
  );
  const missing = new Child("/nowhere/python", [], 20_000);
  await assertRejects(() => missing.ask(), Error, "/nowhere/python");
});

Deno.test("a Python is looked at before anything is measured: none, another program, one that lacks a library", async () => {
  await assertRejects(() => expectPython(""), Error, "no program");
  await assertRejects(() => expectPython("/nowhere/python"), Error, "/nowhere/python");
  await assertRejects(() => expectPython("true"), Error);
  const folder = await Deno.makeTempDir();
  const fake = `${folder}/python`;
  const says = async (outcome: string) => {
    await Deno.writeTextFile(fake, `#!/bin/sh\necho 'outcome ${outcome}'\n`, { mode: 0o755 });
    return await expectPython(fake);
  };
  await assertRejects(() => says('["diffusers"]'), Error, "it has no diffusers");
  await says("[]");
  await Deno.remove(folder, { recursive: true });
});
