/** The libraries that are compared, each with the file that measures it, and where they compute. */

/** Where a run computes: libraries on one device only are compared with each other. */
export const DEVICES = ["cpu", "webgpu"] as const;
export type DeviceName = typeof DEVICES[number];

/** A library on a device. */
export interface Contender {
  readonly name: string;
  readonly device: DeviceName;
  /** Its file beside this one. */
  readonly file: string;
  readonly args?: readonly string[];
  /** Compiled for the machine, so no rival of what runs in a browser: it stands behind them, for comparison. */
  readonly native?: true;
  /** Runs the miniature, too. */
  readonly models?: true;
}

const EVERYWHERE: readonly Omit<Contender, "device">[] = [
  { name: "moongate", file: "peers/moongate.ts", models: true },
  { name: "jax-js", file: "peers/jax.ts" },
  { name: "jax-js jit", file: "peers/jax.ts", args: ["--jit"] },
  { name: "tfjs", file: "peers/tfjs.ts" },
  { name: "onnxruntime-web", file: "peers/onnxruntime.ts" },
];

/** The contenders; on each device moongate comes first. */
export const CONTENDERS: readonly Contender[] = [
  ...DEVICES.flatMap((device) => EVERYWHERE.map((c) => ({ ...c, device }))),
  // As it is, it starts no threads in Deno.
  { name: "tfjs threads", device: "cpu", file: "peers/tfjs.ts", args: ["--threads"] },
  {
    name: "onnxruntime-node",
    device: "cpu",
    file: "peers/onnxruntime.ts",
    args: ["--native"],
    native: true,
  },
  { name: "PyTorch", device: "cpu", file: "peers/pytorch.ts", native: true, models: true },
];

/** What needs a Python to run. */
export const takesPython = ({ name }: Contender): boolean => name === "PyTorch";
