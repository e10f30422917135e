/**
 * What a walk does with the model's attention. The functions are traced into the step that is compiled; what differs
 * between steps is handed to them as data, as everything in a walk.
 */
import type { AttentionHook } from "../models/unet/attention_hook.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a hook is made of for one call of the model. */
export interface HookCall {
  /** Of {@linkcode AttentionControl.at}. */
  readonly given: Readonly<Record<string, Tensor>>;
  /** Pictures in the batch. With guidance the model is asked for twice as many, those without a prompt first. */
  readonly pictures: number;
  /** A latent's height and width. */
  readonly latent: readonly [h: number, w: number];
  /** Takes a tensor of {@linkcode AttentionControl.recorded}'s shape; those of one call are averaged. */
  readonly record: (value: Tensor) => void;
}

/** Makes a hook. A pure function: programs are kept by it. */
export type HookMaker = (call: HookCall) => AttentionHook;

/** Sees and changes what the model attends to in a walk. */
export interface AttentionControl {
  /** The hook; the same function for all walks of its kind. */
  readonly hook: HookMaker;
  /**
   * What the hook is given in a step, under the same names with the same shapes in all of them; undefined for steps
   * that are made without the hook.
   */
  at(step: number, steps: number): Readonly<Record<string, Tensor>> | undefined;
  /** Shape of what is recorded, f32; left out where nothing is. */
  readonly recorded?: Shape;
}
