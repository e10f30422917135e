/** A model folder that reads longer texts than the one it is made from: the tiny ones of golden files read ten letters. */
import { openSafetensors } from "../../files/safetensors/read.ts";
import { type TensorToWrite, writeSafetensors } from "../../files/safetensors/write.ts";

const TABLE = /(^|\.)embeddings\.position_embedding\.weight$/;

/**
 * Makes `to`, with links to everything that is as in `from`.
 *
 * @param positions of a text, start and end counted; their rows are those that are there, over and over
 */
export async function longerTexts(from: string, to: string, positions: number): Promise<void> {
  await Deno.mkdir(to);
  for (const { name } of Deno.readDirSync(from)) {
    if (name !== "tokenizer" && name !== "text_encoder") {
      await Deno.symlink(`${from}/${name}`, `${to}/${name}`);
    }
  }
  const changed = async (file: string, changes: Record<string, unknown>) => {
    const json = JSON.parse(await Deno.readTextFile(`${from}/${file}`));
    await Deno.writeTextFile(`${to}/${file}`, JSON.stringify({ ...json, ...changes }));
  };
  await Deno.mkdir(`${to}/tokenizer`);
  await Deno.copyFile(`${from}/tokenizer/tokenizer.json`, `${to}/tokenizer/tokenizer.json`);
  await changed("tokenizer/tokenizer_config.json", { model_max_length: positions });
  await Deno.mkdir(`${to}/text_encoder`);
  await changed("text_encoder/config.json", { max_position_embeddings: positions });
  using source = await openSafetensors(`${from}/text_encoder/model.safetensors`);
  const tensors = new Map<string, TensorToWrite>();
  for (const [name, { shape }] of source.tensors) {
    const data = await source.readFloat32(name);
    if (!TABLE.test(name)) tensors.set(name, { shape, data });
    else {
      const [rows, width] = shape;
      const more = Float32Array.from(
        { length: positions * width },
        (_, i) => data[i % (rows * width)],
      );
      tensors.set(name, { shape: [positions, width], data: more });
    }
  }
  await writeSafetensors(`${to}/text_encoder/model.safetensors`, tensors);
}
