"""A sample -> a ranking: what the probe says is what an independent linear model says, and nothing is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regraft.data import scan, split
from regraft.errors import ConfigError, UnknownName, WeightsMissing
from regraft.experiments.recommendation import Ranked, Recommendation, recommend
from regraft.utils.progress import Progress, Tick

TINY: dict[str, Any] = {"weights": "random", "img_size": 64, "device": "cpu", "engine": "torch"}


def candidate(name: str, probe: float, milliseconds: float = 10.0, error: float = 0.01) -> Ranked:
    return Ranked(name, probe, error, 0.5, 60.0, milliseconds, 20.0, 10.0)


def recommendation(*candidates: Ranked) -> Recommendation:
    return Recommendation("cells", 1000, 5000, list(candidates), {})


@pytest.fixture(scope="module")
def found(shapes: Path) -> Recommendation:
    return recommend(shapes, backbones="squeezenet1_1,resnet18", **TINY)


def test_a_recommendation_is_a_table(found: Recommendation) -> None:
    pytest.importorskip("pandas")
    assert list(found.to_pandas()["backbone"]) == [one.backbone for one in found.candidates]
    assert found.candidates[0].backbone in found._repr_html_()


def test_every_network_has_a_probe_and_its_costs(found: Recommendation) -> None:
    assert {one.backbone for one in found.candidates} == {"squeezenet1_1", "resnet18"}
    assert [one.probe for one in found.candidates] == sorted((one.probe for one in found.candidates), reverse=True)
    for one in found.candidates:
        assert one.probe > 0.5  # four colours: even random weights see more than chance
        assert np.isfinite(one.logme)
        assert min(one.feature_extraction_s, one.predict_ms, one.memory_mb) > 0
        assert one.feature_extraction_s == pytest.approx(one.predict_ms / 1000 * found.pictures)


def test_the_size_is_that_of_the_weights(found: Recommendation) -> None:
    (resnet,) = (one for one in found.candidates if one.backbone == "resnet18")
    assert resnet.size_mb == pytest.approx(4 * 11.177, abs=0.05)  # 11.69 M less the 1000-class layer, in float32


def test_a_sample_is_stratified_and_seen_instead_of_all(shapes: Path) -> None:
    found = recommend(shapes, backbones="squeezenet1_1", sample=40, **TINY)
    assert (found.sample, found.pictures) == (40, 80)


class Heard(Progress):
    """Keeps the warnings, and which steps there were."""

    def __init__(self) -> None:
        self.said, self.steps = list[str](), list[str]()

    def warn(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        self.steps.append(what)
        yield lambda advance=1, text="": None


def test_files_are_read_once_for_all_networks_and_their_scale_is_said(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 2000)):
        (tmp_path / label).mkdir()
        for number in range(20):
            pixels = numbers.integers(low, low + 2000, (64, 64)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    heard = Heard()
    recommend(tmp_path, backbones="squeezenet1_1,resnet18", progress=heard, **TINY)
    assert heard.steps.count("Reading") == 1
    assert sum("scale" in text for text in heard.said) == 1


def test_no_picture_of_the_test_part_is_looked_at(drawn: Path, found: Recommendation) -> None:
    """Their bytes are gone: whoever opened them would say that they cannot be read."""
    assert found.sample == 68  # of 80
    parted = split(scan(drawn), val=0.15, test=0.15, seed=0)
    for index in parted.part("test"):
        parted.items[index].path.write_bytes(b"")
    seen = recommend(drawn, backbones="squeezenet1_1", **TINY)
    assert seen.sample == len(parted) - len(parted.part("test"))
    assert seen.candidates[0].probe > 0.3


def test_one_network_that_fails_does_not_end_the_others(shapes: Path, tmp_path: Path) -> None:
    names = ["squeezenet1_1", "resnet18"]
    (tmp_path / "squeezenet1_1.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsMissing, match="No network could be tried; squeezenet1_1: "):
        recommend(shapes, backbones=names, **{**TINY, "weights": str(tmp_path)})


def test_an_unknown_network_is_refused_at_once(shapes: Path) -> None:
    with pytest.raises(UnknownName):
        recommend(shapes, backbones="resnet19", **TINY)


def test_networks_within_the_error_are_called_equal_and_the_quickest_is_named() -> None:
    advice = recommendation(candidate("a", 0.95, 50), candidate("b", 0.945, 10), candidate("c", 0.8, 1)).advice()
    assert "a did best" in advice
    assert "b is as good within the error of this sample and 5.0 times as quick" in advice
    assert "compare cells --backbones a,b" in advice


def test_the_quickest_equal_is_among_those_to_be_compared() -> None:
    equals = [candidate(name, 0.95 - 0.001 * at, 50 - at) for at, name in enumerate("abcd")]
    advice = recommendation(*equals).advice()
    assert "d is as good" in advice
    assert "--backbones a,d,b" in advice


def test_the_next_command_has_the_settings_that_were_given() -> None:
    given: dict[str, Any] = {"img_size": 96, "fit": "crop", "groups": r"^(C\d+) ", "allow_bad": True, "seed": 0}
    both = [candidate("a", 0.95), candidate("b", 0.945)]
    options = r"--img-size 96 --fit crop --groups '^(C\d+) ' --allow-bad --seed 0"
    train = Recommendation("my cells", 1000, 5000, both[:1], {}, {**given, "weights": "w"}).advice()
    assert train.endswith(f"regraft train 'my cells' {options} --weights w --backbone a --method finetuned")
    compare = Recommendation("my cells", 1000, 5000, both, {}, {**given, "weights": "w"}).advice()
    assert compare.endswith(f"regraft compare 'my cells' --backbones a,b {options}")  # it has no --weights


def test_a_clear_winner_is_to_be_trained() -> None:
    advice = recommendation(candidate("a", 0.95), candidate("b", 0.8)).advice()
    assert "regraft train cells --backbone a --method finetuned" in advice


@pytest.mark.parametrize(("name", "says"), [("backbone", "backbones="), ("method", "train"), ("from_run", "train")])
def test_settings_that_it_would_pass_over_are_refused_with_the_right_one(shapes: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"recommend makes no use of {name}=.*{says}"):
        recommend(shapes, **{name: "resnet18"})
