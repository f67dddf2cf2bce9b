"""Know the backbones: families, stages, cuts."""

from regraft.backbones.backbone import Backbone, GlobalPool, PixelNorm, build
from regraft.backbones.families import FAMILIES, Family, canonical, names
from regraft.backbones.stages import Stage

__all__ = ["FAMILIES", "Backbone", "Family", "GlobalPool", "PixelNorm", "Stage", "build", "canonical", "names"]
