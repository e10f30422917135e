/**
 * A golden file: what PyTorch computed with a model, and from what. Names and layouts are PyTorch's; everything that is
 * read from it is checked first, and a fault is refused by the tensor's name.
 */
import { FileError } from "../../files/errors.ts";
import { openSafetensors, type TensorSource } from "../../files/safetensors/read.ts";
import { tensor } from "../../ops/leaf.ts";
import { expand } from "../../ops/broadcast.ts";
import { permute, reshape } from "../../ops/movement.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { TRAINS, type Trains } from "../training/methods.ts";

/** A golden file. Close it when done. */
export class Gold {
  /** @param source the opened file */
  constructor(readonly source: TensorSource) {}

  /** Opens a file. Throws {@linkcode FileError} when it is no safetensors file. */
  static async open(path: string): Promise<Gold> {
    return new Gold(await openSafetensors(path));
  }

  /** Whether it holds a tensor. */
  has(name: string): boolean {
    return this.source.tensors.has(name);
  }

  /** Names that begin with a prefix, without it. */
  names(prefix: string): string[] {
    return [...this.source.tensors.keys()].filter((n) => n.startsWith(prefix))
      .map((n) => n.slice(prefix.length));
  }

  /** A tensor's extents. */
  shape(name: string): readonly number[] {
    return this.source.tensors.get(name)!.shape;
  }

  /** Refuses the file where it holds a result without all that the result is computed from. */
  demand(result: string, inputs: readonly string[]): void {
    const missing = inputs.filter((name) => !this.has(name));
    if (!missing.length) return;
    throw this.fault(
      `holds "${result}" but lacks ${missing.join(", ")}, which it is computed from`,
      `Write ${missing.length > 1 ? "them" : "it"} too, or leave "${result}" out`,
    );
  }

  /** Refuses a tensor of another shape. */
  expect(name: string, shape: readonly number[]): void {
    const held = this.shape(name);
    if (held.join() !== shape.join()) throw this.misshapen(name, `[${shape}]`);
  }

  /** Real numbers, in the file's layout. */
  real(name: string): Promise<Float32Array> {
    return this.source.readFloat32(name);
  }

  /**
   * A batch of feature maps, NCHW in the file, NHWC in the engine.
   *
   * @param grain what both sides are multiples of
   */
  async maps(name: string, channels: number, grain = 1): Promise<Tensor> {
    const [, c, h, w] = this.shape(name);
    if (this.shape(name).length !== 4 || c !== channels || h % grain || w % grain) {
      const sides = grain > 1 ? ` with h and w divisible by ${grain}` : "";
      throw this.misshapen(name, `[B,${channels},h,w]${sides}`);
    }
    return permute(tensor(await this.real(name), this.shape(name)), [0, 2, 3, 1]);
  }

  /** Features of prompts, `[B, T, width]`. */
  async features(name: string, width: number): Promise<Tensor> {
    const shape = this.shape(name);
    if (shape.length !== 3 || shape[2] !== width) throw this.misshapen(name, `[B,T,${width}]`);
    return tensor(await this.real(name), shape);
  }

  /** A mask over latents, `[B, 1, h, w]`, `[B, h, w]`, or the same for each of their channels, as `[B, h, w]`. */
  async mask(name: string, [b, h, w, c]: readonly number[]): Promise<Tensor> {
    const shape = this.shape(name).join();
    const channels = shape === [b, c, h, w].join() ? c : 1;
    if (channels === 1 && shape !== [b, 1, h, w].join() && shape !== [b, h, w].join()) {
      throw this.misshapen(name, `[${b},1,${h},${w}]`);
    }
    const kind = this.source.tensors.get(name)!.dtype;
    const values = kind === "BOOL" || kind === "U8"
      ? Float32Array.from((await this.source.read(name)).data as Uint8Array)
      : await this.real(name);
    const cells = h * w,
      first = (i: number) => Math.floor(i / cells) * cells * channels + i % cells;
    const plane = Float32Array.from({ length: b * cells }, (_, i) => values[first(i)]);
    const at = (i: number) => Math.floor(i / (cells * channels)) * cells + i % cells;
    if (values.some((v, i) => v !== plane[at(i)])) {
      throw this.fault(`tensor "${name}" differs between channels`, "It must be the same for all");
    }
    return tensor(plane, [b, h, w]);
  }

  /** Whole numbers below a bound. */
  async whole(name: string, below: number): Promise<Uint32Array> {
    const { data, dtype } = await this.source.read(name);
    const numbers = Float64Array.from(data as ArrayLike<unknown> as number[], Number);
    const wrong = numbers.find((n) => !Number.isInteger(n) || n < 0 || n >= below);
    if (wrong === undefined) return Uint32Array.from(numbers);
    throw this.fault(
      `tensor "${name}" (${dtype}) holds ${wrong}; expected whole numbers from 0 to ${below - 1}`,
      "It was made with another model",
    );
  }

  /** Token ids, u32 `[B, T]`. */
  async ids(name: string, vocabulary: number, positions: number): Promise<Tensor> {
    const shape = this.shape(name);
    if (shape.length !== 2 || shape[1] > positions) {
      throw this.misshapen(name, `[B,T] with T at most ${positions}`);
    }
    return tensor(await this.whole(name, vocabulary), shape);
  }

  /** A timestep for each of `b` samples, u32 `[b]`; the file may hold one for all. */
  async timesteps(name: string, b: number, trainSteps: number): Promise<Tensor> {
    const shape = this.shape(name).join();
    const one = shape === "" || shape === "1";
    if (!one && shape !== `${b}`) throw this.misshapen(name, `[${b}]`);
    const t = tensor(await this.whole(name, trainSteps), one ? [1] : [b]);
    return one ? expand(reshape(t, [1]), [b]) : t;
  }

  /** What its writer noted of training; undefined where nothing is said. */
  training(): { trains?: Trains; steps?: number; rate?: number; cutStartToken?: boolean } {
    const { trains, steps, rate, start_token: start } = this.source.metadata;
    if (trains !== undefined && !TRAINS.some((t) => t === trains)) {
      throw this.fault(`says that "${trains}" trains`, `There are ${TRAINS.join(", ")}`);
    }
    if (steps !== undefined && !(Number.isInteger(Number(steps)) && Number(steps) >= 1)) {
      throw this.fault(`says that there were "${steps}" steps`);
    }
    if (rate !== undefined && !(Number(rate) > 0 && Number(rate) <= 1)) {
      throw this.fault(`says that the rate was "${rate}"`);
    }
    if (start !== undefined && start !== "cut" && start !== "kept") {
      throw this.fault(`says of its start_token "${start}"`, "There are cut and kept");
    }
    return {
      trains: trains as Trains | undefined,
      steps: steps === undefined ? undefined : Number(steps),
      rate: rate === undefined ? undefined : Number(rate),
      cutStartToken: start === undefined ? undefined : start === "cut",
    };
  }

  /** An error about this file. */
  fault(fault: string, advice?: string): FileError {
    return new FileError(this.source.name, fault, advice);
  }

  /** An error about a tensor that is not of the shape that the model has. */
  misshapen(name: string, expected: string): FileError {
    return this.fault(
      `tensor "${name}" is [${this.shape(name)}]; expected ${expected}`,
      "It was made with another model, or in another layout",
    );
  }

  /** Gives the file back. */
  [Symbol.dispose](): void {
    this.source.close();
  }
}
