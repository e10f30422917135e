/**
 * What is compared: the paper's methods (Table 1), its ablations (Tables 3 and 4), and its ways to two concepts, as
 * settings of one trainer.
 */
import type { Method } from "../concepts/training/methods.ts";

/** Where the pictures come from that keep the class what it was. */
export type Regularization = "real" | "generated" | "none";

/** How a model comes to know two concepts. */
export type Composition = "joint" | "sequential" | "merged" | "together";

/** One way to teach. */
export interface Variant {
  readonly id: string;
  /** As the paper's tables have it. */
  readonly title: string;
  /** Undefined: the model is left as it is. */
  readonly method?: Method;
  readonly regularization?: Regularization;
  /** Random sizes and places; on unless it is said. */
  readonly augment?: boolean;
  /** What V* starts from, where that is not the method's choice. */
  readonly initializer?: string;
  /** V* stays what it starts as. */
  readonly freezeTokens?: boolean;
  /** Of two concepts. */
  readonly composition?: Composition;
}

/** The untouched model. */
export const PRETRAINED = "pretrained";
/** The paper's own method. */
export const OURS = "custom";

const ours = { method: "custom", regularization: "real" } as const;

/** Of one concept. */
export const SINGLE: readonly Variant[] = [
  { id: PRETRAINED, title: "Pretrained model" },
  {
    ...{ id: "textual-inversion", title: "Textual Inversion" },
    ...{ method: "textual-inversion", regularization: "none" },
  },
  {
    ...{ id: "dreambooth", title: "DreamBooth" },
    ...{ method: "dreambooth", regularization: "generated" },
  },
  {
    ...{ id: "custom-all", title: "Ours (w/ fine-tune all)" },
    ...{ method: "custom-all", regularization: "real" },
  },
  { ...ours, id: OURS, title: "Ours" },
  { ...ours, id: "no-augmentation", title: "Ours w/o Aug", augment: false },
  { ...ours, id: "no-regularization", title: "Ours w/o Reg", regularization: "none" },
  { ...ours, id: "generated", title: "Ours w/ Gen", regularization: "generated" },
  { ...ours, id: "random-token", title: "Ours (w/ V* init normal dist.)", initializer: "random" },
  { ...ours, id: "frozen-token", title: "Ours (w/o V* opt)", freezeTokens: true },
];

const single = (id: string): Variant => SINGLE.find((v) => v.id === id)!;

/** Of two. */
export const PAIRED: readonly Variant[] = [
  single(PRETRAINED),
  { ...single("textual-inversion"), composition: "together" },
  { ...single("dreambooth"), composition: "joint" },
  { ...single("custom-all"), composition: "joint" },
  { ...ours, id: "sequential", title: "Ours (Sequential)", composition: "sequential" },
  { ...ours, id: "merged", title: "Ours (Optimization)", composition: "merged" },
  { ...ours, id: "joint", title: "Ours (Joint)", composition: "joint" },
];

/** The variants of these names, in that order. */
export function variantsNamed(of: readonly Variant[], ids: readonly string[]): Variant[] {
  return ids.map((id) => {
    const found = of.find((v) => v.id === id);
    if (!found) throw new RangeError(`there is no variant "${id}"`);
    return found;
  });
}
