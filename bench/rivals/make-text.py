"""Writes text files of lines whose words are drawn, seeded, from a real book: about 224 MB in 2.28 million lines.

    make-text.py OUTPUT [--lines 2280000] [--files 8] [--seed 7] [--words ../../examples/data/devils-dictionary.txt]
"""

import argparse
import os
import pathlib
import random
from itertools import islice

here = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser(description="Write text files of seeded random lines.")
parser.add_argument("output")
parser.add_argument("--lines", type=int, default=2_280_000)
parser.add_argument("--files", type=int, default=8)
parser.add_argument("--seed", type=int, default=7)
parser.add_argument("--words", default=here.parents[1] / "examples" / "data" / "devils-dictionary.txt")
args = parser.parse_args()

# Drawn from the running text, so that words are as frequent as they are in it.
words = pathlib.Path(args.words).read_text(encoding="utf-8").split()
draw = random.Random(args.seed)
os.makedirs(args.output, exist_ok=True)
bounds = [args.lines * i // args.files for i in range(args.files + 1)]
size = 0
for index, (begin, end) in enumerate(zip(bounds, bounds[1:])):
    with open(os.path.join(args.output, f"part-{index:05d}.txt"), "w", encoding="utf-8", newline="\n") as file:
        for first in range(begin, end, 10_000):
            lengths = draw.choices(range(8, 26), k=min(10_000, end - first))
            drawn = iter(draw.choices(words, k=sum(lengths)))
            size += file.write("".join(" ".join(islice(drawn, n)) + "\n" for n in lengths))
print(f"{args.output}: {args.lines} lines, {size / 1e6:.0f} MB in {args.files} files")
