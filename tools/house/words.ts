/**
 * Turns of phrase that are not English as it is spoken, and what to write instead. A space stands for any white space.
 */
export interface Phrase {
  readonly find: RegExp
  readonly instead: string
}

const things =
  "partition|row|task|file|element|split|batch|key|stage|block|node|run|folder|request|record|group|attempt|slot|host|" +
  "chunk|page|column|value|process|executor|job|call|line|bucket|endpoint|replica|server|string|character|entry|" +
  "operator|test"

const small =
  "a|an|and|as|at|by|each|for|from|if|in|into|is|it|not|of|on|once|or|over|per|so|than|that|the|to|under|was|when|" +
  "where|which|with"

export const phrases: ReadonlyArray<Phrase> = [
  {
    find: new RegExp(
      String.raw`\b(?:an?|one|two|three|(?<![\w,.])\d[\d,]*) (?!(?:${small})\b)[a-z][\w-]* an? (?:${things})\b`,
      "i"
    ),
    instead: "'per', as in 'one file per partition'"
  },
  {
    find: /(?<!\b(?:there|where|here) )\b(?:is|are|was|were|be) no (?!longer\b|more\b|less\b|fewer\b|different\b|better\b|worse\b|later\b|earlier\b)[\w`]+/i,
    instead: "'is not a ...'"
  },
  { find: /\bthat (?:is|are|was|were) there\b/i, instead: "'that exists', 'existing'" },
  { find: /\b(?:is|are) not there\b/i, instead: "'does not exist', 'is missing'" },
  { find: /\bthat (?:is|are|was|were) none\b/i, instead: "'that is not one', 'invalid'" },
  { find: /\b(?:an)?other each time\b/i, instead: "'different each time', 'changes'" },
  { find: /\bhangs? on\b/i, instead: "'depends on'" },
  { find: /\bof late\b/i, instead: "'late', 'recently'" },
  { find: /\bmend(?:s|ed|ing)?\b/i, instead: "'fix', 'repair'" },
  { find: /\bdear(?:er|est|ly)?\b/i, instead: "'expensive'" },
  { find: /\banew\b/i, instead: "'again', 'from the start'" },
  { find: /\bso many\b(?![^.;:]{0,80}\bthat\b)/i, instead: "the number, or 'this many'" },
  { find: /\bas far as one\b/i, instead: "'as far as is known'" },
  { find: /\bone can(?:not)?\b/i, instead: "'you can', or who can" },
  { find: /\bby who\b/i, instead: "'by whom', or a sentence that begins with who does it" },
  { find: /\bof whose\b/i, instead: "a sentence of its own" },
  { find: /\bOf [a-z`]+/, instead: "a sentence that begins with its subject" },
  { find: /\bend(?:s|ed)? well\b/i, instead: "'succeeds', 'succeeded'" },
  { find: /\bin vain\b/i, instead: "'without success', 'for nothing'" },
  { find: /\bas good as (?:none|any)\b/i, instead: "what it means" },
  { find: /\bfor ever\b/i, instead: "'forever'" },
  { find: /\b(?:what|which) (?:[\w'`-]+ ){1,4}?(?:came|comes|come) to\b/i, instead: "'the result of ...'" },
  { find: /\bone after the other\b/i, instead: "'one after another'" },
  { find: /\bwhom?ever\b/i, instead: "who does it" },
  { find: /\bbehind (?:which|byte|the (?:first|last|beginning|end))\b/i, instead: "'after'" },
  { find: /(?<!\b(?:is|are|was|were) )\ball the same\b/i, instead: "'still', 'nevertheless'" },
  { find: /[,;] else\b/i, instead: "'otherwise'" },
  { find: /\b(?:can|could|may) be had\b/i, instead: "'can be obtained', 'is available'" },
  { find: /\bas can be\b/i, instead: "'as possible'" },
  { find: /\bknown of\b/i, instead: "'known about'" },
  { find: /\btells? of\b/i, instead: "'reports', 'names'" },
  { find: /\b(?:yields?|yielded) other\b/i, instead: "'different'" },
  { find: /\b(?:exists? already|there already)\b/i, instead: "'already exists'" },
  {
    find: /\b(?:hence|thereby|therein|thereof|whereof|whereupon|hereby|likewise|lest|till)\b/i,
    instead: "a plain word"
  }
]
