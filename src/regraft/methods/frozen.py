"""Train a new head; the whole pretrained network stays as it is."""

from regraft.backbones.backbone import Backbone
from regraft.config import Config
from regraft.errors import ConfigError
from regraft.methods._plan import Phase, Plan

EPOCHS = 30  # a head's epoch on kept activations takes milliseconds; early stopping ends it
LR = 3e-4  # at AdamW's usual 1e-3 a head on standardized embeddings learns by heart within 3 epochs


def plan(backbone: Backbone, config: Config) -> Plan:
    """Cut before the classifier: pool, dropout, dense, dense are new and all that trains."""
    refuse_unfreezing(config)
    return Plan("frozen", (head_phase(backbone, config, config.epochs or EPOCHS, config.views or 1),), config.hidden)


def head_phase(backbone: Backbone, config: Config, epochs: int, views: int) -> Phase:
    """Train only the head, on pooled activations."""
    return Phase("head", len(backbone.stages), epochs, config.lr or LR, views=views)


def refuse_unfreezing(config: Config) -> None:
    """Raise ConfigError where a setting asks to train what this method keeps frozen."""
    if config.unfreeze is not None or config.train_layers is not None:
        raise ConfigError(
            f"--method={config.method} trains nothing but the head; "
            "use --method=finetuned with --unfreeze or --train-layers."
        )
