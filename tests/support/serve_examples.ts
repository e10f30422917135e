/** A worker of the tests of `optim/loader.ts`: squares numbers, refuses 13, and says what it is told. */
import { serveExamples } from "../../optim/workers.ts";

serveExamples(async (x: number, { key, epoch }) => {
  if (x === 13) throw new Error("13 is unlucky");
  await new Promise((done) => setTimeout(done, x % 3));
  return { square: x * x, key, epoch };
});
