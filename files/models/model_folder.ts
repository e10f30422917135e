/** What is known of a model on disk, whether it is a folder or a single file. */
import type { JsonObject } from "../json.ts";
import type { TensorSource } from "../safetensors/read.ts";
import type { TokenizerParts } from "./tokenizer.ts";

/** An opened model. Holds no file handles; the weights that it opens do. */
export interface ModelFolder {
  /** The folder (or the single file), as the caller named it, without a slash at its end. */
  readonly path: string;
  /** `model_index.json`. */
  readonly index: JsonObject;
  /** Components that are there, sorted: `"scheduler"`, `"text_encoder"`, `"tokenizer"`, `"unet"`, `"vae"`, … */
  readonly components: readonly string[];
  /** Path of a component's folder. Throws {@linkcode FileError} if there is no such component. */
  folder(component: string): string;
  /** A component's configuration, parsed. Throws {@linkcode FileError} if it has none. */
  config(component: string): JsonObject;
  /** Opens a component's weights, which the caller closes. Throws {@linkcode FileError} saying what is missing. */
  weights(component: string): Promise<TensorSource>;
  /** The parts of a tokenizer, of `tokenizer` by default. Throws {@linkcode FileError} if there is none, or it is damaged. */
  tokenizer(component?: string): Promise<TokenizerParts>;
}
