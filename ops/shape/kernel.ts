/** The kernel of what adds up overlapping windows. */
import { type KernelContext, type KernelPlan, perItem, storageType } from "../../tensor/kernel.ts";
import { type Shape, sizeOf, stridesOf } from "../../tensor/shape.ts";
import { type Windows, windowsAlong } from "../../tensor/view.ts";

/** Windows, and what they were taken of. */
export interface FoldAttrs extends Windows {
  /** The shape that the windows were taken of. */
  readonly shape: Shape;
}

/** One invocation for each element: it asks every place of a window whether a window has it there. */
export function foldKernel({ inputs: [g], attrs, epilogue }: KernelContext<FoldAttrs>): KernelPlan {
  const { shape, axes, size, stride, dilation } = attrs;
  const counts = windowsAlong(shape, attrs);
  const unit = stridesOf([...size, ...counts]);
  const rank = shape.length;
  // Vectors lie along the innermost axis, unless windows do.
  const wide = epilogue.width === 4 && !axes.includes(rank - 1);
  const type = storageType("f32", wide ? 4 : 1);
  const inner = stridesOf(shape);
  const coordinates = shape.map((d, i) => `let c${i} = (e / ${inner[i]}u) % ${d}u;`).join(" ");
  const fixed = shape.flatMap((_, i) =>
    axes.includes(i) ? [] : [`c${i} * ${unit[size.length + i]}u`]
  );
  let body = `acc += ${type}(gs[${wide ? "at >> 2u" : "at"}]);`;
  axes.toReversed().forEach((a, back) => {
    const k = axes.length - 1 - back;
    const before = k ? `at${k - 1}` : `(${fixed.join(" + ") || "0u"})`;
    const inside = `${k === axes.length - 1 ? "at" : `at${k}`}`;
    body = `for (var k${k} = 0u; k${k} < ${size[k]}u; k${k}++) {
      let d${k} = k${k} * ${dilation[k]}u;
      if (c${a} >= d${k} && (c${a} - d${k}) % ${stride[k]}u == 0u && (c${a} - d${k}) / ${
      stride[k]
    }u < ${counts[a]}u) {
        let ${inside} = ${before} + k${k} * ${unit[k]}u + (c${a} - d${k}) / ${stride[k]}u * ${
      unit[size.length + a]
    }u;
        ${body}
      }
    }`;
  });
  const declarations = `fn sum_at(e: u32) -> ${type} {
  ${coordinates}
  var acc = ${type}();
  ${body}
  return acc;
}
`;
  const { width } = epilogue;
  const value = wide || width === 1
    ? `sum_at(i * ${width}u)`
    : `vec4<f32>(${[0, 1, 2, 3].map((q) => `sum_at(i * 4u + ${q}u)`).join(", ")})`;
  const gs = {
    name: "gs",
    ref: { input: 0 },
    access: "read",
    type: storageType(g.dtype, wide ? 4 : 1),
  } as const;
  return {
    dispatches: [{
      label: "fold",
      buffers: [gs, ...epilogue.buffers],
      ...perItem(
        { count: sizeOf(shape) / width, name: "i", declarations },
        epilogue.store(`i * ${width}u`, value),
      ),
    }],
  };
}
