/**
 * Files of other models than those that are read, told by what their tensors are called, so that a refusal says what was
 * named and not what it lacks.
 */

/** A name that occurs in such files and in no others, and what they are; the first that fits. */
const OTHERS: readonly (readonly [name: RegExp, what: string])[] = [
  [/(^|\.)joint_blocks\.\d/, "a Stable Diffusion 3 model"],
  [/(^|\.)(double|single)_blocks\.\d/, "a FLUX model"],
  [/(^|\.)(effnet_mapper|clip_txt_pooled_mapper|clip_txt_mapper)\./, "a Stable Cascade model"],
  [/\.time_stack\.|\.time_mixer\.|(^|\.)temporal_transformer/, "a model of films"],
  [/(^|\.)motion_modules\./, "a motion module of AnimateDiff"],
  [/^control_model\.|(^|\.)input_hint_block\.|^controlnet_|^lllite_/, "a ControlNet"],
  [/^low_scale_model\./, "an upscaler, whose UNet is also told a small picture"],
  [
    /^(noise_augmentor|embedder\.model)\./,
    "an unCLIP model, whose UNet is also told an image's features",
  ],
  [/^depth_model\./, "a depth model, whose UNet is also told a depth map"],
  [/\.time_embed\.cond_proj\./, "a latent consistency model, whose UNet is also told the guidance"],
  [/(^|\.)position_net\./, "a GLIGEN model, whose UNet is also told places"],
  [/^conditioner\.embedders\.0\.model\./, "the refiner of Stable Diffusion XL"],
  [/^edm_(mean|std|vpred)/, "a model trained with EDM's noise (Playground 2.5, CosXL)"],
  [
    /^cond_stage_model\.(roberta|transformation)\b/,
    "an AltDiffusion model, with another text encoder",
  ],
  [
    /^cond_stage_model\.transformer\.(token_emb|attn_layers)\./,
    "a latent diffusion model of before Stable Diffusion",
  ],
  [
    /(^|\.)(transformer_blocks\.\d+\.attn\.to_q|blocks\.\d+\.(attn|attn1|self_attn|cross_attn)\.)/,
    "a diffusion transformer",
  ],
];

/** Parts of models, and what changes models, where a whole one is expected. */
const PARTS: readonly (readonly [name: RegExp, what: string])[] = [
  [
    /^lora_|\.lora_(up|down|A|B)\.|\.lora\.(up|down)\./,
    "a LoRA, no whole model: give it as --delta",
  ],
  [/^(emb_params|string_to_param\b)/, "an embedding, no whole model: give it as --delta"],
  [/^(model\.diffusion_model\.|diffusion_model\.)?input_blocks\.0\.0\./, "a UNet alone"],
  [/^(down_blocks|up_blocks)\.\d+\.resnets\./, "a UNet alone: name the model folder that it is of"],
  [/^(encoder|decoder)\.(down|up|mid|conv_in)|^first_stage_model\./, "an autoencoder alone"],
  [
    /^(text_model\.)?encoder\.layers\.|^transformer\.resblocks\.|^cond_stage_model\./,
    "a text encoder alone",
  ],
];

const first = (
  table: readonly (readonly [RegExp, string])[],
  names: readonly string[],
): string | undefined => table.find(([name]) => names.some((one) => name.test(one)))?.[1];

/** What kind of model it is that is not read here, with an article; undefined where nothing says so. */
export const otherModel = (names: readonly string[]): string | undefined => first(OTHERS, names);

/** What a file is that holds no whole model, with an article; undefined where nothing says so. */
export const partOfModel = (names: readonly string[]): string | undefined => first(PARTS, names);

/** What a UNet is told by channels besides the latents, by how many there are in all. */
const CHANNELS: Readonly<Record<number, string>> = {
  5: "a depth model: they are the latents and a depth map",
  7: "an upscaler: they are the latents and a small picture",
  8: "a model that edits by instruction (InstructPix2Pix): they are the latents and those of a picture",
  9: "an inpainting model: they are the latents, a mask, and the latents of what is masked",
};

/** What a UNet of so many channels makes a model, where the latents have `latents`; undefined for what is not known. */
export const byChannels = (channels: number, latents: number): string | undefined =>
  channels === latents ? undefined : CHANNELS[channels];
