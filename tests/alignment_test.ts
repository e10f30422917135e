/** Laws of the token maps of Prompt-to-Prompt, and what they say of the prompts that it is made for. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  commonSubsequence,
  phrasePositions,
  type PromptWords,
  refinementMap,
  replacementMap,
  wordPositions,
} from "../diffusion/editing/token_alignment.ts";

const word = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 });
const prompt = fc.array(word, { maxLength: 6 });
const length = fc.integer({ min: 2, max: 16 });
/** Two prompts of as many words. */
const pair = fc.array(fc.tuple(word, word), { maxLength: 6 }).map((
  ws,
): [PromptWords, PromptWords] => [ws.map(([a]) => a), ws.map(([, b]) => b)]);

const row = (map: Float32Array, i: number, n: number) => [...map.subarray(i * n, (i + 1) * n)];
const column = (map: Float32Array, j: number, n: number) =>
  Array.from({ length: n }, (_, i) => map[i * n + j]);
const total = (values: number[]) => values.reduce((a, b) => a + b, 0);

Deno.test("a prompt in its own place takes every token from itself", () => {
  fc.assert(fc.property(prompt, length, (p, n) => {
    for (const map of [replacementMap(p, p, n), refinementMap(p, p, n)]) {
      for (let i = 0; i < n; i++) {
        assertEquals(row(map.from, i, n), Array.from({ length: n }, (_, j) => i === j ? 1 : 0));
      }
      assertEquals(total([...map.own]), 0);
    }
  }));
});

Deno.test("replacement loses no attention where nothing is cut off", () => {
  fc.assert(fc.property(pair, ([a, b]) => {
    const n = 2 + Math.max(a.flat().length, b.flat().length);
    const { from, own } = replacementMap(a, b, n);
    for (let i = 0; i < n; i++) assert(Math.abs(total(row(from, i, n)) - 1) < 1e-6);
    assertEquals(total([...own]), 0);
  }));
});

Deno.test("refinement takes each token from one of the source, or keeps its own", () => {
  fc.assert(fc.property(prompt, prompt, length, (a, b, n) => {
    const { from, own } = refinementMap(a, b, n);
    const ids = b.flat().slice(0, n - 2), sources = a.flat().slice(0, n - 2);
    ids.forEach((id, j) => {
      const taken = column(from, j + 1, n);
      assertEquals(taken.filter((v) => v === 1).length, own[j + 1] ? 0 : 1);
      assertEquals(taken.filter((v) => v).length, own[j + 1] ? 0 : 1);
      if (!own[j + 1]) assertEquals(sources[taken.indexOf(1) - 1], id);
    });
    assertEquals(from[0], 1);
  }));
});

Deno.test("in both, every token has a source or its own, never both; shares are not negative", () => {
  fc.assert(fc.property(pair, length, ([a, b], n) => {
    for (const { from, own } of [replacementMap(a, b, n), refinementMap(a, b, n)]) {
      assert(from.every((v) => v >= 0 && v <= 1));
      for (let j = 0; j < n; j++) assertEquals(total(column(from, j, n)) > 0, own[j] === 0);
    }
  }));
});

Deno.test("the common subsequence is one of both, in order, and no longer one exists", () => {
  const ids = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 7 });
  /** By trying: of the subsequences of `a`, the longest that `b` has. */
  const longest = (a: number[], b: number[]): number =>
    Math.max(...Array.from({ length: 2 ** a.length }, (_, bits) => {
      const chosen = a.filter((_, i) => bits >> i & 1);
      let at = 0;
      for (const id of b) if (id === chosen[at]) at++;
      return at === chosen.length ? at : 0;
    }));
  fc.assert(fc.property(ids, ids, (a, b) => {
    const pairs = commonSubsequence(a, b);
    pairs.forEach(([i, j], k) => {
      assertEquals(a[i], b[j]);
      if (k) assert(i > pairs[k - 1][0] && j > pairs[k - 1][1]);
    });
    assertEquals(pairs.length, longest(a, b));
  }));
});

Deno.test("a phrase is found wherever it stands, and not where it is cut off", () => {
  const words = [[1], [2, 3], [1], [2, 3]];
  assertEquals(wordPositions(words, 10), [[1], [2, 3], [4], [5, 6]]);
  assertEquals(wordPositions(words, 7), [[1], [2, 3], [4], [5]]);
  assertEquals(phrasePositions(words, [2, 3], 10), [2, 3, 5, 6]);
  assertEquals(phrasePositions(words, [2, 3], 7), [2, 3]);
  assertEquals(phrasePositions(words, [3, 1, 2], 10), [3, 4, 5]);
  assertEquals(phrasePositions(words, [9], 10), []);
  assertEquals(phrasePositions(words, [], 10), []);
});

Deno.test("a replaced word's attention is shared among its tokens; an added word keeps its own", () => {
  // "cat hat" to "teddy-bear hat", the first word of two tokens in place of one: all behind it moves by one.
  const replaced = replacementMap([[7], [9]], [[4, 5], [9]], 6);
  assertEquals(row(replaced.from, 1, 6), [0, 0.5, 0.5, 0, 0, 0]);
  assertEquals(row(replaced.from, 2, 6), [0, 0, 0, 1, 0, 0]);
  assertEquals(row(replaced.from, 3, 6), [0, 0, 0, 0, 1, 0]);
  assertEquals(row(replaced.from, 5, 6), [0, 0, 0, 0, 0, 1]);
  const refined = refinementMap([[1], [7]], [[1], [8], [7]], 6);
  assertEquals([...refined.own], [0, 0, 1, 0, 0, 0]);
  assertEquals(row(refined.from, 2, 6), [0, 0, 0, 1, 0, 0]);
  assertThrows(() => replacementMap([[1]], [[1], [2]], 6), RangeError, "1 words");
});
