/** What lines begin with that tell of one test; and those that are mocha's own words, for people. All others are VS Code's. */
export const RESULT = "test result: ";
export const SAID = "mocha: ";

export interface Result {
  title: string;
  state: "passed" | "failed" | "skipped";
  error: string | null;
}
