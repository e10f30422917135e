// Single files as tests sketch them: names and shapes alone, and a tokenizer to lie beside.
import { type FileArray, type TensorSource, tensorSource } from "../files/safetensors/read.ts";

/** Parameters by their diffusers names, as `single_file.py` writes them. */
export type Parameters = Record<string, [number: number, shape: number[]]>;

/** A tokenizer of 96 entries beside a file. */
export async function layTokenizer(folder: string): Promise<void> {
  await Deno.mkdir(`${folder}/tokenizer`);
  const letters = [..."!abcdefghijklmnopqrstuvwxyz0123456789.,<>"].slice(0, 47);
  const entries = [...letters, ...letters.map((l) => `${l}</w>`)];
  while (entries.length < 94) entries.push(`spare${entries.length}`);
  entries.push("<|startoftext|>", "<|endoftext|>");
  const vocab = Object.fromEntries(entries.map((entry, i) => [entry, i]));
  await Deno.writeTextFile(`${folder}/tokenizer/vocab.json`, JSON.stringify(vocab));
  await Deno.writeTextFile(`${folder}/tokenizer/merges.txt`, "#version: 0.2\n");
  await Deno.writeTextFile(`${folder}/tokenizer/tokenizer_config.json`, '{"model_max_length": 12}');
}

/** A file of tensors of which nothing but names and shapes is known. */
export function sketch(tensors: Record<string, number[]>): TensorSource {
  const infos = Object.entries(tensors).map(([stored, shape]) =>
    [stored, { dtype: "F32" as const, shape }] as const
  );
  const none = (): Promise<FileArray> => Promise.reject(new Error("nothing is read"));
  return tensorSource("x.ckpt", new Map(infos), {}, none, () => {});
}
