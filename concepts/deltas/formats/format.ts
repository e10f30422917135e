/** What a file format of deltas is: how it is recognised, read and written. One record a format; `registry.ts` lists them. */
import type { TensorToWrite } from "../../../files/safetensors/write.ts";
import type { ChangeForm } from "../changes.ts";
import type { Delta, DeltaWeight } from "../delta.ts";
import type { DeltaFile } from "./content.ts";

/** Names of the formats, as `--to` takes them. */
export type DeltaFormatName =
  | "moongate"
  | "compvis"
  | "adobe"
  | "diffusers-custom"
  | "diffusers"
  | "a1111"
  | "lora"
  | "kohya"
  | "embedding";

/** What reading and writing may need to know, where the file or the delta does not tell. */
export interface FormatContext {
  /** `layers_per_block` of the UNet's config. */
  readonly layers?: number;
  /** What to call a delta that is being written in errors; a path, for one. */
  readonly name?: string;
}

/** A dictionary to be written. Only PyTorch files can nest, and hold lists and empty dictionaries. */
export type Packed = TensorToWrite | PackedDict | readonly Packed[];

/** A dictionary to be written, in the order of its entries. */
export interface PackedDict extends ReadonlyMap<string, Packed> {}

/** What a format makes of a delta. */
export interface Written {
  /** The file's content. */
  readonly root: PackedDict;
  /** The header's notes, in safetensors files. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A file format of deltas. */
export interface DeltaFormat {
  /** As `--to` takes it. */
  readonly name: DeltaFormatName;
  /** What it is, for people. */
  readonly title: string;
  /** Forms in which it can hold a change, the most faithful first. */
  readonly forms: readonly ChangeForm[];
  /** Containers that it may come in, the usual one first. */
  readonly containers: readonly ("safetensors" | "torch")[];
  /** Name of the file in a folder, without its extension. */
  readonly stem: string;
  /** Whether factors may be those of a convolution. */
  readonly convolutions?: boolean;
  /** Whether vectors can be held as changes, where nothing else can be held but factors. */
  readonly vectors?: boolean;
  /** Where the new tokens' embeddings are: in the file itself, or in files beside it, called by the token or its bare name. */
  readonly tokens: "inside" | "beside" | "beside, bare";
  /** Whether a file is of this format. */
  matches(file: DeltaFile): boolean;
  /** Reads it. Throws FileError naming the file and what is wrong in it. */
  read(file: DeltaFile, context: FormatContext): Promise<Delta>;
  /** Writes weights that are in one of its forms. Throws FileError for what it has no place for. */
  write(delta: Delta, context: FormatContext): Written;
}

/** A delta that holds weights only: what most files have in themselves. */
export const bare = (
  weights: ReadonlyMap<string, DeltaWeight>,
  notes: Delta["notes"] = {},
): Delta => ({ base: "", tokens: [], embeddings: [], weights, notes });
