/** How `gemm.ts` and `norms.ts` time single functions of our own: one warm program, many replays, one wait. */
import { compile } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { duration } from "../numerics/quantities.ts";

/** One measured function of tensors. */
export interface Case {
  readonly name: string;
  readonly shapes: readonly Shape[];
  readonly f: (...xs: Tensor[]) => Tensor;
}

/** How long, and how often. */
interface Rounds {
  /** Milliseconds of a round. */
  readonly length: number;
  readonly rounds: number;
}

type Program = ReturnType<ReturnType<typeof compile>["program"]>["blueprint"];

async function time(device: Device, { shapes, f }: Case, { length, rounds }: Rounds) {
  const random = (n: number) => Float32Array.from({ length: n }, () => Math.random() - 0.5);
  const args = shapes.map((s) => device.upload(random(sizeOf(s)), s, "f32"));
  const probe = device.upload(new Float32Array(4), [4], "f32");
  const step = compile(device, f);
  const timed = async (runs: number) => {
    const start = performance.now();
    for (let i = 0; i < runs; i++) step(...args);
    await device.read(probe);
    return (performance.now() - start) / runs;
  };
  const { blueprint } = step.program(...args);
  const first = await timed(1);
  let best = await timed(1);
  const runs = Math.max(1, Math.min(200, Math.round(length / best)));
  for (let i = 0; i < rounds; i++) best = Math.min(best, await timed(runs));
  step.free();
  device.free(...args, probe);
  return { best, first, blueprint };
}

/**
 * Times the cases whose names hold the command line's first word, and prints a line each.
 *
 * @param rate what the best time in ms comes to, in words
 * @param more what else the program's line says
 */
export async function printTimes(
  cases: readonly Case[],
  how: Rounds,
  rate: (of: Case, blueprint: Program, best: number) => string,
  more: (blueprint: Program) => string,
): Promise<void> {
  const device = await gpu();
  console.log(device.facts.description);
  const part = Deno.args[0] ?? "";
  for (const one of cases.filter(({ name }) => name.includes(part))) {
    const { best, first, blueprint } = await time(device, one, how);
    console.log(
      `${one.name.padEnd(48)} ${duration(best / 1000).padStart(9)} ${rate(one, blueprint, best)}` +
        `   first ${duration(first / 1000).padStart(8)}   ${more(blueprint)}`,
    );
  }
  device.destroy();
}
