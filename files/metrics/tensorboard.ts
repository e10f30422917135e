/**
 * Event files as TensorBoard reads them: records of TFRecord's framing, each with an `Event` of protocol buffers.
 *
 * Why our own: what is needed of both formats is a page, and the libraries that write them bring all of TensorFlow.
 * Formats: tensorflow/core/lib/io/record_writer.h; tensorflow/core/util/event.proto, framework/summary.proto.
 */
import { varint } from "../../numerics/integers.ts";
import { crc32c } from "../archives/crc32.ts";

/** What an event may say; `step` and the time go with each. */
export interface TrainingEvent {
  /** Finished steps. */
  readonly step: number;
  /** Seconds since 1970. */
  readonly time: number;
  /** Numbers by name: "train/loss". */
  readonly scalars?: Readonly<Record<string, number>>;
  /** Pictures by name: PNG files with their sides. */
  readonly pictures?: Readonly<Record<string, { png: Uint8Array; width: number; height: number }>>;
  /** A run goes on from before this step: what earlier files say of it and later ones no longer counts. */
  readonly restart?: boolean;
}

/** The first record of every file. */
export function firstRecord(time: number): Uint8Array<ArrayBuffer> {
  return record([...double(1, time), ...text(3, "brain.Event:2")]);
}

/** An event as a record, to be appended. */
export function eventRecord(event: TrainingEvent): Uint8Array<ArrayBuffer> {
  const { step, time, scalars = {}, pictures = {}, restart = false } = event;
  const values = [
    ...Object.entries(scalars).map(([tag, x]) => [...text(1, tag), ...float(2, x)]),
    ...Object.entries(pictures).map(([tag, { png, width, height }]) => {
      const image = [...whole(1, height), ...whole(2, width), ...whole(3, 3), ...bytes(4, png)];
      return [...text(1, tag), ...bytes(4, image)];
    }),
  ];
  return record([
    ...double(1, time),
    ...whole(2, step),
    ...(values.length ? bytes(5, values.flatMap((value) => bytes(1, value))) : []),
    ...(restart ? bytes(7, whole(1, 1)) : []), // SessionLog.START
  ]);
}

/** Fields of protocol buffers: a key of number and wire type, then the value. */
const key = (field: number, wire: number) => field << 3 | wire;
const whole = (field: number, x: number): number[] => [key(field, 0), ...varint(x)];
const double = (field: number, x: number): number[] => [key(field, 1), ...littleEndian(x, 8)];
const float = (field: number, x: number): number[] => [key(field, 5), ...littleEndian(x, 4)];
const text = (field: number, x: string) => bytes(field, new TextEncoder().encode(x));
const bytes = (field: number, x: ArrayLike<number>): number[] => [
  key(field, 2),
  ...varint(x.length),
  ...Array.from(x),
];

function littleEndian(x: number, size: 4 | 8): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  if (size === 8) view.setFloat64(0, x, true);
  else view.setFloat32(0, x, true);
  return new Uint8Array(view.buffer);
}

/** Length, checksum of the length, content, checksum of the content. */
function record(content: number[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(content.length + 16), view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(content.length), true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(content, 12);
  view.setUint32(12 + content.length, masked(out.subarray(12, 12 + content.length)), true);
  return out;
}

/** CRC-32C, turned and moved so that a checksum of checksums is none. */
function masked(content: Uint8Array): number {
  const crc = crc32c(content);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}
