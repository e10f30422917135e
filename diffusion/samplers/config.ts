/**
 * What a model folder's `scheduler_config.json` says about sampling: which sampler, and how its walk is laid out.
 *
 * Why apart from the noise schedule: training needs none of it. Everything that diffusers would compute otherwise than
 * the samplers here is refused by name. What is left undefined differs between diffusers' schedulers when a file does
 * not say it, so each sampler has its own default.
 */
import type { ConfigReader } from "../../models/config.ts";
import { type SamplerName, samplerOfClass, SCHEDULER_CLASSES } from "./names.ts";

/** How a short walk is laid over the training timesteps (Lin et al. 2024, table 2, names them). */
export type Spacing = "leading" | "trailing" | "linspace";

/** How pictures are to be sampled from a model, unless someone asks for something else. */
export interface SamplingConfig {
  /** The sampler that its scheduler class stands for. */
  readonly sampler: SamplerName;
  /** How a walk is laid over the timesteps. */
  readonly spacing?: Spacing;
  /** Added to every timestep of a "leading" walk; 1 for Stable Diffusion. */
  readonly stepsOffset: number;
  /** Whether DDIM and PNDM end on ᾱ = 1, no noise at all, instead of ᾱ₀. */
  readonly setAlphaToOne?: boolean;
  /** Variance of DDPM's fresh noise: of the posterior, or β. */
  readonly variance: "fixed_small" | "fixed_large";
  /** Whether Euler and DPM-Solver++ take the noise levels of Karras et al. 2022, eq. 5. */
  readonly karras: boolean;
  /** The noise level that Euler and DPM-Solver++ end on: none, or that of timestep 0. */
  readonly finalSigma: "zero" | "sigma_min";
  /** How DPM-Solver++ estimates the slope of its second order. */
  readonly solver: "midpoint" | "heun";
  /** Whether walks of under 15 steps end with a step of first order. */
  readonly lowerOrderFinal: boolean;
  /** Whether every walk does. */
  readonly eulerAtFinal: boolean;
}

/** @throws FileError naming an entry that is wrong or asks for what is not supported */
export function samplingConfig(c: ConfigReader): SamplingConfig {
  const kind = c.raw("_class_name") ?? "DDIMScheduler";
  const sampler = typeof kind === "string" ? samplerOfClass(kind) : undefined;
  if (!sampler) return c.refuse("_class_name", `one of ${SCHEDULER_CLASSES.join(", ")}`);
  refuseForeign(c, kind);
  // Other classes use these words for other things.
  const own = kind === "DPMSolverMultistepScheduler";
  const toOne = c.raw("set_alpha_to_one");
  const spacings: readonly Spacing[] = ["leading", "trailing", "linspace"];
  const spacing = c.raw("timestep_spacing");
  const variance = sampler === "ddpm"
    ? c.oneOf("variance_type", ["fixed_small", "fixed_small_log", "fixed_large"], "fixed_small")
    : "fixed_small";
  return {
    sampler,
    spacing: spacing === undefined ? undefined : c.oneOf("timestep_spacing", spacings),
    stepsOffset: c.count("steps_offset", 0, 0),
    setAlphaToOne: toOne === undefined ? undefined : c.flag("set_alpha_to_one", false),
    variance: variance === "fixed_large" ? "fixed_large" : "fixed_small",
    karras: c.flag("use_karras_sigmas", false),
    finalSigma: c.oneOf("final_sigmas_type", ["zero", "sigma_min"], "zero"),
    solver: own ? c.oneOf("solver_type", ["midpoint", "heun"], "midpoint") : "midpoint",
    lowerOrderFinal: c.flag("lower_order_final", true),
    eulerAtFinal: c.flag("euler_at_final", false),
  };
}

/** Refuses what no sampler here does. */
function refuseForeign(c: ConfigReader, kind: unknown): void {
  const off = [
    "clip_sample",
    "thresholding",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
    "use_dynamic_shifting",
  ];
  for (const key of off) c.only(key, false);
  c.only("interpolation_type", "linear");
  c.only("timestep_type", "discrete");
  for (const key of ["sigma_min", "sigma_max"]) c.only(key);
  c.only("lambda_min_clipped", -Infinity);
  if (kind === "PNDMScheduler") {
    c.flag("skip_prk_steps", false) || c.refuse("skip_prk_steps", "true");
  }
  if (kind !== "DPMSolverMultistepScheduler") return;
  c.only("algorithm_type", "dpmsolver++");
  c.only("solver_order", 2);
  c.only("variance_type");
}
