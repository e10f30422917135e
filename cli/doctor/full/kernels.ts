/** The kernels in which a training step spends its time: how far from the ceilings each is, and whether its answers are right. */
import type { Step } from "../../../compile/fuse.ts";
import { watchSteps } from "../../../compile/inspect/apart.ts";
import { profile } from "../../../compile/inspect/profile.ts";
import { Examiner, isSmall } from "./answers.ts";
import { hotKernels } from "./kinds.ts";
import { holding, inNanoseconds, plan } from "./program.ts";
import type { Answer, HotKernel, Kernels } from "./record.ts";
import { type Put, secondsOf, type Stage } from "./stage.ts";
import { stepOn } from "./training.ts";

/**
 * Measures the hot kernels of a step of `batch` pictures.
 *
 * @param secondsPerStep by what was measured of it
 */
export async function measureKernels(
  stage: Stage,
  batch: number,
  secondsPerStep: number | undefined,
  put: Put<Kernels>,
): Promise<void> {
  const { extent, ceilings, whole, room } = stage;
  put({ batch });
  const { device, step, data, rate, begin, leave } = await stepOn(stage, batch, 2);
  const state = begin();
  await holding(async () => {
    const { flop, blueprint } = plan(device, step, [state, data, rate], []);
    const { dispatches } = blueprint;
    const each = secondsPerStep ?? secondsOf(stage, flop);
    whole.need(2 * each, "a profile");
    const fit = Math.floor(room.left / 4 / (each || 1));
    const repeats = Math.max(1, Math.min(2 * extent.repeats, fit));
    const profiled = await profile(step, [state, data, rate], { repeats });
    const timed = inNanoseconds(profiled, ceilings), { clock, milliseconds } = timed;
    const hot = hotKernels(timed, dispatches, extent.hotKernels, ceilings);
    const answers = new Map<Step, Answer | undefined>();
    const show = () => {
      const rows = hot.map(({ step, ...row }): HotKernel => {
        const answer = answers.get(step);
        return answer ? { ...row, answer } : row;
      });
      const known = [...answers.values()].filter((a) => a !== undefined);
      const wrong = known.filter(({ right }) => !right).length;
      put({ clock, milliseconds, hot: rows, checked: known.length, wrong });
    };
    show();
    whole.need(2 * each, "looking at the kernels' answers");
    const wanted = new Set(hot.map((h) => h.step).filter(isSmall));
    const work = (step: Step) =>
      dispatches.filter((d) => d.step === step).reduce((n, d) => n + d.flops, 0);
    using examiner = new Examiner(device);
    await watchSteps(step, [state, data, rate], wanted, async (seen) => {
      answers.set(seen.step, await examiner.examine(seen, work(seen.step)));
      show();
      wanted.delete(seen.step);
      return wanted.size > 0 && room.left > 0;
    });
  }, () => {
    step.free();
    leave(state);
  });
}
