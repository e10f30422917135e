/** A step of training, timed: how soon it is ready, what it takes, where its time goes, and whether it gives the same bits twice. */
import { adamInit, type AdamState } from "../../../autograd/optimizer.ts";
import { modelOperands, RATE, stepCase } from "../../../bench/cases/miniature.ts";
import { plainStep, stepBatch } from "../../../bench/peers/moongate_models.ts";
import { evaluate } from "../../../compile/compile.ts";
import { profile } from "../../../compile/inspect/profile.ts";
import { weightBytes } from "../../../diffusion/memory.ts";
import { tensor } from "../../../ops/leaf.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { flatten } from "../../../tensor/tree.ts";
import { kinds } from "./kinds.ts";
import type { Lab } from "./lab.ts";
import {
  bitsOf,
  holding,
  inNanoseconds,
  median,
  plan,
  type Planned,
  seconds,
  start,
} from "./program.ts";
import type { Memory, Training } from "./record.ts";
import { needMemory, type Put, secondsOf, type Stage } from "./stage.ts";

/** Steps of each of the two runs; where a step takes long, one. */
const STEPS = 3;
/** Steps' times that a section takes at least: two runs of one, and a profile of two, the first of which compiles. */
const LEAST = 4;

/** A step of so many pictures, and what it is called with. */
export function stepOf(lab: Lab, batch: number, model: Lab["sketch"]) {
  const c = stepCase(batch, lab.subject.name);
  const { trainable, step } = plainStep(model, c);
  const data = stepBatch(c, modelOperands(c)), rate = tensor(RATE, []);
  return { step, data, rate, initial: () => adamInit(trainable.pick(model.params)) };
}

/** The same on the device, which is not begun where time or memory is too short for `least` steps. */
export async function stepOn(
  stage: Stage,
  batch: number,
  least: number,
  put: Put<Training> = () => {},
) {
  const { lab } = stage, { device } = lab;
  const what = `a training step of batch ${batch}`;
  if (!lab.loaded) {
    // From shapes alone, so that a large model is not made in vain.
    const { step, data, rate, initial } = stepOf(lab, batch, lab.sketch), state = initial();
    const planned = plan(device, step, [state, data, rate], [data, rate]);
    const memory = memoryOf(lab, state, planned);
    put({ memory, flop: planned.flop });
    stage.whole.need(least * secondsOf(stage, planned.flop), what);
    needMemory(stage, memory.planned);
  }
  const model = await lab.model();
  const { step, data, rate, initial } = stepOf(lab, batch, model);
  return {
    ...{ device, step, data, rate },
    begin: () => evaluate(device, initial()),
    leave: (state: AdamState) => device.free(...flatten<Tensor>({ ...state }).map(([, t]) => t)),
  };
}

function memoryOf(lab: Lab, state: AdamState, { bytes }: Planned): Memory {
  const { weights } = lab, trained = weightBytes({ ...state });
  return { weights, trained, program: bytes, planned: weights + trained + bytes.total };
}

/** Measures a step of so many pictures. */
export async function measureTraining(
  stage: Stage,
  batch: number,
  put: Put<Training>,
): Promise<void> {
  const { lab, extent, ceilings, whole, room } = stage;
  put({ batch });
  const { device, step, data, rate, begin, leave } = await stepOn(stage, batch, LEAST, put);
  const before = device.buffers.allocated;
  let state = begin();
  await holding(async () => {
    const planned = plan(device, step, [state, data, rate], [data, rate]);
    const { flop, blueprint: { dispatches } } = planned;
    const memory = memoryOf(lab, state, planned);
    put({ memory, flop, dispatches: dispatches.length });
    whole.need(LEAST * secondsOf(stage, flop), `a training step of batch ${batch}`);

    const ready = await start(device, step, [state, data, rate], planned);
    const once = async () => {
      const result = step(state, data, rate);
      state = result.state;
      return await device.item(result.loss);
    };
    const firstSeconds = await seconds(once);
    put({
      memory: { ...memory, allocated: lab.weights + device.buffers.allocated - before },
      start: { ...ready, firstSeconds },
    });
    const steps = 2 * STEPS * firstSeconds < room.left ? STEPS : 1;
    const times: number[] = [], runs: { losses: number[]; bits: string }[] = [];
    for (let run = 0; run < 2; run++) {
      leave(state);
      state = begin();
      await device.settled();
      const losses: number[] = [];
      for (let i = 0; i < steps; i++) {
        whole.check();
        times.push(await seconds(async () => void losses.push(await once())));
      }
      runs.push({ losses, bits: await bitsOf(device, Object.values(state.params)) });
    }
    const sameBits = runs[0].bits === runs[1].bits &&
      runs[0].losses.join() === runs[1].losses.join();
    put({ losses: runs[0].losses, sameBits });
    const profiling = (extent.repeats + 1) * Math.min(...times);
    while (times.length < extent.timedSteps && room.left > profiling) {
      times.push(await seconds(once));
    }
    const secondsPerStep = Math.min(...times), flopPerSecond = flop / secondsPerStep;
    const ofFlops = ceilings?.f32FlopPerSecond && flopPerSecond / ceilings.f32FlopPerSecond;
    put({
      ...{ secondsPerStep, medianSeconds: median(times), steps: times.length, flopPerSecond },
      ...(ofFlops && { ofFlops }),
    });
    whole.need(2 * secondsPerStep, "a profile");
    const repeats = profiling < room.left ? extent.repeats : 1;
    const profiled = await profile(step, [state, data, rate], { repeats });
    put({ kinds: kinds(inNanoseconds(profiled, ceilings), dispatches) });
  }, () => {
    step.free();
    leave(state);
  });
}
