/**
 * What the formats call the parameters of a pipeline. All of it is renaming; nothing is transposed.
 *
 * Inside, a parameter has the name that diffusers gives it, below `unet.`:
 * `down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight`.
 */
import { FileError } from "../../../files/errors.ts";
import type { FormatContext } from "./format.ts";

/** Where the denoiser's parameters lie in a pipeline. */
export const UNET = "unet.";

/** A parameter's path in the pipeline without `unet.`, or a refusal: the format has no place for any other. */
export function unetName(format: string, path: string, context: FormatContext): string {
  if (path.startsWith(UNET)) return path.slice(UNET.length);
  throw new FileError(
    context.name ?? "the delta",
    `changes "${path}", and ${format} files hold changes of the UNet only`,
    "Write it as moongate or adobe",
  );
}

/** Pieces of names that hold an underscore themselves, for reading names whose dots became underscores. */
const COMPOUNDS = [
  ..."down_blocks up_blocks mid_block transformer_blocks to_q to_k to_v to_out proj_in proj_out"
    .split(" "),
  ..."conv_in conv_out conv_norm_out conv_shortcut time_emb_proj time_embedding linear_1 linear_2"
    .split(" "),
  ..."add_embedding input_blocks middle_block output_blocks in_layers out_layers emb_layers".split(
    " ",
  ),
  ..."skip_connection time_embed label_emb".split(" "),
  ..."text_model self_attn q_proj k_proj v_proj out_proj final_layer_norm text_projection".split(
    " ",
  ),
  ..."token_embedding position_embedding layer_norm1 layer_norm2".split(" "),
].map((name) => [name.replaceAll("_", "."), name]);

/** A name with dots from one with underscores: `mid_block_attentions_0_proj_in` → `mid_block.attentions.0.proj_in`. */
export function fromUnderscores(name: string): string {
  const dotted = `.${name.replaceAll("_", ".")}.`;
  return COMPOUNDS.reduce(
    (text, [split, whole]) => text.replaceAll(`.${split}.`, `.${whole}.`),
    dotted,
  ).slice(1, -1);
}
