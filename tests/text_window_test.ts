// What a model does not read of a text is said, by one mechanism everywhere, and a new word is never cut off silently.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { trainConcepts } from "../concepts/training/train.ts";
import { loadPipeline, textWindow } from "../diffusion/pipeline.ts";
import { Sampler } from "../diffusion/sample.ts";
import { openClip } from "../evaluate/clip.ts";
import { blank } from "../files/pictures/picture.ts";
import { checkTexts, cutText } from "../models/text_window.ts";
import { loadTokenizer, TokenError } from "../models/clip/tokenizer.ts";
import { someDelta } from "./docs_commands.ts";
import { MINIATURE } from "./models_folder.ts";
import { testDevice } from "./support/check.ts";

/** The shipped model reads 30 tokens; every word here is one. */
const LENGTH = 32;
const mugs = (n: number) => Array(n).fill("mug").join(" ");

async function window(...tokens: string[]) {
  const tokenizer = await loadTokenizer(`${MINIATURE}/tokenizer`);
  for (const token of tokens) tokenizer.addToken(token);
  return { tokenizer, length: LENGTH };
}

Deno.test("a text is cut behind what is read of it, and not before", async () => {
  const of = await window("<new1>");
  for (const text of ["", "mug", mugs(30), `${mugs(29)} <new1>`]) {
    assertEquals(cutText(of, text), undefined, text);
  }
  assertEquals(cutText(of, `${mugs(30)} red  cat`), {
    text: `${mugs(30)} red  cat`,
    kept: mugs(30),
    lost: "red cat",
  });
  // A word that is read in part is no word that is read.
  const pieces = of.tokenizer.idsOf("zyzzyva").length;
  assert(pieces > 1);
  assertEquals(cutText(of, `${mugs(29)} zyzzyva`)?.lost, "zyzzyva");
  // No spaces: between letters.
  const cut = cutText(of, "漢".repeat(40))!;
  assert(cut.kept.length > 0 && cut.kept + cut.lost === "漢".repeat(40));
});

Deno.test("what is kept fits, and one word more does not, for any text", async () => {
  const of = await window("<new1>");
  const fits = (text: string) => of.tokenizer.idsOf(text).length <= LENGTH - 2;
  const word = fc.constantFrom("mug", "zyzzyva", "a", "<new1>", "red,", "don't", "漢字");
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 60 }), (words) => {
      const text = `<new1> ${words.join(" ")}`, cut = cutText(of, text);
      assertEquals(cut === undefined, fits(text));
      if (!cut) return;
      assert(fits(cut.kept) && `${cut.kept} ${cut.lost}` === text);
      assert(!fits(`${cut.kept} ${cut.lost.split(" ")[0]}`), cut.kept);
    }),
    { numRuns: 300 },
  );
});

Deno.test("a new word that is cut off is refused, unless it stands before the cut too", async () => {
  const of = await window("<new1>", "<new2>");
  assertThrows(
    () => cutText(of, `${mugs(30)} <new1>`, "prompt"),
    TokenError,
    'token "<new1>" is cut off: of the prompt "mug',
  );
  assertThrows(() => cutText(of, `<new1> ${mugs(30)} <new2>`), TokenError, "<new2>");
  // In any case, as the tokenizer takes it.
  assertThrows(() => cutText(of, `${mugs(30)} <NEW1>`), TokenError, "<new1>");
  assertEquals(cutText(of, `<new1> ${mugs(29)} <new1>`)?.lost, "<new1>");
});

Deno.test("warnings are one line for all texts, with nothing in it that a terminal obeys", async () => {
  const of = await window();
  const said = (texts: string[]) => {
    const lines: string[] = [];
    checkTexts(of, texts, "caption", (line) => lines.push(line));
    return lines;
  };
  assertEquals(said(["mug", ""]), []);
  const long = `${mugs(30)} red \x1b[31m\ncat`;
  const [line, ...others] = said([long]);
  assertEquals(others, []);
  assertMatch(
    line,
    /^the caption is longer than the 30 tokens that are read: behind "… .*mug", "red/,
  );
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x1f]/.test(line), line);
  assertMatch(said([long, "mug", long, mugs(31)])[0], /^2 of 3 captions are longer than the 30/);
});

Deno.test("the library warns its caller: prompts, negative prompts, captions, texts to compare", async () => {
  const device = await testDevice();
  const model = await loadPipeline(device, MINIATURE, { addTokens: { "<new1>": "ktn" } });
  assertEquals(textWindow(model).length, LENGTH);
  const lines: string[] = [], onWarning = (line: string) => lines.push(line);
  const sampler = new Sampler(model);
  const once = { steps: 1, width: 16, height: 16, batch: 1, onWarning };
  await sampler.generate([mugs(31), "mug"], { ...once, negative: mugs(32) });
  assertMatch(
    lines.join("\n"),
    /^1 of 2 prompts is longer.*\nthe negative prompt is longer[^\n]*$/,
  );
  await sampler.generate(["mug"], { ...once, negative: mugs(32), guidance: 1 });
  assertEquals(lines.length, 2, "without guidance there is no negative prompt");
  const lost = `${mugs(30)} <new1>`;
  await assertRejects(() => sampler.generate([lost], once), TokenError, "is cut off");
  await assertRejects(() => sampler.latents([lost], once), TokenError, "is cut off");
  sampler.free();

  lines.length = 0;
  const train = (captions: string[], augment: boolean) =>
    trainConcepts(model, {
      concepts: [{ token: "<new1>", className: "mug", pictures: [blank(16, 16)], captions }],
      regularization: [{ picture: blank(16, 16), caption: mugs(40) }],
      ...{ steps: 1, batch: 2, size: 16, augment, onWarning },
    });
  await train(["<new1> mug"], false);
  assertMatch(lines.join("\n"), /^the regularization caption is longer[^\n]*$/);
  await assertRejects(() => train([lost], false), TokenError, "of the caption");
  // It fits as it is, and no more behind "a far away ", which augmentation would put before it.
  await train([`${mugs(29)} <new1>`], true);
  assertMatch(lines.at(-1)!, /^the regularization caption/);
  assertMatch(lines.at(-2)!, /^1 of 1 captions leave no room for the words that augmentation/);

  lines.length = 0;
  const deltas = [await someDelta("<new1>", 1), await someDelta("<new2>", 2)];
  const both = await loadPipeline(device, MINIATURE, {
    addTokens: { "<new1>": "ktn", "<new2>": "pll" },
  });
  const captions = Array.from(
    { length: 40 },
    (_, i) => `a ${["red", "blue", "green"][i % 3]} mug ${i}`,
  );
  const merge = (regularization: string[], templates?: string[]) =>
    mergeDeltas(both, deltas, { regularization, templates, ridge: 1, onWarning });
  await merge([...captions, mugs(31)]);
  assertMatch(lines.join("\n"), /^1 of 41 captions is longer[^\n]*$/);
  await assertRejects(() => merge(captions, [`${mugs(30)} {}`]), TokenError, "prompt of a concept");
  both.free();
  model.free();

  lines.length = 0;
  const clip = await openClip(device, `${MINIATURE}/clip`);
  await clip.prompts([mugs(31)], { onWarning });
  assertMatch(lines.join("\n"), /^the text to compare by CLIP is longer[^\n]*$/);
  clip.free();
});
