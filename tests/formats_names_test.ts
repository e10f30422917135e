// What other formats call the parameters of a UNet, and back.
import { assertEquals } from "@std/assert";
import {
  fromCompVis,
  layersOf,
  layersOfCompVis,
  toCompVis,
} from "../concepts/deltas/formats/compvis_names.ts";
import { fromUnderscores } from "../concepts/deltas/formats/names.ts";
import { unetConfig, unetSpecs } from "../models/unet/unet.ts";

Deno.test("CompVis names follow from the layers per block, for every parameter of every transformer", () => {
  // Written out by hand from the layout of Stable Diffusion 1.x (two layers) and of a UNet with one.
  const known: [layers: number, diffusers: string, compvis: string][] = [
    [2, "down_blocks.0.attentions.0.norm.weight", "input_blocks.1.1.norm.weight"],
    [2, "down_blocks.1.attentions.1.x", "input_blocks.5.1.x"],
    [2, "down_blocks.2.attentions.1.x", "input_blocks.8.1.x"],
    [2, "mid_block.attentions.0.x", "middle_block.1.x"],
    [2, "up_blocks.1.attentions.0.x", "output_blocks.3.1.x"],
    [2, "up_blocks.3.attentions.2.x", "output_blocks.11.1.x"],
    [1, "down_blocks.1.attentions.0.x", "input_blocks.3.1.x"],
    [1, "up_blocks.1.attentions.1.x", "output_blocks.3.1.x"],
  ];
  for (const [layers, name, other] of known) {
    assertEquals([toCompVis(name, layers), fromCompVis(other, layers)], [other, name]);
  }
  assertEquals(toCompVis("down_blocks.0.resnets.0.conv1.weight", 2), undefined);
  assertEquals(fromCompVis("input_blocks.3.1.x", 2), undefined); // A downsampling has no transformer.
  for (const layers of [1, 2, 3]) {
    for (const attention of [[true, true, false], [false, true, true], [true, true, true]]) {
      const specs = unetSpecs(unetConfig({
        block_out_channels: [4, 8, 8],
        down_block_types: attention.map((a) => a ? "CrossAttnDownBlock2D" : "DownBlock2D"),
        up_block_types: attention.toReversed().map((a) => a ? "CrossAttnUpBlock2D" : "UpBlock2D"),
        layers_per_block: layers,
        norm_num_groups: 2,
        attention_head_dim: 2,
        cross_attention_dim: 4,
      }));
      const names = [...specs.keys()].filter((n) => /\.attn2\.to_[kv]\./.test(n));
      const others = names.map((n) => toCompVis(n, layers)!);
      assertEquals(new Set(others).size, names.length);
      assertEquals(others.map((n) => fromCompVis(n, layers)), names);
      assertEquals([layersOf(names), layersOfCompVis(others)], [layers, layers]);
      for (const name of names) assertEquals(fromUnderscores(name.replaceAll(".", "_")), name);
    }
  }
});
