/** Writes ONNX models of one node, in memory: the few protocol buffer messages that they need. */

/** ONNX's numbers of element types. */
export const TYPES = { float32: 1, int32: 6, int64: 7 } as const;

/** What goes in or comes out. */
export interface Value {
  readonly shape: readonly number[];
  readonly type: keyof typeof TYPES;
}

/** An operator: its name, where it is from (by default ONNX itself), and its attributes. */
export interface Operator {
  readonly op: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Names of what it gives; "result" is taken. */
  readonly outputs?: readonly string[];
}

/** An integer, a list of integers, or a float. */
export type Attribute = number | readonly number[] | { readonly float: number };

const ONNX_IR_VERSION = 8;
const ONNX_OPSET = 17;

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

const WIRE_VARINT = 0;
const WIRE_BYTES = 2;
const WIRE_FLOAT = 5;

const integer = (field: number, value: number): number[] => [
  ...varint(field * 8 + WIRE_VARINT),
  ...varint(value),
];

function message(field: number, content: readonly number[] | string): number[] {
  const bytes = typeof content === "string" ? [...new TextEncoder().encode(content)] : content;
  return [...varint(field * 8 + WIRE_BYTES), ...varint(bytes.length), ...bytes];
}

const float = (field: number, value: number): number[] => [
  ...varint(field * 8 + WIRE_FLOAT),
  ...new Uint8Array(Float32Array.of(value).buffer),
];

/** AttributeProto: name 1, f 2, i 3, ints 8, type 20 (FLOAT 1, INT 2, INTS 7). */
function attribute(name: string, value: Attribute): number[] {
  if (typeof value === "number") {
    return [...message(1, name), ...integer(3, value), ...integer(20, 2)];
  }
  if ("float" in value) return [...message(1, name), ...float(2, value.float), ...integer(20, 1)];
  return [...message(1, name), ...value.flatMap((v) => integer(8, v)), ...integer(20, 7)];
}

/** ValueInfoProto: name 1, type 2 { tensor 1 { element type 1, shape 2 { dimension 1 { value 1 } } } }. */
function valueInfo(name: string, { shape, type }: Value): number[] {
  const dimensions = shape.flatMap((extent) => message(1, integer(1, extent)));
  const tensor = [...integer(1, TYPES[type]), ...message(2, dimensions)];
  return [...message(1, name), ...message(2, message(1, tensor))];
}

/** A serialized ModelProto with one node that makes `result` from its inputs, in order. */
export function oneNodeModel(
  { op, domain = "", attributes = {}, outputs = ["result"] }: Operator,
  inputs: Readonly<Record<string, Value>>,
  result: Value,
): Uint8Array {
  // NodeProto: input 1, output 2, operator 4, attribute 5, domain 7
  const node = [
    ...Object.keys(inputs).flatMap((name) => message(1, name)),
    ...outputs.flatMap((name) => message(2, name)),
    ...message(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => message(5, attribute(name, value))),
    ...message(7, domain),
  ];
  const graph = [ // GraphProto: node 1, name 2, input 11, output 12
    ...message(1, node),
    ...message(2, op),
    ...Object.entries(inputs).flatMap(([name, value]) => message(11, valueInfo(name, value))),
    ...message(12, valueInfo("result", result)),
  ];
  const set = (domain: string, version: number) =>
    message(8, [...message(1, domain), ...integer(2, version)]);
  return Uint8Array.from([ // ModelProto: version 1, graph 7, operator set 8 { domain 1, version 2 }
    ...integer(1, ONNX_IR_VERSION),
    ...set("", ONNX_OPSET),
    ...domain ? set(domain, 1) : [],
    ...message(7, graph),
  ]);
}
