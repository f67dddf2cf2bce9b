"""Train the whole network from random weights: the control that shows what transfer gains."""

from regraft.backbones.backbone import Backbone
from regraft.config import Config
from regraft.errors import ConfigError
from regraft.methods._plan import FRESH, Phase, Plan
from regraft.methods.frozen import refuse_unfreezing

EPOCHS = 40  # without pretraining there is more to learn
LR = 1e-3
WEIGHTS = "random"


def plan(backbone: Backbone, config: Config) -> Plan:
    """Cut at the pixels; the weights are random."""
    refuse_unfreezing(config)
    if config.from_run is not None or config.weights not in (None, "random"):
        raise ConfigError(
            "--method=scratch starts from random weights; leave out --weights and --from, or use --method full."
        )
    phase = Phase(
        "all", 0, config.epochs or EPOCHS, config.lr or LR, config.tail_lr or config.lr or LR, config.views or FRESH
    )
    return Plan("scratch", (phase,), config.hidden)
