"""Features are what the stages give, each picture's computed once, beside the right path, whatever ends the run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet

import regraft as public
from regraft.activations import prefix
from regraft.activations import store as storing
from regraft.activations.sources import Kept
from regraft.backbones import Backbone, build
from regraft.data import decode, natural_key
from regraft.errors import BadImage, CacheFull, ConfigError, NoImages, UnknownName
from regraft.inference import bundle, extraction, features
from regraft.utils.progress import Progress, Tick
from regraft.weights.loading import load

NETWORK = "squeezenet1_1"
SMALL: dict[str, Any] = {"weights": "random:3", "img_size": 64, "device": "cpu"}
OPTIONS = ("--weights", "random:3", "--img-size", 64, "--device", "cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone: what is computed, and what is not, is the question here."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("REGRAFT_CACHE", str(folder))
    return folder


@pytest.fixture
def pictures(drawn: Path) -> list[Path]:
    """Thirty-two pictures in natural order."""
    return sorted(drawn.rglob("*.png"), key=lambda path: natural_key(str(path)))


def network(name: str = NETWORK) -> Backbone:
    backbone = build(name)
    load(backbone, "random:3")
    return backbone.sized(64, "stretch")


def maps_of(backbone: Backbone, paths: Sequence[Path], stages: int) -> np.ndarray:
    """Decode and run the stages one by one, without the code under test."""
    look = backbone.preprocessing
    pixels = np.stack([decode(path.read_bytes(), look) for path in paths]).astype(np.float32) / 255
    x = torch.from_numpy((pixels - np.float32(look.mean)) / np.float32(look.std)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        for stage in backbone.stages[:stages]:
            x = stage.module.eval()(x)
    return x.numpy()


class Counter(Progress):
    """Notes how many pictures each pass begins with, and what is said; calls `after` with what has been done."""

    def __init__(self, after: Callable[[int], None] = lambda done: None) -> None:
        self.passes: list[int] = []
        self.said: list[str] = []
        self.after = after

    def warn(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        self.passes.append(total)
        done = 0

        def tick(advance: int = 1, text: str = "") -> None:
            nonlocal done
            done += advance
            self.after(done)

        yield tick


# ---- the rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18"])
def test_maps_are_those_of_the_stages_and_pooled_rows_are_their_means(name: str, pictures: list[Path]) -> None:
    backbone = network(name)
    for layer, stages in ((None, len(backbone.stages)), (backbone.stages[1].name, 2)):
        expected = maps_of(backbone, pictures[:5], stages)
        maps = public.features(name, pictures[:5], layer=layer, pool=False, **SMALL)
        pooled = public.features(name, pictures[:5], layer=layer, **SMALL)
        assert (maps.dtype, maps.shape) == (np.float32, expected.shape)
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(pooled, maps.mean((2, 3)), rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_onnx_runtime_gives_the_same_rows_as_torch(pictures: list[Path]) -> None:
    for pool in (True, False):
        torch_s, onnx_s = (
            public.features(NETWORK, pictures[:3], pool=pool, engine=engine, **SMALL)
            for engine in ("torch", "onnxruntime")
        )
        np.testing.assert_allclose(onnx_s, torch_s, rtol=1e-4, atol=1e-4 * np.abs(torch_s).max())


def test_rows_follow_the_order_asked_for_and_a_picture_may_come_twice(pictures: list[Path]) -> None:
    there = public.features(NETWORK, pictures[:4], **SMALL)
    order = [3, 0, 2, 0]
    again = public.features(NETWORK, [str(pictures[index]) for index in order], **SMALL)
    np.testing.assert_array_equal(again, there[order])
    assert len(np.unique(there, axis=0)) == 4


def test_a_folder_stands_for_its_pictures_in_natural_order(drawn: Path, pictures: list[Path]) -> None:
    np.testing.assert_array_equal(
        public.features(NETWORK, [drawn / "red"], **SMALL),
        public.features(NETWORK, [path for path in pictures if path.parent.name == "red"], **SMALL),
    )


def test_a_bundle_s_features_use_its_own_weights_and_preprocessing(small_run: Path, pictures: list[Path]) -> None:
    own = bundle.load(small_run)
    found = public.features(small_run, pictures[:4])
    expected = maps_of(own.backbone, pictures[:4], len(own.backbone.stages)).mean((2, 3))
    assert own.backbone.preprocessing.size == 64
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(public.features(own, pictures[:4]), found)
    assert not np.allclose(public.features(small_run, pictures[:4], img_size=96), found)


def test_a_crop_stays_a_crop(small_run: Path, pictures: list[Path], tmp_path: Path) -> None:
    """A network by its name sees whole pictures, as a training by default; a model sees what it was trained on."""
    own = bundle.load(small_run)
    look = replace(own.backbone.preprocessing, resize=96, fit="crop")
    bundle.save(tmp_path / "cropped", replace(own, backbone=replace(own.backbone, preprocessing=look)))
    found = public.features(tmp_path / "cropped", pictures[:2])
    expected = maps_of(replace(own.backbone, preprocessing=look), pictures[:2], len(own.backbone.stages)).mean((2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


# ---- computed once --------------------------------------------------------------------------------------------------


def test_a_picture_is_computed_once_whatever_it_is_called(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes(pictures[0].read_bytes())
    counter = Counter()
    first = public.features(NETWORK, [pictures[0], tmp_path / "copy.png", pictures[1]], progress=counter, **SMALL)
    again = public.features(NETWORK, [tmp_path / "copy.png", *pictures[:3]], progress=counter, **SMALL)
    assert counter.passes == [2, 1]  # two contents; then only the new one
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(again[:3], first[[1, 0, 2]])


@pytest.mark.parametrize(
    "other", [{"weights": "random:4"}, {"img_size": 96}, {"layer": "features.3-5"}, {"pool": False}]
)
def test_other_settings_never_meet_kept_rows(pictures: list[Path], other: dict[str, Any]) -> None:
    counter = Counter()
    for settings in (SMALL, SMALL | other, SMALL):
        public.features(NETWORK, pictures[:2], progress=counter, **settings)
    assert counter.passes == [2, 2]


def check_file(output: Path) -> None:
    """Compute every row again, from the picture beside it."""
    backbone, found = network(), np.load(output)
    expected = maps_of(backbone, [Path(path) for path in found["paths"]], len(backbone.stages)).mean((2, 3))
    assert len(expected) == 32
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_ctrl_c_keeps_what_was_computed(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "BATCH", 8)
    output = tmp_path / "rows.npz"
    stop = Counter(lambda done: signal.raise_signal(signal.SIGINT) if done == 16 else None)
    with pytest.raises(KeyboardInterrupt):
        features.extract(NETWORK, [drawn], output, progress=stop, **SMALL)
    assert not list(tmp_path.glob("*.npz"))
    counter = Counter()
    features.extract(NETWORK, [drawn], output, progress=counter, **SMALL)
    assert counter.passes == [16]
    check_file(output)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_features as here
here.storing.SEGMENT_S = 0.0  # every batch is a segment
here.prefix.BATCH = 8
stop = here.Counter(lambda done: os.kill(os.getpid(), signal.SIGKILL) if done == 16 else None)
here.features.extract(here.NETWORK, [sys.argv[2]], Path(sys.argv[3]), progress=stop, **here.SMALL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_goes_on_with_the_rows_that_are_missing(drawn: Path, tmp_path: Path, cache: Path) -> None:
    output = tmp_path / "rows.npz"
    command = [sys.executable, "-c", KILLED, Path(__file__).parent, drawn, output]
    assert subprocess.run(list(map(str, command)), capture_output=True).returncode == -signal.SIGKILL
    assert not output.exists()
    assert len(list(cache.rglob("*.index"))) == 2
    counter = Counter()
    features.extract(NETWORK, [drawn], output, progress=counter, **SMALL)
    assert counter.passes == [16]
    check_file(output)


def test_rows_are_read_back_a_few_at_a_time(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = public.features(NETWORK, pictures[:7], **SMALL)
    monkeypatch.setattr(extraction, "CHUNK_BYTES", 2 * whole[0].nbytes + 1)
    store = storing.Store(tmp_path, {}, whole.shape[1:], "float32")
    with store.writer() as writer:
        writer.add(list("abcdefg"), whole)
    chunks = list(extraction.Kept(Kept([store], "abcdefg"), list("abcdefg"), list(range(7)), {}).chunks())
    assert [len(chunk) for chunk in chunks] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_maps_that_do_not_fit_are_refused_with_a_way_out_and_fit_when_pooled(pictures: list[Path]) -> None:
    ways = r"cache_limit=0.0001.*Raise cache_limit=, leave out pool=False, .* smaller img_size=\."
    with pytest.raises(CacheFull, match=ways) as told:
        public.features(NETWORK, pictures, pool=False, cache_limit=1e-4, **SMALL)
    assert "views=" not in str(told.value)
    assert "keep=" not in str(told.value)
    assert len(public.features(NETWORK, pictures, cache_limit=1e-4, **SMALL)) == 32


# ---- pictures that cannot be read -----------------------------------------------------------------------------------


def test_in_python_an_unreadable_picture_is_named_and_no_row_shifts(pictures: list[Path]) -> None:
    pictures[1].write_bytes(b"")
    pictures[3].write_bytes(pictures[3].read_bytes()[:200])
    with pytest.raises(BadImage, match=rf"{re.escape(str(pictures[1]))} cannot be read: 0 bytes \(1 more cannot\)"):
        public.features(NETWORK, pictures, **SMALL)


def test_of_a_folder_it_is_left_out_with_a_warning(drawn: Path, pictures: list[Path]) -> None:
    (drawn / "red" / "torn.png").write_bytes(b"no picture")
    with pytest.warns(match=r"torn\.png is left out"):
        found = public.features(NETWORK, drawn, **SMALL)
    assert found.paths == [str(path) for path in pictures]


def test_in_a_file_it_is_left_out_and_named(drawn: Path, pictures: list[Path], tmp_path: Path) -> None:
    pictures[1].write_text("no picture at all")
    (drawn / "twin.png").write_text("no picture at all")
    counter = Counter()
    for _ in range(2):
        written = features.extract(NETWORK, [drawn], tmp_path / "rows.npz", progress=counter, **SMALL)
        assert written.skipped == dict.fromkeys(
            map(str, (pictures[1], drawn / "twin.png")), "not a picture (text file?)"
        )
        assert written.shape == (31, 512)
    assert f"{pictures[1]} is left out: not a picture (text file?)." in counter.said
    good = [path for path in pictures if path != pictures[1]]
    found = np.load(tmp_path / "rows.npz")
    assert found["paths"].tolist() == list(map(str, good))
    np.testing.assert_array_equal(found["features"], public.features(NETWORK, good, **SMALL))


def test_no_readable_picture_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(NoImages, match=r"None of the 1 pictures can be read; the first: .*a\.png: 0 bytes"):
        features.extract(NETWORK, [tmp_path], tmp_path / "rows.npz", **SMALL)
    assert not (tmp_path / "rows.npz").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are always text there")
@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_name_that_is_no_text_is_written_readably(pictures: list[Path], tmp_path: Path, ending: str) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    odd.write_bytes(pictures[0].read_bytes())
    output = tmp_path / f"rows.{ending}"
    features.extract(NETWORK, [odd], output, **SMALL)
    names = parquet.read_table(output)["path"].to_pylist() if ending == "parquet" else np.load(output)["paths"].tolist()
    assert names == [f"{tmp_path}/caf\\udce9.png"]


# ---- what cannot be meant -------------------------------------------------------------------------------------------


def test_a_stage_that_does_not_exist_lists_the_stages(pictures: list[Path]) -> None:
    with pytest.raises(UnknownName, match=r"stage of squeezenet1_1 'layer4'.*features\.0-2, features\.3-5"):
        public.features(NETWORK, pictures[:1], layer="layer4", **SMALL)


def test_weights_for_a_model_that_brings_its_own_are_refused(small_run: Path, pictures: list[Path]) -> None:
    with pytest.raises(ConfigError, match="weights='random'"):
        public.features(small_run, pictures[:1], weights="random")


@pytest.mark.parametrize("other", [{"img_size": 8}, {"engine": "onnx"}, {"device": "tpu"}])
def test_settings_are_held_to_their_range(pictures: list[Path], other: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(other))):
        public.features(NETWORK, pictures[:1], **SMALL | other)


# ---- the command line -----------------------------------------------------------------------------------------------


def test_json_names_the_file_its_shape_and_what_was_left_out(
    regraft: Callable[..., Any], drawn: Path, pictures: list[Path], tmp_path: Path
) -> None:
    pictures[0].write_bytes(b"")
    output = tmp_path / "rows.npz"
    answer = regraft("features", NETWORK, drawn, "-o", output, *OPTIONS, "--json")
    assert answer.status == 0
    assert json.loads(answer.out) == {
        "file": str(output),
        "n": 31,
        "shape": [31, 512],
        "skipped": [{"path": str(pictures[0]), "reason": "0 bytes"}],
    }
    assert f"{pictures[0]} is left out: 0 bytes." in answer.err
    assert np.load(output)["features"].shape == (31, 512)


def test_both_kinds_of_file_hold_the_same_rows_in_natural_order(
    regraft: Callable[..., Any], drawn: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (drawn / "red" / "red2.png").rename(drawn / "red" / "red10.png")
    last = drawn / "red" / "red10.png"
    asked = ("features", NETWORK, drawn / "red", drawn / "blue", "--layer", "features.3-5", "--no-pool", *OPTIONS)
    for ending in ("npz", "parquet"):
        answer = regraft(*asked, "-o", tmp_path / f"rows.{ending}")
        assert (answer.status, answer.out) == (0, f"{tmp_path / f'rows.{ending}'}: 16 x 128 x 7 x 7\n")
    found, table = np.load(tmp_path / "rows.npz"), parquet.read_table(tmp_path / "rows.parquet")
    assert found["paths"][7] == str(last)
    assert found["paths"][8] == str(drawn / "blue" / "blue0.png")
    assert table["path"].to_pylist() == found["paths"].tolist()
    shape = json.loads(table.schema.metadata[b"shape"])
    flat = np.array(table["features"].to_pylist(), np.float32)
    np.testing.assert_array_equal(flat.reshape(-1, *shape), found["features"])


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("rows.csv", "expected .npz or .parquet"),
        ("nowhere/rows.npz", "there is no folder"),
        ("taken.npz", "is a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path, cache: Path, output: str, says: str
) -> None:
    (tmp_path / "taken.npz").mkdir()
    answer = regraft("features", NETWORK, drawn, "-o", tmp_path / output, *OPTIONS)
    assert (answer.status, answer.out) == (1, "")
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not list(cache.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    answer = regraft("features", NETWORK, drawn, "-o", tmp_path / "locked" / "rows.npz", *OPTIONS)
    assert (answer.status, "no folder that can be written to" in answer.err) == (1, True)


# ---- real weights ---------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg16"])
def test_real_networks_give_512_numbers_that_tell_pictures_apart(
    shared: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vgg16's file here has no ImageNet head: none is needed."""
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(shared / "weights"))
    cells = sorted((shared / "data" / "malaria" / "Parasitized").iterdir())[:4]
    rows = public.features(name, cells, img_size=128)
    assert rows.shape == (4, 512)
    assert np.isfinite(rows).all()
    assert (rows >= 0).all()  # both end with a ReLU
    assert rows.std(0).max() > 0
