"""Train the whole network from its pretrained weights, after a new head has been trained on it."""

from regraft.backbones.backbone import Backbone
from regraft.config import Config
from regraft.methods._plan import FRESH, Plan
from regraft.methods.finetuned import after_head, tail_phase
from regraft.methods.frozen import refuse_unfreezing

EPOCHS = 15
TAIL_LR = 1e-4  # smaller than for top stages: the first layers are the most general ones


def plan(backbone: Backbone, config: Config) -> Plan:
    """Cut at the pixels."""
    refuse_unfreezing(config)
    tail = tail_phase(config, 0, EPOCHS, TAIL_LR, config.views or FRESH)
    return Plan("full", after_head(backbone, config, tail), config.hidden)
