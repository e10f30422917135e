/**
 * How models reach their parameters: by the checkpoint's own names, with a shape that the model itself states.
 *
 * Why the models state shapes where they use a parameter: the same function then computes the model, checks the tree
 * that it is given, and (run over {@linkcode declare}) lists what a checkpoint must hold. There is no second
 * description of an architecture that could disagree with the first.
 */
import { Tensor } from "../tensor/tensor.ts";
import { sameShape, type Shape } from "../tensor/shape.ts";
import { type Branch, isLeaf, unflatten } from "../tensor/tree.ts";
import { input } from "../ops/leaf.ts";

/** Parameters as nested objects; a leaf's dotted path is its name in the checkpoint. */
export type ParameterTree = Branch<Tensor>;

/** Whether a file stores the tensor as the engine does, or as a PyTorch convolution (OIHW; the engine has HWIO). */
export type Layout = "plain" | "conv";

/** What a checkpoint must hold under one name. */
export interface ParameterSpec {
  /** Extents as in the file (PyTorch's): [out, in] for linear layers, [out, in, h, w] for convolutions. */
  readonly shape: Shape;
  readonly layout: Layout;
}

/** Parameters of a model by name. */
export type ParameterSpecs = ReadonlyMap<string, ParameterSpec>;

/** A parameter that is missing from a tree or has another shape than its model needs. */
export class ParameterError extends Error {
  /** Always "ParameterError". */
  override name = "ParameterError";
  /**
   * Puts the message together.
   *
   * @param component which model, e.g. `unet`
   * @param path the parameter's name in the checkpoint
   */
  constructor(readonly component: string, readonly path: string, fault: string) {
    super(`${component}: parameter "${path}" ${fault}`);
  }
}

/** Extents of a stored tensor in the engine's layout. */
export function engineShape(spec: ParameterSpec): Shape {
  if (spec.layout === "plain") return spec.shape;
  const [o, i, h, w] = spec.shape;
  return [h, w, i, o];
}

/** Extents in the file of a tensor in the engine's layout. */
export function fileShape(shape: Shape, layout: Layout): Shape {
  if (layout === "plain") return shape;
  const [h, w, i, o] = shape;
  return [o, i, h, w];
}

/** Element type in which a parameter is held: vectors (biases, scales of norms) are f32 always. */
export const heldAs = (spec: ParameterSpec, dtype: "f32" | "f16"): "f32" | "f16" =>
  spec.shape.length > 1 ? dtype : "f32";

/** Parameters that hold nothing: enough to trace and plan with. */
export function symbolicParameters(
  specs: ParameterSpecs,
  dtype: "f32" | "f16" = "f32",
): ParameterTree {
  return unflatten([...specs].map(([name, spec]) => {
    const held = { shape: engineShape(spec), dtype: heldAs(spec, dtype) };
    return [name, input(held, 0, name)] as const;
  }));
}

/** A place in a parameter tree. Models take a tree or such a place; they read tensors with {@linkcode Parameters.take}. */
export class Parameters {
  private constructor(
    readonly component: string,
    readonly path: string,
    readonly root: ParameterTree | Map<string, ParameterSpec>,
  ) {}

  /** The root of a tree; a place is passed through, so that models nest. */
  static of(params: ParameterTree | Parameters, component: string): Parameters {
    return params instanceof Parameters ? params : new Parameters(component, "", params);
  }

  /** A root that holds nothing and answers every request with a symbolic tensor, noting it in `specs`. */
  static declaring(component: string, specs: Map<string, ParameterSpec>): Parameters {
    return new Parameters(component, "", specs);
  }

  /** A place further down. */
  at(path: string | number): Parameters {
    return new Parameters(this.component, this.#join(String(path)), this.root);
  }

  /**
   * The tensor at a name below this place.
   *
   * @param shape extents in the engine's layout
   * @throws ParameterError naming component and path when it is missing or of another shape
   */
  take(name: string, shape: Shape, layout: Layout = "plain"): Tensor {
    const path = this.#join(name);
    if (this.root instanceof Map) {
      this.root.set(path, { shape: fileShape(shape, layout), layout });
      return input({ shape, dtype: "f32" }, 0, path);
    }
    const found = this.#find(this.root, path);
    if (!sameShape(found.shape, shape)) {
      throw new ParameterError(
        this.component,
        path,
        `has shape [${found.shape}], the model needs [${shape}]`,
      );
    }
    return found;
  }

  #find(root: ParameterTree, path: string): Tensor {
    let at: unknown = root;
    for (const key of path.split(".")) {
      at = isLeaf(at) ? undefined : (at as Record<string, unknown>)[key];
      if (at === undefined) throw new ParameterError(this.component, path, "is missing");
    }
    if (!(at instanceof Tensor)) {
      throw new ParameterError(this.component, path, "is not a tensor");
    }
    return at;
  }

  #join(name: string): string {
    return this.path ? `${this.path}.${name}` : name;
  }
}

/** Lists the parameters that a model reads, by running it on nothing. */
export function declare(component: string, model: (p: Parameters) => unknown): ParameterSpecs {
  const specs = new Map<string, ParameterSpec>();
  model(Parameters.declaring(component, specs));
  return specs;
}
