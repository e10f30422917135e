// New words: any name that `train` takes comes back from every format, whatever file systems and other programs make of it.
import { assert, assertEquals } from "@std/assert";
import { concept } from "../cli/train/parse_concept.ts";
import type { Delta } from "../concepts/deltas/delta.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import type { DeltaFormatName } from "../concepts/deltas/formats/format.ts";
import { loadDelta, openDelta } from "../concepts/deltas/formats/load.ts";
import { saveDeltaAs } from "../concepts/deltas/formats/save.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { writeTorch } from "../files/torch/write.ts";
import { GOLDEN, inFolder, MODEL } from "./formats_golden.ts";

/** Names that something along the way could take for something else. */
const NAMES = [
  ...'<toy-v1.5> <a.weight> <a.b.c> <.> <..> <.x> <a/b> <a\\b> <a_b> <a:b> <*> <?> <|> <"q">'.split(
    " ",
  ),
  ..."<A/B> <new1> <NEW1> <emb_params> <clip_l> <clip_g> <embed> <pytorch_lora_weights> <moongate_lora>"
    .split(" "),
  ..."<delta> <unet_delta> <猫> <é> <e\u0301> <😀> <a'b> <a%2Fb> <state_dict> <unet> <%> <-> <token.x>"
    .split(" "),
  ..."<0> <1.0> <__metadata__> <__proto__> <constructor> <x.lora_A.weight>".split(" "),
  `<${"long".repeat(80)}>`,
  `<${"long".repeat(79)}lang>`,
  `<${"猫".repeat(120)}>`,
];

const FORMATS: [to: DeltaFormatName, out: string][] = [
  ["moongate", "delta"],
  ["compvis", "delta.ckpt"],
  ["adobe", "delta.bin"],
  ["diffusers-custom", "custom"],
  ["diffusers-custom", "custom.bin"],
  ["diffusers", "plain"],
  ["diffusers", "plain.bin"],
  ["a1111", "x.delta.safetensors"],
  ["lora", "lora"],
  ["kohya", "kohya.safetensors"],
];

const tokensOf = ({ tokens, embeddings, embeddings2 }: Delta) =>
  new Map(tokens.map(({ token }, i) => [token, [embeddings[i], embeddings2?.[i]]]));

Deno.test("every name that train takes survives every format, alone and among others that look alike", async () => {
  using base = await openBase(MODEL);
  const plain = await loadDelta(`${GOLDEN}/plain.safetensors`);
  const row = (i: number, width: number) => new Float32Array(width).fill(i + 1);
  const tokens = NAMES.map((name) => {
    const { tokens: [token] } = concept(`${name} toy=photos`);
    assertEquals(token, name, "train takes it");
    return { token, className: "", initializer: "" };
  });
  assertEquals(new Set(NAMES).size, NAMES.length);
  const one: Delta = { ...plain, tokens, embeddings: tokens.map((_, i) => row(i, 12)) };
  const two: Delta = { ...one, embeddings2: tokens.map((_, i) => row(100 + i, 20)) };
  for (const delta of [one, two]) {
    for (const [to, out] of FORMATS) {
      if (delta === two && to === "compvis") continue; // It has no place for a second encoder, and says so.
      await inFolder(async (folder) => {
        const { paths } = await saveDeltaAs(`${folder}/${out}`, delta, to, { base: base.read });
        assertEquals(new Set(paths.map((path) => path.toLowerCase())).size, paths.length, to);
        const again = await loadDelta(out.includes(".") ? paths[0] : `${folder}/${out}`);
        assertEquals(tokensOf(again), tokensOf(delta), `${to} ${out}`);
      });
    }
    for (const [i, token] of tokens.entries()) {
      const alone: Delta = {
        ...{ ...delta, weights: new Map(), tokens: [token], embeddings: [delta.embeddings[i]] },
        ...(delta.embeddings2 && { embeddings2: [delta.embeddings2[i]] }),
      };
      await inFolder(async (folder) => {
        for (const ending of ["safetensors", "pt"]) {
          const { paths: [path] } = await saveDeltaAs(`${folder}/x.${ending}`, alone, "embedding");
          assertEquals(
            tokensOf(await loadDelta(path)),
            tokensOf(alone),
            `${token.token} ${ending}`,
          );
        }
      });
    }
  }
});

Deno.test("words of other programs: dots in a key or in a file's name are part of the word", async () => {
  await inFolder(async (folder) => {
    const row = { shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) };
    const read = async (name: string, root: Map<string, unknown>) => {
      const path = `${folder}/${name}`;
      if (name.endsWith(".safetensors")) {
        await writeSafetensors(path, root as Map<string, typeof row>);
      } else await writeTorch(path, root as Map<string, typeof row>);
      const { format, delta } = await openDelta(path);
      assertEquals(format.name, "embedding");
      return delta.tokens[0].token;
    };
    const two = new Map([["clip_l", row], ["clip_g", row]]);
    assertEquals(await read("a.safetensors", new Map([["<toy-v1.5>", row]])), "<toy-v1.5>");
    assertEquals(await read("b.safetensors", new Map([["my.toy", row]])), "my.toy");
    assertEquals(
      await read("toy-v1.5.pt", new Map([["string_to_param", new Map([["*", row]])]])),
      "<toy-v1.5>",
    );
    assertEquals(await read("toy.v2.safetensors", new Map([["emb_params", row]])), "<toy.v2>");
    assertEquals(await read("<xl.1>.safetensors", two), "<xl.1>");
    // A parameter by itself is no word.
    await writeSafetensors(`${folder}/w.safetensors`, new Map([["conv_in.bias", row]]));
    const found = await openDelta(`${folder}/w.safetensors`).catch((error) => String(error));
    assert(typeof found === "string" && found.includes("is no delta"), String(found));
  });
});
