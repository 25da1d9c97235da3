"""PUT /score: a row-major matrix of little-endian float32 in, one float32 score (or bool) a row out.

The model is the JSON file named by the environment variable MODEL, as train.py writes it. See ../README.md for the protocol.
"""

import json
import os

import numpy as np
from flask import Flask, Response, jsonify, request

with open(os.environ["MODEL"], encoding="utf-8") as file:
    model = json.load(file)

n_features = model["nFeatures"]
weights = np.array(model["weights"], dtype=np.float64)
bias = model["bias"]
threshold = np.float32(model["threshold"])
row_bytes = 4 * n_features
layout = f"{n_features} little-endian float32 ({row_bytes} bytes)"

app = Flask(__name__)


def refuse(status, error, **headers):
    response = jsonify(error=error)
    response.status_code = status
    response.headers.update(headers)
    return response


@app.put("/score")
def score():
    answer = request.args.get("as", "float32")
    if answer not in ("float32", "bool"):
        return refuse(400, f"as must be float32 or bool, got {json.dumps(answer)}")
    body = request.get_data(cache=False)
    if not body:
        return refuse(400, f"empty body: expected rows of {layout}")
    if len(body) % row_bytes:
        return refuse(400, f"body of {len(body)} bytes is not a whole number of rows of {layout}")
    rows = np.frombuffer(body, dtype="<f4").reshape(-1, n_features)
    # The largest float32 whose exponential is finite bounds the logit: the score is 0 there anyway.
    scores = (1 / (1 + np.exp(np.minimum(-(rows @ weights + bias), 700)))).astype("<f4")
    if answer == "bool":
        scores = scores >= threshold
    # Flask would call the bytes text/html, and the client would take them for the page of a proxy.
    return Response(scores.tobytes(), mimetype="application/octet-stream")


@app.get("/health")
def health():
    return jsonify(status="ok", model=model["name"], nFeatures=n_features)


@app.errorhandler(404)
def no_such_path(_error):
    return refuse(404, f"no such path: {request.path}")


@app.errorhandler(405)
def not_allowed(error):
    allow = ", ".join(sorted(set(error.valid_methods) - {"HEAD", "OPTIONS"}))
    return refuse(405, f"method {request.method} not allowed: use {allow}", Allow=allow)
