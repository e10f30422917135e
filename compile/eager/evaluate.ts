/**
 * Eager use: tensors are computed now. What was computed before with the same ops and shapes is not traced, planned or
 * compiled again, and is not waited for; a call costs little more than handing over its kernels.
 */
import { expectTensor, type Tensor } from "../../tensor/tensor.ts";
import { expectOptions } from "../../tensor/arguments.ts";
import { show } from "../../tensor/shape.ts";
import { flatten, refill, type Tree } from "../../tensor/tree.ts";
import { arrayTensor } from "../../ops/leaf.ts";
import { Device, deviceStorage, expectDevice } from "../../device/device.ts";
import { DeviceError } from "../../device/errors.ts";
import { Single } from "./single.ts";
import { hostValuesOf, split } from "./tape.ts";

/** Kernels of all programs that a device keeps, and bytes of constants up to which one is kept. */
const KEPT = { kernels: 4096, bytes: 1 << 16 } as const;

/** The programs of a device, those that were used last at the end. */
class Known {
  readonly #programs = new Map<string, Single>();
  #kernels = 0;

  constructor(readonly device: Device) {}

  /** Computes tensors into memory of their own. */
  run(results: readonly Tensor[], fuse: boolean): Tensor[] {
    const tape = split(results, fuse ? "" : "alone ");
    const { key, arrays, hosted } = tape;
    const values = arrays.map((t) => {
      const storage = deviceStorage("evaluate", t);
      if (this.device.buffers.has(storage.buffer)) return storage;
      throw new DeviceError(`evaluate: the tensor ${show(t.spec)} lies on another device`);
    });
    let program = key === undefined ? undefined : this.#programs.get(key);
    if (program?.refused) {
      this.#drop(key!, program, true);
      program = undefined;
    }
    const found = program !== undefined;
    if (!program) {
      program = this.device.pipelines.preparing(() => new Single(this.device, results, tape, fuse));
    }
    const keeps = key !== undefined && program.constantBytes <= KEPT.bytes;
    let good = false;
    try {
      const storages = program.run(values, hosted.map(hostValuesOf));
      good = true;
      return storages.map((s, i) => arrayTensor(this.device.buffers.made(s), results[i].spec));
    } finally {
      if (!keeps) program.free();
      else if (good) this.#keep(key, program, found);
      else this.#drop(key, program, found);
    }
  }

  #keep(key: string, program: Single, found: boolean): void {
    // Set anew, it is the last to go.
    if (found) this.#programs.delete(key);
    else {
      this.#kernels += program.length;
      program.setAside(1);
    }
    this.#programs.set(key, program);
    while (this.#kernels > KEPT.kernels && this.#programs.size > 1) {
      const [oldest, old] = this.#programs.entries().next().value!;
      this.#drop(oldest, old, true);
    }
  }

  #drop(key: string, program: Single, found: boolean): void {
    if (found) {
      this.#programs.delete(key);
      this.#kernels -= program.length;
      program.setAside(-1);
    }
    program.free();
  }
}

const devices = new WeakMap<Device, Known>();

/** Computes tensors of a device, each into memory of its own. */
function computed(device: Device, tensors: readonly Tensor[], fuse: boolean): Tensor[] {
  let known = devices.get(device);
  if (!known) devices.set(device, known = new Known(device));
  return known.run(tensors, fuse);
}

/**
 * Computes tensors now, each into memory of its own. Their memory comes back when nobody can reach them any more; `device.free`
 * gives it back at once, `device.scope` that of all that was made meanwhile.
 *
 * The first call with ops of some shapes compiles them, further ones don't: numbers and constants are arguments of what was
 * compiled.
 *
 * @param tree a tensor, or lists and plain objects of tensors; what comes back has the same form
 * @throws TypeError when something in it is no tensor, or made of the arguments of a function that is being traced
 * @throws DeviceError when the memory of a tensor that is needed was freed, donated or overwritten
 */
export function evaluate<R>(device: Device, tree: R, options: { fuse?: boolean } = {}): R {
  expectDevice("evaluate", device);
  expectOptions("evaluate", 2, options, { fuse: "true or false" });
  if (tree === undefined) expectTensor("evaluate", "argument 2", tree);
  const leaves = flatten<unknown>(tree as Tree<unknown>).map(([path, t]) => {
    expectTensor("evaluate", path ? `"${path}"` : "argument 2", t);
    return t;
  });
  return refill(tree as Tree<Tensor>, computed(device, leaves, options.fuse ?? true)) as R;
}

// A device lies below what compiles for it; reading a tensor computes it.
Device.computes((device, t) => computed(device, [t], true)[0]);
