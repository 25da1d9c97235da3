"""Trains the digits model of the examples and writes its weights as JSON.

A logistic regression on the 64 raw pixels says how likely a digit is odd. Rows with index % 5 == 0 are held out, and the
accuracy on them is written into the JSON. The result does not depend on a random seed: the solver is deterministic.

    python3 train.py [--data ../data/digits.csv] [--output model.json]

Needs scikit-learn (Debian: apt-get install python3-sklearn).
"""

import argparse
import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression

here = pathlib.Path(__file__).resolve().parent
parser = argparse.ArgumentParser(description="Train the digits model and write its weights as JSON.")
parser.add_argument("--data", default=here.parent / "data" / "digits.csv", help="digits.csv (default: %(default)s)")
parser.add_argument("--output", default=here / "model.json", help="where to write (default: %(default)s)")
args = parser.parse_args()

table = np.loadtxt(args.data, delimiter=",", skiprows=1)
odd, pixels = table[:, 0] % 2 == 1, table[:, 1:]
held_out = np.arange(len(table)) % 5 == 0

# Pixels are scaled to 0..1 for the solver; the factor is then folded into the weights, so that the service takes raw pixels.
scale = 1 / 16
classifier = LogisticRegression(C=1, max_iter=5000).fit(pixels[~held_out] * scale, odd[~held_out])
accuracy = classifier.score(pixels[held_out] * scale, odd[held_out])

model = {
    "name": "digits-odd",
    "positive": "the digit is odd",
    "nFeatures": pixels.shape[1],
    "threshold": 0.5,
    "bias": float(classifier.intercept_[0]),
    "weights": [float(weight) * scale for weight in classifier.coef_[0]],
    "heldOut": {"rule": "index % 5 == 0", "rows": int(held_out.sum()), "accuracy": round(float(accuracy), 4)},
}
pathlib.Path(args.output).write_text(json.dumps(model, indent=1) + "\n")
print(f"{args.output}: {model['nFeatures']} features, held-out accuracy {accuracy:.4f} on {held_out.sum()} rows")
