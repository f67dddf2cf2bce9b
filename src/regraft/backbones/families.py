"""Name -> family: the table of backbones. One row is one family; adding a family is adding a row.

The stage string lists the body from the picture to the last feature map; it ends before the global pool, and stages
are cut where the spatial resolution changes. The classifier string lists the rest. Composed, they are ``model(x)``.

    layer1 layer2             a space separates stages, named after their first child
    conv1+bn1+relu            "+" joins children into one stage
    features[2:4]             children 2 and 3 of a Sequential, named features.2-3
    features/MaxPool2d        a Sequential, cut after every child of that type: one stage for each
    block*=…                  another name than the first child's, "*" counting from 1
    @relu @pool @flatten      what the library's forward() does without a module (see ``stages.FUNCTIONS``)
    @inception_3a             one of ``model.parts``: what a network of our own calls a step of its forward()
    @rest:conv0               the network's own forward_features(), from after that child: for layers with two inputs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regraft.backbones import torchvision_compat
from regraft.errors import UnknownName


@dataclass(frozen=True)
class Family:
    """Networks of one library that share a stage string; the same family may need more than one row."""

    name: str
    library: str  # a key of ``libraries.LIBRARIES``
    members: tuple[str, ...]  # the library's own names
    stages: str
    classifier: str
    options: Mapping[str, Any] = field(default_factory=dict)  # what the library is told besides the name
    auxiliaries: tuple[tuple[str, str, float], ...] = ()  # name, stage whose output it reads, weight of its loss


FAMILIES = (
    Family(
        "squeezenet",
        "torchvision",
        ("squeezenet1_0",),
        "features[0:3] features[3:7] features[7:10] features[10:13]",
        "classifier+@flatten",
    ),
    Family(
        "squeezenet",
        "torchvision",
        ("squeezenet1_1",),
        "features[0:3] features[3:6] features[6:9] features[9:13]",
        "classifier+@flatten",
    ),
    Family(
        "vgg",
        "torchvision",
        ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
        "block*=features/MaxPool2d",
        "avgpool+@flatten+classifier",
    ),
    Family(
        "resnet",
        "torchvision",
        ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        "conv1+bn1+relu+maxpool layer1 layer2 layer3 layer4",
        "avgpool+@flatten+fc",
    ),
    Family(  # pre-activation: the normalisation comes before the convolutions; resnetv2_152 has no published weights
        "resnetv2",
        "timm",
        ("resnetv2_50", "resnetv2_101", "resnetv2_152"),
        "stem stages[0:1] stages[1:2] stages[2:3] stages[3:4]+norm",
        "head",
    ),
    Family(
        "mobilenet_v1",
        "timm",
        ("mobilenetv1_100", "mobilenetv1_125"),
        "conv_stem+bn1+blocks[0:1] blocks[1:2] blocks[2:3] blocks[3:4] blocks[4:5]+conv_head+bn2",
        "global_pool+classifier",
    ),
    Family(
        "mobilenet_v2",
        "torchvision",
        ("mobilenet_v2",),
        "features[0:2] features[2:4] features[4:7] features[7:14] features[14:19]",
        "@pool+@flatten+classifier",
    ),
    Family(
        "mobilenet_v3",
        "torchvision",
        ("mobilenet_v3_large",),
        "features[0:2] features[2:4] features[4:7] features[7:13] features[13:17]",
        "avgpool+@flatten+classifier",
    ),
    Family(
        "mobilenet_v3",
        "torchvision",
        ("mobilenet_v3_small",),
        "features[0:1] features[1:2] features[2:4] features[4:9] features[9:13]",
        "avgpool+@flatten+classifier",
    ),
    Family(
        "densenet",
        "torchvision",
        ("densenet121", "densenet161", "densenet169", "densenet201"),
        "features.conv0+features.norm0+features.relu0+features.pool0 features.denseblock1+features.transition1 "
        "features.denseblock2+features.transition2 features.denseblock3+features.transition3 "
        "features.denseblock4+features.norm5+@relu",
        "@pool+@flatten+classifier",
    ),
    Family(
        "inception_v1",
        "torchvision",
        ("googlenet",),
        "conv1+maxpool1 conv2+conv3+maxpool2 inception3a+inception3b+maxpool3 inception4a "
        "inception4b+inception4c+inception4d inception4e+maxpool4 inception5a+inception5b",
        "avgpool+@flatten+dropout+fc",
        {"aux_logits": True, "init_weights": True},
        (("aux1", "inception4a", 0.3), ("aux2", "inception4b", 0.3)),  # Szegedy et al. 2014
    ),
    Family(
        "inception_v2",
        "regraft",
        ("inception_v2",),
        "@conv1 @conv2 @inception_3a+@inception_3b "
        "@inception_3c+@inception_4a+@inception_4b+@inception_4c+@inception_4d "
        "@inception_4e+@inception_5a+@inception_5b",
        "@pool+@flatten+last_linear",
    ),
    Family(
        "inception_v3",
        "timm",
        ("inception_v3",),
        "Conv2d_1a_3x3+Conv2d_2a_3x3+Conv2d_2b_3x3+Pool1 Conv2d_3b_1x1+Conv2d_4a_3x3+Pool2 Mixed_5b+Mixed_5c+Mixed_5d "
        "Mixed_6a+Mixed_6b+Mixed_6c+Mixed_6d+Mixed_6e Mixed_7a+Mixed_7b+Mixed_7c",
        "global_pool+head_drop+fc",
        {"aux_logits": True},
        (("AuxLogits", "Mixed_6a", 0.4),),  # torchvision's and Inception's own training script
    ),
    Family(
        "inception_resnet_v2",
        "timm",
        ("inception_resnet_v2",),
        "conv2d_1a+conv2d_2a+conv2d_2b+maxpool_3a conv2d_3b+conv2d_4a+maxpool_5a mixed_5b+repeat mixed_6a+repeat_1 "
        "mixed_7a+repeat_2+block8+conv2d_7b",
        "global_pool+head_drop+classif",
    ),
    Family(
        "efficientnet",
        "torchvision",
        tuple(f"efficientnet_b{n}" for n in range(8)),
        "features[0:2] features[2:3] features[3:4] features[4:6] features[6:9]",
        "avgpool+@flatten+classifier",
    ),
    Family(
        "efficientnet_lite",
        "timm",
        tuple(f"tf_efficientnet_lite{n}" for n in range(5)),
        "conv_stem+bn1+blocks[0:1] blocks[1:2] blocks[2:3] blocks[3:5] blocks[5:7]+conv_head+bn2",
        "global_pool+classifier",
    ),
    Family(
        "xception",
        "timm",
        ("legacy_xception",),
        "conv1+bn1+act1+conv2+bn2+act2 block1 block2 "
        "block3+block4+block5+block6+block7+block8+block9+block10+block11 block12+conv3+bn3+act3+conv4+bn4+act4",
        "global_pool+fc",
    ),
    Family(  # a cell reads the two maps before it, and between stages only one passes: all cells are one stage
        "nasnet",
        "timm",
        ("nasnetalarge",),
        "conv0 cells=@rest:conv0",
        "global_pool+head_drop+last_linear",
    ),
    Family(
        "nasnet",
        "timm",
        ("pnasnet5large",),
        "conv_0 cells=@rest:conv_0",
        "global_pool+head_drop+last_linear",
    ),
    Family(
        "convnext",
        "timm",
        ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
        "stem+stages[0:1] stages[1:2] stages[2:3] stages[3:4]+norm_pre",
        "head",
    ),
)

ALIASES = {
    "inception_v1": "googlenet",
    "bn_inception": "inception_v2",
    "xception": "legacy_xception",
    "mobilenet_v1": "mobilenetv1_100",
    "nasnet_large": "nasnetalarge",
    "pnasnet_large": "pnasnet5large",
} | {f"efficientnet_lite{n}": f"tf_efficientnet_lite{n}" for n in range(5)}

_MEMBERS = {member: family for family in FAMILIES for member in family.members}


def names() -> list[str]:
    """Every backbone of the table, family by family; see ``find`` for others."""
    return list(_MEMBERS)


def library_members(library: str) -> list[str]:
    """The backbones that come from one library."""
    return [member for member, family in _MEMBERS.items() if family.library == library]


def canonical(name: str) -> str:
    """The library's own name, an alias resolved.

    Raises:
        UnknownName: with the nearest names.
    """
    return find(name)[0]


def find(name: str) -> tuple[str, Family]:
    """The library's own name, an alias resolved, and its row.

    Any other classifier of timm or torchvision has a row without stages: where it can be cut is found out when it is
    built (see ``generic``). Only for such names are the libraries imported, which takes seconds.

    Raises:
        UnknownName: with the nearest names of the table.
    """
    canonical = ALIASES.get(name, name)
    if canonical in _MEMBERS:
        return canonical, _MEMBERS[canonical]
    if (library := torchvision_compat.library_of(name)) is None:
        hint = "Any other classifier of timm or torchvision goes by its name there."
        raise UnknownName("backbone", name, [*_MEMBERS, *ALIASES], hint)
    return name, Family(name, library, (name,), stages="", classifier="")
