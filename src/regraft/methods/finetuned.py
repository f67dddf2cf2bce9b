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
    return two_phases(
        "finetuned", backbone, config, cut, TAIL_LR, EPOCHS, views=config.views or VIEWS, frozen_layers=frozen_layers
    )


def two_phases(
    method: str,
    backbone: Backbone,
    config: Config,
    cut: int,
    tail_lr: float,
    epochs: int,
    *,
    views: int,
    frozen_layers: tuple[str, ...] = (),
) -> Plan:
    """Head first, so that its random start does not pull the pretrained layers apart (Kumar et al. 2022), then both."""
    head = head_phase(backbone, config, HEAD_EPOCHS, views if cut else 1)
    rate = config.tail_lr or tail_lr
    tail = Phase("tail", cut, config.epochs or epochs, config.lr or 2 * rate, rate, views)
    return Plan(method, (head, tail), config.hidden, frozen_layers=frozen_layers)
