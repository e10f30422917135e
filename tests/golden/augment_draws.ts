/**
 * Prints the random numbers of 1,000 draws, a JSON list a line, for augment.py: what `hostRandom(11, i)` gives.
 *
 *     deno run tests/golden/augment_draws.ts | python tests/golden/augment.py
 */
import { hostRandom } from "../../numerics/random.ts";

for (let i = 0; i < 1000; i++) {
  const random = hostRandom(11, i);
  console.log(JSON.stringify(Array.from({ length: 64 }, () => random.uniform())));
}
