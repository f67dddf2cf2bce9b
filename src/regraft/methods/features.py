"""Fit a linear model on the pretrained network's embeddings; nothing is trained by gradient steps."""

from regraft.backbones.backbone import Backbone
from regraft.config import Config
from regraft.methods._plan import Phase, Plan
from regraft.methods.frozen import refuse_unfreezing


def plan(backbone: Backbone, config: Config) -> Plan:
    """Cut before the classifier; the head is one linear layer, fitted in one go."""
    refuse_unfreezing(config)
    fit = Phase("linear", len(backbone.stages), epochs=1, lr=0.0, linear=True)
    return Plan("features", (fit,), hidden=0)
