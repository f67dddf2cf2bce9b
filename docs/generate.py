"""Write docs/settings.md, docs/models.md and the keywords from the code; with --check, say whether they are current."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from regraft import catalog
from regraft.config import ABOUT, READING, Config, names_of, option

HERE = Path(__file__).parent
CARDS = Path(catalog.__file__).parent / "cards.csv"


def settings_page() -> str:
    """Return the table of every setting, by group."""
    hints = get_type_hints(Config)
    lines = [
        "# Settings",
        "",
        "Made from `src/regraft/config.py` by `make docs`. Each setting is an option of `regraft train` and a",
        'keyword of `regraft.train`. "–" as a default means: what the method or the weights suggest.',
    ]
    group = ""
    for spec in dataclasses.fields(Config):
        about = ABOUT[spec.name]
        if about.group != group:
            group = about.group
            lines += [
                "",
                f"## {group}",
                "",
                "| option | keyword | kind | default | what it does |",
                "|---|---|---|---|---|",
            ]
        kinds = getattr(hints[spec.name], "__args__", (hints[spec.name],))  # int, or int | None
        kind = next(kind.__name__ for kind in kinds if kind is not type(None))
        default = "–" if spec.default is None else f"`{spec.default}`"
        lines.append(f"| `{option(spec.name)}` | `{spec.name}` | {kind} | {default} | {about.described} |")
    return "\n".join(lines) + "\n"


MODELS = """\
# Networks

Made from `src/regraft/catalog/cards.csv` by `make docs`; `regraft models` shows the same in the terminal, and which
weights are on this machine. Any other classifier of torchvision or timm goes by its name there, if it can be cut.

What is computed, for the network with its head for 1000 classes, without the auxiliary classifiers of its training:

- **MB**: all tensors in float32, of 2^20 bytes, as torchvision and Keras state sizes.
- **parameters**: numbers that training could change.
- **depth**: convolutional and fully connected layers on the longest path from the picture to the scores; the number in
  the names of VGG, ResNet and DenseNet. The two layers of a squeeze-and-excitation lie on that path.
- **GFLOPs**: 10^9 multiply-adds for one picture of **px** x px, as torchvision and the papers count them; twice as many
  single operations.

What is cited: **top-1** and **top-5**, in per cent on the ImageNet-1k validation set, one central crop of px x px, for
the named set of weights, which is the library's default and Regraft's.

- torchvision: [its table of weights](https://docs.pytorch.org/vision/stable/models.html#classification), as the
  library's own records have it.
- timm: `results/results-imagenet.csv` of [its repository](https://github.com/huggingface/pytorch-image-models), commit
  7479d451, in the row of that size.
- Cadene: the README of [pretrained-models.pytorch](https://github.com/Cadene/pretrained-models.pytorch).
- "–": nothing is published.

The weights of ConvNeXt were trained on ImageNet-12k or 22k first, all others on ImageNet-1k alone. Licences are those
that the library states for the weights; torchvision states only its own and leaves what follows from the data to you.
"""

TITLES = "network also family top-1 top-5 weights figures MB parameters depth GFLOPs px sources licence"


def models_page() -> str:
    """Return the table of every network, by family."""
    titles = TITLES.split()
    rows = [_line(titles), _line(["---"] * len(titles)), *map(_model, catalog.models(sort="family"))]
    return MODELS + "\n" + "\n".join(rows) + "\n"


def _model(row: dict[str, Any]) -> str:
    accuracy = ["–" if row[name] is None else f"{row[name]:.2f}" for name in ("top1", "top5")]
    names = [f"`{row['name']}`", ", ".join(f"`{alias}`" for alias in row["aliases"]), row["family"]]
    costs = [f"{row['size_mb']:.1f}", f"{row['parameters']:,}", str(row["depth"]), f"{row['gflops']:.3f}"]
    rest = [str(row["input_size"]), ", ".join(row["sources"]) or "–", row["licence"] or "–"]
    return _line([*names, *accuracy, row["weights"] or "–", row["figures"], *costs, *rest])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def keywords_module() -> str:
    """Return the module that tells type checkers the settings as keywords."""
    reading = [_keyword(spec) for spec in dataclasses.fields(Config) if spec.name in names_of(READING)]
    others = [_keyword(spec) for spec in dataclasses.fields(Config) if spec.name not in names_of(READING)]
    return KEYWORDS.format(reading="\n".join(reading), others="\n".join(others))


def _keyword(spec: dataclasses.Field[Any]) -> str:
    about, hint = ABOUT[spec.name], get_type_hints(Config)[spec.name]
    if about.choices:
        nothing = " | None" if spec.default is None else ""
        kind = f"Literal[{', '.join(map(json.dumps, about.known))}]{nothing}"
    elif about.path or Path in getattr(hint, "__args__", ()):
        kind = "str | os.PathLike[str] | None"
    else:
        kind = about.as_keyword or (hint.__name__ if isinstance(hint, type) else str(hint))
    return f"    {spec.name}: {kind}"


KEYWORDS = '''\
"""The settings as keywords, for type checkers and editors: made from config.py by `make docs`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict


class Reading(TypedDict, total=False):
    """The fields of `Config` that say how data are read."""

{reading}


class Settings(Reading, total=False):
    """Any field of `Config`, by name."""

{others}
'''

KEYWORDS_FILE = "../src/regraft/utils/keywords.py"
PAGES = {"settings.md": settings_page, "models.md": models_page, KEYWORDS_FILE: keywords_module}


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is not current")
    parser.add_argument("--cards", action="store_true", help="first measure every network anew (a minute)")
    given = parser.parse_args()
    if given.cards:
        sys.path.insert(0, str(HERE.parent / "tools"))
        import compiling

        CARDS.write_text(compiling.table(), encoding="utf-8")
    for name, page in PAGES.items():
        path = HERE / name
        if not given.check:
            path.write_text(page(), encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != page():
            sys.exit(f"{name} is not what the code says. Run: make docs")


if __name__ == "__main__":
    main()
