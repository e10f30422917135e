/** What `moongate edit` asks for. */
import type { SampledRequest } from "../shared/sampled_request.ts";

/** `moongate edit` */
export interface EditRequest extends SampledRequest {
  /** The prompt of the picture that is edited. */
  from: string;
  /** The prompt that it is edited to. */
  to: string;
  /** Factors on the attention to words of `to`. */
  weights: Record<string, number>;
  /** Share of the steps in which attention to the prompt is taken over. */
  crossSteps: number;
  /** Share of the steps in which attention of pixels to one another is. */
  selfSteps: number;
  /** How the prompts are aligned; undefined: as suits them. */
  alignment?: "replace" | "refine";
}
