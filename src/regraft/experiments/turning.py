"""A trained model x turned validation pictures -> a preset to propose, where they are predicted as well."""

from __future__ import annotations

import copy

import numpy as np

from regraft.activations.sources import Activations
from regraft.audit.orientation import Orientation, orientation, to_turn
from regraft.data import Tta
from regraft.experiments.session import ActivatedNetwork, Session, tta_of
from regraft.inference.classifier import Classifier
from regraft.methods._plan import Plan
from regraft.training.batches import Examples
from regraft.training.loop import predict

QUARTER_TURNS = Tta(4, ("turn",))


def turned_alike(session: Session, network: ActivatedNetwork, plan: Plan, model: Classifier) -> Orientation | None:
    """Turn some validation pictures of the first split, each once, and compare what a model makes of them.

    None too where the pictures are turned already, in training or in the end, and where they are too few. At most 200
    pictures go through the network once more.
    """
    split = session.splits[0]
    val = split.part("val")
    which = val[to_turn(split.labels[val], len(split.classes))]
    if not len(which) or "turn" in tta_of(session.config).augment:
        return None
    tail, head = copy.deepcopy((model.backbone.above(plan.cut), model.head))  # they go to the device

    def hits(rows: Activations, which: np.ndarray, view: int) -> np.ndarray:
        examples = Examples(rows, split.labels, which)
        probabilities = predict(tail, head, examples, view=view, device=network.prefix.device)
        right: np.ndarray = probabilities.argmax(1) == split.labels[which]
        return right

    turned = network.prefix.seen_as(QUARTER_TURNS, plan.cut)
    thirds = [which[turns::3] for turns in range(3)]  # each is turned by a quarter, a half or three quarters
    return orientation(
        np.concatenate([hits(network.prefix.at(plan.cut), third, 0) for third in thirds]),
        np.concatenate([hits(turned, third, turns) for turns, third in enumerate(thirds, start=1)]),
        len(split.classes),
    )
