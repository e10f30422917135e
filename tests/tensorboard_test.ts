// Event files, byte for byte as TensorBoard's own library writes them (golden/tensorboard_events.py).
import { assertEquals } from "@std/assert";
import { eventRecord, firstRecord } from "../files/metrics/tensorboard.ts";
import golden from "./golden/tensorboard_events.json" with { type: "json" };

Deno.test("records of event files are those of TensorBoard's own writer", () => {
  assertEquals(firstRecord(1700000000.25).toHex(), golden.first);
  const scalars = { "train/loss": 0.125, "train/memory": 3.5e9 };
  assertEquals(eventRecord({ step: 300, time: 1.5, scalars }).toHex(), golden.scalars);
  const png = Uint8Array.from({ length: 200 }, (_, i) => i);
  const pictures = { "samples/1: a ö": { png, width: 300, height: 64 } };
  assertEquals(eventRecord({ step: 5e9, time: 2.5, pictures }).toHex(), golden.pictures);
  assertEquals(eventRecord({ step: 51, time: 3.5, restart: true }).toHex(), golden.restart);
});
