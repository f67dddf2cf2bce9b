"""Libraries and published figures -> the table of cards, as text; takes half a minute for all networks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from measuring import measure
from regraft.backbones.families import ALIASES, find, names
from regraft.backbones.libraries import Published, published
from regraft.weights import sources
from regraft.weights.sources import torchvision

# ImageNet-1k validation, top-1 and top-5 in per cent, of the default weights on pictures of the default size; what
# torchvision publishes is asked from torchvision itself.
TIMM_TABLE = "timm, results-imagenet.csv at 7479d45"
TIMM = {
    "resnetv2_50": (80.406, 95.084),
    "resnetv2_101": (82.042, 95.866),
    "mobilenetv1_100": (75.384, 92.312),
    "mobilenetv1_125": (76.928, 93.216),
    "inception_v3": (77.474, 93.474),
    "inception_resnet_v2": (80.446, 95.306),
    "tf_efficientnet_lite0": (74.846, 92.180),
    "tf_efficientnet_lite1": (76.672, 93.232),
    "tf_efficientnet_lite2": (77.472, 93.744),
    "tf_efficientnet_lite3": (79.832, 94.870),
    "tf_efficientnet_lite4": (81.546, 95.666),
    "legacy_xception": (79.050, 94.386),
    "nasnetalarge": (82.636, 96.060),
    "pnasnet5large": (82.828, 96.038),
    "convnext_tiny": (84.192, 97.132),
    "convnext_small": (85.164, 97.502),
    "convnext_base": (85.816, 97.854),
    "convnext_large": (86.612, 98.036),
}
OTHERS: dict[str, dict[str, Any]] = {
    "inception_v2": {
        "top1": 73.524,
        "top5": 91.562,
        "figures": "Cadene, pretrained-models.pytorch, README",
        "weights": "bn_inception",
        "sources": "file",
        "licence": "BSD-3-Clause (pretrainedmodels)",
    },
    "resnetv2_152": {"figures": "no weights are published", "weights": "", "sources": "", "licence": ""},
}


def card(name: str) -> dict[str, Any]:
    """Return a row of the table."""
    _, family = find(name)
    measures = measure(name)
    record = published(family.library, name)
    return {
        "name": name,
        "family": family.name,
        "aliases": " ".join(alias for alias, meant in ALIASES.items() if meant == name),
        "library": family.library,
        "input_size": measures.input_size,
        "parameters": measures.parameters,
        "depth": measures.depth,
        "gflops": round(measures.gflops, 3),
        "size_mb": round(measures.size_mb, 1),
        "top1": None,
        "top5": None,
        "figures": "",
        "weights": record.tag,
        "sources": " ".join(
            source for source in sources.names() if sources.source(source).publishes(name, family.library)
        ),
        "licence": "",
        "file": "",
        "hub": "",
    } | _of_library(family.library, name, record)


def _of_library(library: str, name: str, record: Published) -> dict[str, Any]:
    if name in OTHERS:
        return OTHERS[name]
    if library == "torchvision":
        scores = record.record.meta["_metrics"]["ImageNet-1K"]
        return {
            "top1": scores["acc@1"],
            "top5": scores["acc@5"],
            "figures": f"torchvision, {type(record.record).__name__}.{record.tag}",
            "licence": torchvision.LICENCE,
            "file": record.record.url.rpartition("/")[2],
        }
    top1, top5 = TIMM.get(name, (None, None))
    return {
        "top1": top1,
        "top5": top5,
        "figures": TIMM_TABLE if name in TIMM else "",
        "licence": record.record.license,
        "file": "" if record.record.hf_hub_id else record.record.url.rpartition("/")[2],
        "hub": record.record.hf_hub_id or "",
    }


def table(cards: Iterable[dict[str, Any]] | None = None) -> str:
    """Return the rows, of all networks by default, as cards.csv holds them."""
    rows = list(cards or map(card, names()))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
