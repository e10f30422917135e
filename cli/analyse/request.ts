/** What `moongate analyse` asks for. */
/** `moongate analyse` */
export interface AnalyseRequest {
  /** The model that was fine-tuned. */
  before: string;
  /** A delta, or a whole model. */
  after: string;
  /** A file for the plot. */
  plot?: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}
