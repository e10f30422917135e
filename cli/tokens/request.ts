/** What `moongate tokens` asks for. */
/** `moongate tokens` */
export interface TokensRequest {
  /** The model's folder. */
  model: string;
  /** A text file with a caption a line, or a collection of captioned pictures. */
  captions: string;
  /** Fewest occurrences. */
  low: number;
  /** Most occurrences. */
  high: number;
  /** How many lines to show. */
  count: number;
}
