"""Name -> family: the table of backbones. One row is one family; adding a family is adding a row.

The stage string lists the body from the picture to the last feature map; it ends before the global pool, and stages
are cut where the spatial resolution changes. The classifier string lists the rest. Composed, they are ``model(x)``.

    layer1 layer2             a space separates stages, named after their first child
    conv1+bn1+relu            "+" joins children into one stage
    features[2:4]             children 2 and 3 of a Sequential, named features.2-3
    features/MaxPool2d        a Sequential, cut after every child of that type: one stage for each
    block*=…                  another name than the first child's, "*" counting from 1
    @relu @pool @flatten      what the library's forward() does without a module (see ``stages.FUNCTIONS``)
"""

from __future__ import annotations

from dataclasses import dataclass

from regraft.errors import UnknownName


@dataclass(frozen=True)
class Family:
    """Networks of one library that share a stage string; the same family may need more than one row."""

    name: str
    library: str  # a key of ``libraries.LIBRARIES``
    members: tuple[str, ...]  # the library's own names
    stages: str
    classifier: str


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
    Family(
        "mobilenet_v2",
        "torchvision",
        ("mobilenet_v2",),
        "features[0:2] features[2:4] features[4:7] features[7:14] features[14:19]",
        "@pool+@flatten+classifier",
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
)

ALIASES = {"xception": "legacy_xception"} | {f"efficientnet_lite{n}": f"tf_efficientnet_lite{n}" for n in range(5)}

_MEMBERS = {member: family for family in FAMILIES for member in family.members}


def names() -> list[str]:
    """Every backbone that can be built, family by family."""
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

    Raises:
        UnknownName: with the nearest names.
    """
    canonical = ALIASES.get(name, name)
    if canonical not in _MEMBERS:
        raise UnknownName("backbone", name, [*_MEMBERS, *ALIASES])
    return canonical, _MEMBERS[canonical]
