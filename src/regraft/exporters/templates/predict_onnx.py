"""Say what is on pictures: python predict_onnx.py MODEL.onnx PICTURE... prints filename,label,prob as CSV.

Needs onnxruntime, numpy and pillow, and nothing else. Written by Regraft beside a model that it has exported.
"""

import csv
import json
import os
import sys

import numpy as np
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it tells Microsoft of its sessions unless this is set before
import onnxruntime

DEEP = ("I", "F", "I;16", "I;16B", "I;16L")  # Pillow's names for more than 8 bits: how to show them is not in the file


def read(path, about):
    """Return a picture as the model takes it: uint8 [h, w, 3] in RGB, upright, transparency on white."""
    with Image.open(path) as image:
        if image.mode in DEEP:
            raise ValueError("more than 8 bits; bring it to 8 bits first")
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            over = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        image = image.convert("RGB")
    return np.asarray(image if about["input"] == "any" else squared(image, json.loads(about["preprocessing"])))


def squared(image, look):
    """Return the square that the network sees, for a model whose file does not make it."""
    (width, height), size = image.size, look["size"]
    wide, high = width, height
    if look["fit"] == "crop":
        wide = high = size * min(width, height) / look["resize"]
    left, top = (width - wide) / 2, (height - high) / 2
    way = Image.Resampling[look["interpolation"].upper()]
    narrow = image.resize((size, height), way, box=(left, 0, left + wide, height))  # across first, then down
    return narrow.resize((size, size), way, box=(0, top, size, top + high))


def answer(probabilities, about):
    """Return the index of the class that is answered: by the threshold or the class weights, if there are any."""
    if "threshold" in about:
        threshold = json.loads(about["threshold"])
        positive = json.loads(about["classes"]).index(threshold["positive"])
        return positive if probabilities[positive] >= threshold["value"] else 1 - positive
    return int(np.argmax(probabilities * np.array(json.loads(about.get("class_weights", "1")))))


def main(model, pictures):
    """Print a line for each picture; one that cannot be read gets its reason on stderr."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    classes, failed = json.loads(about["classes"]), 0
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(["filename", "label", "prob"])
    for path in pictures:
        try:
            pixels = read(path, about)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            failed += 1
            continue
        probabilities = session.run(None, {"pixels": pixels[None]})[0][0].astype(np.float64)
        found = answer(probabilities, about)
        lines.writerow([path, classes[found], f"{probabilities[found]:.6f}"])
    return 1 if failed == len(pictures) else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python predict_onnx.py MODEL.onnx PICTURE...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
