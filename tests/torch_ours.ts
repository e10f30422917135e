/** A checkpoint with something of everything that can be written. Run with a path, it writes it: `golden/checkpoints.py` does, and reads it. */
import { type TorchToWrite, writeTorch } from "../files/torch/write.ts";

/** Something of everything that can be written. */
export const ours = (): TorchToWrite =>
  new Map<string, TorchToWrite>([
    ["f32", { shape: [2, 3], data: Float32Array.of(1, 2.5, -3, 0, Infinity, 1e-30) }],
    ["f16", { shape: [2], data: Float32Array.of(0.1, -2), dtype: "F16" }],
    ["bf16", { shape: [1, 1], data: Float32Array.of(0.1), dtype: "BF16" }],
    ["i64", { shape: [2], data: BigInt64Array.of(-1n, 2n ** 40n) }],
    ["u8", { shape: [0, 2], data: new Uint8Array(0) }],
    ["later", { shape: [], data: () => Promise.resolve(Float32Array.of(7)), dtype: "F32" }],
    ["nested", new Map<string, TorchToWrite>([["<new1> ü", new Map()], ["list", [1, "a", []]]])],
    ["numbers", [3, -3, 2 ** 40, 0.5, -0, 1e300, true, false, null]],
  ]);

if (import.meta.main) await writeTorch(Deno.args[0], ours());
