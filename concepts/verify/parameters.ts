/** A golden file's names of parameters in the model: the UNet's own, and `row` for the row of the token table. */
import { type Mask, mask, rows, type Selection } from "../../autograd/mask.ts";
import type { Named } from "../../autograd/optimizer.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { toFile } from "../../models/layout.ts";
import type { ParameterSpecs } from "../../models/params.ts";
import { unetSpecs } from "../../models/unet/unet.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";
import { isTable } from "../deltas/from_parameters.ts";
import type { Trains } from "../training/methods.ts";
import { trainingMask } from "../training/trainable.ts";
import type { Gold } from "./gold.ts";

const UNET = "unet.";

/** A UNet's own name; a file may write the component before it. */
const bare = (name: string): string => name.startsWith(UNET) ? name.slice(UNET.length) : name;

/** What a name stands for. */
export class GoldParameters {
  readonly #specs: ParameterSpecs;
  readonly #table: string;

  /** Looks the model's parameters up. */
  constructor(readonly model: Pipeline, readonly gold: Gold) {
    this.#specs = unetSpecs(model.config.unet);
    this.#table = flatten<Tensor>({ ...model.params }).find(([path]) => isTable(path))![0];
  }

  /** The parameters whose gradients the file holds. */
  named(names: readonly string[], row: readonly number[]): Mask {
    const chosen: Record<string, Selection> = {};
    for (const name of names) {
      chosen[this.#path(`grad.${name}`, name)] = name === "row" ? rows(row) : true;
    }
    return mask(this.model.params, chosen);
  }

  /** What trains, which must be all whose trained values the file holds. */
  trained(names: readonly string[], trains: Trains, row: readonly number[]): Mask {
    const chosen = trainingMask(this.model, trains, row);
    for (const name of names) {
      if (chosen.selected.has(this.#path(`after.${name}`, name))) continue;
      throw this.gold.fault(
        `holds "after.${name}", which does not train where "${trains}" does`,
        'Its metadata can say under "trains" what else did',
      );
    }
    return chosen;
  }

  /** The value of one, in the file's layout. */
  async read(name: string, values: Named): Promise<Float32Array> {
    const spec = this.#specs.get(bare(name));
    const data = await this.model.device.read(values[this.#pathOf(name)]) as Float32Array;
    return spec?.layout === "conv" ? toFile(data, spec.shape) : data;
  }

  #pathOf(name: string): string {
    return name === "row" ? this.#table : UNET + bare(name);
  }

  /** The path of a name, once the file's tensor has its shape. */
  #path(tensor: string, name: string): string {
    const { gold, model } = this;
    if (name === "row") {
      const width = model.config.text_encoder.width, shape = gold.shape(tensor).join();
      if (shape !== `${width}` && shape !== `1,${width}`) {
        throw gold.misshapen(tensor, `[${width}]`);
      }
      return this.#table;
    }
    const spec = this.#specs.get(bare(name));
    if (!spec) {
      throw gold.fault(
        `holds "${tensor}", and the model's UNet has no parameter of that name`,
        "It was made with another model",
      );
    }
    gold.expect(tensor, spec.shape);
    return this.#pathOf(name);
  }
}

/** Names of the keys and values, as the UNet calls them. */
export const keysAndValues = (model: Pipeline): string[] =>
  trainingMask(model, "kv", []).paths.map((path) => bare(path));
