// What a person attached to a question, written out before it, within a bound.

export interface Attachment {
  /** Such as `src/app.ts, lines 3 to 20`. */
  readonly name: string;
  readonly text: string;
  readonly language?: string;
}

export interface Written {
  readonly text: string;
  /** The names of those that did not fit as a whole. */
  readonly shortened: string[];
}

/** Everyone gets an equal share of `room`, in characters; what one leaves, the next ones may have. */
export function written(attachments: readonly Attachment[], room: number): Written {
  const blocks: string[] = [];
  const shortened: string[] = [];
  let left = room;
  attachments.forEach(({ name, text, language }, index) => {
    const share = Math.max(Math.floor(left / (attachments.length - index)), 0);
    const taken = text.length <= share ? text : beginning(text, share);
    if (taken !== text) shortened.push(name);
    left -= taken.length;
    blocks.push(block(name, taken, language ?? "", text.length - taken.length));
  });
  return { text: blocks.join("\n\n"), shortened };
}

function block(name: string, text: string, language: string, missing: number): string {
  const fence = "`".repeat(Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length)) + 1);
  const rest = missing ? `\n(${missing.toLocaleString("en-GB")} more characters are not shown.)` : "";
  return `${name}:\n${fence}${language}\n${text}\n${fence}${rest}`;
}

/** Whole lines where that is possible; never half of a character. */
function beginning(text: string, length: number): string {
  const cut = text.slice(0, length);
  const line = cut.lastIndexOf("\n");
  return line > 0 ? cut.slice(0, line) : cut.replace(/[\uD800-\uDBFF]$/, "");
}
