"""Prefix x Pixels -> Activations: the frozen part of the network, run once and kept."""

from regraft.activations.prefix import Demand, Means, Prefix
from regraft.activations.sources import BATCH, Activations, Kept, Pictures, batched
from regraft.utils.machine import cache_folder

__all__ = ["BATCH", "Activations", "Demand", "Kept", "Means", "Pictures", "Prefix", "batched", "cache_folder"]
