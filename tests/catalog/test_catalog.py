"""The table of networks: computed figures against the code and against what papers and libraries publish."""

import csv
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from rich.console import Console

import regraft
from compiling import TIMM, card
from measuring import measure
from regraft import catalog
from regraft.backbones import names, torchvision_compat
from regraft.backbones.libraries import published
from regraft.catalog import table
from regraft.errors import UnknownName, WeightsMissing
from regraft.weights import locations
from regraft.weights.loading import available
from regraft.weights.reading import READERS

ROWS = {row["name"]: row for row in catalog.models()}
OF_TORCHVISION = [name for name, row in ROWS.items() if row["library"] == "torchvision"]


def kept() -> dict[str, dict[str, str]]:
    with files("regraft.catalog").joinpath("cards.csv").open(encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


# the table is what the code computes


@pytest.mark.parametrize("name", names())
def test_a_card_is_what_the_network_measures(name):
    """If this fails: docs/generate.py --cards, and look at what changed."""
    assert {key: "" if value is None else str(value) for key, value in card(name).items()} == kept()[name]


def test_there_is_a_card_for_every_network_of_the_table():
    assert list(kept()) == names()


def test_measuring_leaves_no_number_and_no_random_state_behind():
    before = torch.random.get_rng_state()
    measures = measure("squeezenet1_1")
    assert (measures.parameters, measures.input_size) == (1_235_496, 224)
    assert torch.equal(torch.random.get_rng_state(), before)


# what torchvision publishes


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_the_computed_figures_are_those_that_torchvision_publishes(name):
    record = published("torchvision", name).record
    row = ROWS[name]
    assert row["parameters"] == record.meta["num_params"]
    assert row["gflops"] == pytest.approx(record.meta["_ops"], rel=0.01, abs=0.001)
    if name != "googlenet":  # its file holds the auxiliary classifiers too: 49.7 MB
        assert row["size_mb"] == pytest.approx(record.meta["_file_size"], rel=0.015)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_accuracy_is_that_of_the_weights_that_are_loaded(name):
    weights = torchvision_compat.torchvision().models.get_model_weights(name)
    scores = weights.DEFAULT.meta["_metrics"]["ImageNet-1K"]
    row = ROWS[name]
    assert (row["top1"], row["top5"], row["weights"]) == (scores["acc@1"], scores["acc@5"], weights.DEFAULT.name)


# what papers publish: millions of parameters and 10^9 multiply-adds, as printed there

PAPERS = {
    "mobilenetv1_100": (4.2, 0.569),  # Howard et al. 2017, table 4
    "mobilenet_v2": (3.47, 0.300),  # TensorFlow's table of MobileNets; Sandler et al. 2018 print 3.4
    "mobilenet_v3_large": (5.4, 0.219),  # Howard et al. 2019, table 3
    "legacy_xception": (22.8, 8.4),  # Zoph et al. 2018, table 2, for this and the next three
    "inception_v3": (23.8, 5.72),
    "inception_resnet_v2": (55.8, 13.2),
    "nasnetalarge": (88.9, 23.8),
    "pnasnet5large": (86.1, 25.0),  # Liu et al. 2018, table 5
    "efficientnet_b0": (5.3, 0.39),  # Tan and Le 2019, table 2
    "efficientnet_b1": (7.8, 0.70),
    "efficientnet_b7": (66.0, 37.0),
    "convnext_tiny": (29.0, 4.5),  # Liu et al. 2022, table 1
    "convnext_small": (50.0, 8.7),
    "convnext_base": (89.0, 15.4),
    "convnext_large": (198.0, 34.4),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_computed_figures_are_those_of_the_papers(name):
    millions, gflops = PAPERS[name]
    assert ROWS[name]["parameters"] / 1e6 == pytest.approx(millions, rel=0.03)
    assert ROWS[name]["gflops"] == pytest.approx(gflops, rel=0.03)


# Keras' table (keras.io/api/applications): MB and all its parameters. Those count the statistics of BatchNorm, which
# no training changes, and leave or add a bias here and there.
KERAS = {
    "vgg16": (528, 138_357_544),
    "vgg19": (549, 143_667_240),
    "resnet50": (98, 25_636_712),
    "resnet101": (171, 44_707_176),
    "resnet152": (232, 60_419_944),
    "resnetv2_50": (98, 25_613_800),
    "resnetv2_101": (171, 44_675_560),
    "resnetv2_152": (232, 60_380_648),
    "inception_v3": (92, 23_851_784),
    "inception_resnet_v2": (215, 55_873_736),
    "legacy_xception": (88, 22_910_480),
    "mobilenetv1_100": (16, 4_253_864),
    "mobilenet_v2": (14, 3_538_984),
    "densenet121": (33, 8_062_504),
    "densenet169": (57, 14_307_880),
    "densenet201": (80, 20_242_984),
    "nasnetalarge": (343, 88_949_818),
}


@pytest.mark.parametrize("name", KERAS)
def test_size_and_parameters_are_those_of_keras(name):
    size, parameters = KERAS[name]
    row = ROWS[name]
    assert row["parameters"] == pytest.approx(parameters, rel=0.015)
    # a Keras file also describes the layers, 250 kB to 4 MB of text
    assert size * 0.93 - 1 <= row["size_mb"] <= size + 0.5


# depth: the largest number of convolutional and fully connected layers on a path from the picture to the scores

DEPTHS = {
    "squeezenet1_1": 18,  # this and the next six: MathWorks, Pretrained Deep Neural Networks, which defines it so
    "googlenet": 22,
    "inception_v3": 48,
    "mobilenet_v2": 53,
    "densenet201": 201,
    "legacy_xception": 71,
    "efficientnet_b0": 82,
    "mobilenetv1_100": 28,  # Howard et al. 2017: "MobileNet has 28 layers"
    # 5 + 3 at the start, 10 blocks of 4, 3, 20 blocks of 4, 3, 10 blocks of 4, 1, 1: MathWorks says 164
    "inception_resnet_v2": 176,
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_is_the_published_one(name):
    assert ROWS[name]["depth"] == DEPTHS[name]


@pytest.mark.parametrize("name", [name for name in names() if re.match("vgg|resnet|densenet", name)])
def test_depth_is_the_number_in_the_name(name):
    assert ROWS[name]["depth"] == int(re.findall(r"\d+", name.removeprefix("resnetv2"))[0])


# what is cited


def test_every_accuracy_says_where_it_was_published():
    for row in ROWS.values():
        assert row["figures"]
        assert (row["top1"] is None) == (row["figures"] == "no weights are published")
        assert row["top1"] is None or 50 < row["top1"] < row["top5"] < 100
    assert ROWS["resnetv2_152"]["top1"] is None
    assert ROWS["resnetv2_152"]["sources"] == []
    assert ROWS["inception_v2"]["top1"] == 73.524


def test_every_network_of_timm_with_weights_has_a_row_of_its_table():
    assert set(TIMM) == {row["name"] for row in ROWS.values() if row["library"] == "timm" and row["weights"]}


# whether the weights are here


def test_here_is_what_the_weights_themselves_say(tmp_path, monkeypatch):
    """The card asks without torch and timm; it must not say something else."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("REGRAFT_HOME", str(tmp_path / "home"))
    (tmp_path / "vgg16.pth").touch()
    locations.imports().mkdir(parents=True)
    for name in ("vgg16", "resnet18", "resnet34"):
        (locations.imports() / f"{name}.safetensors").touch()
    for name in ("resnet18", "legacy_xception"):
        path = locations.torch_file(kept()[name]["file"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    revision = tmp_path / "hub" / "models--timm--nasnetalarge.tf_in1k" / "snapshots" / ("0" * 40)
    revision.mkdir(parents=True)
    (revision / "model.safetensors").touch()
    refs = revision.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(revision.name)
    here = {row["name"]: row["here"] for row in catalog.models(available=True)}
    assert here == {name: found for name in names() if (found := available(name))}
    assert here == {
        "tf_efficientnet_lite0": ["pypi"],
        "vgg16": ["file", "imported"],
        "resnet18": ["imported", "torchvision"],
        "resnet34": ["imported"],
        "legacy_xception": ["timm"],
        "nasnetalarge": ["timm"],
    } | {name: ["pypi"] for name, package in locations.PACKAGES.items() if package.path}


@pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "~/c"}, {"XDG_CACHE_HOME": "/x", "TORCH_HOME": "~/t"}])
def test_the_torch_cache_is_where_torch_says(variables, monkeypatch):
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert locations.torch_file("a.pth") == Path(torch.hub.get_dir()) / "checkpoints" / "a.pth"


def test_files_are_looked_for_under_every_ending_that_can_be_read():
    assert set(locations.SUFFIXES) == set(READERS)


def test_a_folder_of_weights_that_is_none_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsMissing, match="nowhere, which is no folder"):
        catalog.models()


# choosing and sorting


def test_a_pattern_finds_by_part_by_wildcard_and_by_other_names():
    def found(*given, **options):
        return {row["name"] for row in regraft.models(*given, **options)}

    assert found("VGG16") == {"vgg16", "vgg16_bn"}
    assert found("resnet*") == {name for name in names() if name.startswith("resnet")}
    assert found("inception_v1") == {"googlenet"}
    assert found(family="xception") == {"legacy_xception"}
    assert found("lite", family="efficientnet_lite") == {f"tf_efficientnet_lite{n}" for n in range(5)}
    assert len(found()) == len(names())


@pytest.mark.parametrize("column", catalog.SORTABLE)
def test_rows_are_sorted_and_what_is_unknown_comes_last(column):
    values = [row[column] for row in catalog.models(sort=column)]
    known = [value for value in values if value not in table.UNKNOWN]
    assert known == sorted(known, reverse=column in ("top1", "top5"))
    assert all(value in table.UNKNOWN for value in values[len(known) :])


def test_a_column_goes_by_what_the_table_calls_it():
    for column in ("top-1", "top1", "TOP_1"):
        assert catalog.models(sort=column) == catalog.models()
    for column in table.COLUMNS:
        assert (
            catalog.models(sort=column.title)
            == catalog.models(sort=column.title.lower())
            == catalog.models(sort=column.name)
        )


def test_every_column_of_a_row_can_be_sorted_by():
    assert set(catalog.models()[0]) == set(catalog.SORTABLE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pattern": "reznet50"}, "resnet50"),
        ({"family": "resnett"}, "resnet"),
        ({"sort": "colour"}, "Known: GFLOPs, MB, .*params.*size_mb.*top-1, "),
    ],
)
def test_a_misspelt_name_is_not_replaced(given, said):
    with pytest.raises(UnknownName, match=said):
        catalog.models(**given)


# the table in the terminal


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 140, 200])
def test_a_table_fits_and_every_name_is_whole(width, regraft, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    answer = regraft("models")
    assert answer.status == 0
    lines = [line.rstrip() for line in answer.out.splitlines()[:-1]]
    assert width == 30 or max(map(len, lines)) <= width
    assert set(names()) <= {line.split()[0] for line in lines if line}
    assert Console().width == width


def test_a_narrow_table_says_what_it_left_out():
    titles, cells, left_out = table.fitting(list(ROWS.values()), 80)
    assert titles == ["network", "top-1", "top-5", "MB", "params", "depth", "GFLOPs", "here"]
    assert left_out == ["family", "px", "licence", "sources"]
    assert {len(row) for row in cells} == {8}
    assert table.fitting(list(ROWS.values()), 200)[2] == []


def test_json_is_what_python_gives(regraft):
    answer = regraft("models", "vgg16*", "--sort", "size_mb", "--json")
    assert json.loads(answer.out) == {"rows": catalog.models("vgg16*", sort="size_mb")}
    assert answer.err == ""


def test_available_shows_only_what_is_here(regraft):
    found = {row["name"]: row["here"] for row in json.loads(regraft("models", "--available", "--json").out)["rows"]}
    assert "pypi" in found["tf_efficientnet_lite0"]
    assert "resnetv2_152" not in found


def test_the_models_are_shown_without_loading_torch():
    code = (
        "import sys\nfrom regraft.cli import main\n"
        "try: main(['models'])\nfinally: print({'torch', 'timm', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "set()\n")
