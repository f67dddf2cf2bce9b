"""Train a new head first, then the top stages of the pretrained network with it, at a smaller rate."""

from regraft.backbones.backbone import Backbone
from regraft.config import Config
from regraft.methods._plan import Phase, Plan, cut_for_layers
from regraft.methods.frozen import head_phase

HEAD_EPOCHS = 10  # enough for a head that the second phase goes on training
EPOCHS = 8
TAIL_LR = 3e-4  # a third of a fresh layer's rate: pretrained layers are to move a little only
VIEWS = 2


def plan(backbone: Backbone, config: Config) -> Plan:
    """Cut k stages earlier (the last stage, where nothing is said)."""
    frozen_layers: tuple[str, ...] = ()
    if config.train_layers is not None:
        cut, frozen_layers = cut_for_layers(backbone, config.train_layers)
    else:
        cut = backbone.cut_of(config.unfreeze or "1")
    tail = tail_phase(config, cut, EPOCHS, TAIL_LR, config.views or VIEWS)
    return Plan("finetuned", after_head(backbone, config, tail), config.hidden, frozen_layers)


def tail_phase(config: Config, cut: int, epochs: int, tail_lr: float, views: int) -> Phase:
    """Train what is after the cut together with the head, whose rate is twice as large."""
    rate = config.tail_lr or tail_lr
    return Phase("tail", cut, config.epochs or epochs, config.lr or 2 * rate, rate, views)


def after_head(backbone: Backbone, config: Config, tail: Phase) -> tuple[Phase, Phase]:
    """Head first, so that its random start does not pull the pretrained layers apart (Kumar et al. 2022), then both."""
    return head_phase(backbone, config, HEAD_EPOCHS, tail.views if tail.cut else 1), tail
