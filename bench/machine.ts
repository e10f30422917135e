/** What a run computed on, and how busy that was: figures without it compare with nothing. */
import os from "node:os";

/** How much of all cores' time other work takes, over a second, from 0 to 1. */
async function busy(): Promise<number> {
  const times = () => {
    const all = os.cpus().map((cpu) => cpu.times);
    const idle = all.reduce((sum, t) => sum + t.idle, 0);
    return { idle, total: all.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.irq, idle) };
  };
  const before = times();
  await new Promise((done) => setTimeout(done, 1000));
  const after = times();
  return 1 - (after.idle - before.idle) / Math.max(1, after.total - before.total);
}

/** Vector units that decide what a core can do, where the system lists them. */
async function vectors(): Promise<string> {
  const flags = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  const found = [["avx512f", "AVX-512"], ["avx2", "AVX2"], ["asimd", "NEON"]]
    .find(([flag]) => flags.includes(flag));
  return found ? `, ${found[1]}` : "";
}

/** Where and when a run was. */
export interface Machine {
  /** "AMD EPYC, 2 cores, AVX2; Deno 2.9.6". */
  readonly name: string;
  /** What other work took of the cores' time when it began, from 0 to 1. */
  readonly busy: number;
}

/** This machine, now. */
export async function machine(): Promise<Machine> {
  const cores = os.cpus();
  const model = cores[0]?.model.trim() || "a CPU without a name";
  return {
    name: `${model}, ${cores.length} cores${await vectors()}; Deno ${Deno.version.deno}`,
    busy: await busy(),
  };
}
