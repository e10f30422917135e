/** The judge of concepts, with the weights that ship: it must know drawings, or what it says of samples says nothing. */
import { assertEquals, assertRejects } from "@std/assert";
import { openScorer } from "../evaluate/scorer.ts";
import { FileError } from "../files/errors.ts";
import {
  CONCEPTS,
  draw,
  freshPictures,
  iconScene,
  openDrawings,
  targetPictures,
} from "../world/mod.ts";
import { CONCEPT_CLASSIFIER, openJudge } from "../world/measure/judge.ts";
import { testDevice } from "./support/check.ts";
import { MINIATURE } from "./models_folder.ts";

Deno.test("the judge sees a concept where it is drawn, and none in the class's own pictures", async () => {
  const device = await testDevice();
  const scorer = await openScorer(device, MINIATURE);
  const judge = await openJudge(device, MINIATURE, scorer);
  const drawings = await openDrawings();
  const places = (["beach", "snow", "street", "forest"] as const).map((place) => ({ place }));
  const fresh = CONCEPTS.map(({ name }) => freshPictures(drawings, name, places));
  const shown = await judge.shown(fresh.flat()), nearest = await judge.nearest(fresh.flat());
  const truth = CONCEPTS.flatMap(({ name }) => places.map(() => name));
  const right = (guess: (i: number) => boolean) => truth.filter((_, i) => guess(i)).length;
  assertEquals(shown.length, truth.length);
  assertEquals(right((i) => shown[i].has(truth[i])), 40, "seen");
  assertEquals(right((i) => shown[i].size === 1), 40, "and nothing else");
  assertEquals(right((i) => nearest[i] === truth[i]), 40, "nearest to its own");
  // Pictures that it was taught by are nearest to themselves.
  for (const { name } of CONCEPTS) {
    assertEquals(new Set(await judge.nearest(await targetPictures(name))), new Set([name]));
  }
  const others = CONCEPTS.flatMap(({ category }) =>
    [1, 2, 3, 4].map((seed) => draw(iconScene(drawings, seed, { name: category, relation: null })))
  );
  const wrong = (await judge.shown(others)).filter((concepts) => concepts.size > 0);
  assertEquals(wrong, [], "pictures of the classes that are taken for a concept");
  assertEquals(await judge.shown([]), []);
  assertEquals(await judge.nearest([]), []);
  judge.free();
  scorer.free();
});

Deno.test("a model without a classifier of concepts has no judge", async () => {
  const device = await testDevice();
  const scorer = await openScorer(device, MINIATURE);
  await assertRejects(
    () => openJudge(device, `${MINIATURE}/${CONCEPT_CLASSIFIER}`, scorer),
    FileError,
  );
  scorer.free();
});
