"""The frozen part over real pictures: rows are those of the network, whatever is kept, and never those of another."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regraft.activations import engines
from regraft.activations.choosing import agreement
from regraft.activations.engines import Runner
from regraft.activations.prefix import Demand, Means, Prefix
from regraft.activations.sources import Kept, Pictures, View
from regraft.backbones import Backbone, build
from regraft.data import Preprocessing, Tta, decode, draw_view, read_digests
from regraft.errors import ActivationOverflow, BadImage, CacheFull
from regraft.utils.progress import Progress
from regraft.weights.loading import load

LOOK = Preprocessing(size=64, resize=64)
COUNT = 8
LAST = 5  # stages of a ResNet; at this cut the output is pooled


class Listener(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def detail(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)


def draw(path: Path, seed: int, size: int = 72) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size + 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(COUNT):
        draw(tmp_path / "pictures" / f"{number}.png", number)
    return tmp_path / "pictures"


@functools.cache
def network(seed: int = 0, look: Preprocessing = LOOK) -> Backbone:
    """A ResNet-18 with random weights; not to be changed."""
    return fresh(seed, look)


def fresh(seed: int = 0, look: Preprocessing = LOOK) -> Backbone:
    backbone = replace(build("resnet18", seed=seed), preprocessing=look)
    load(backbone, "random", seed=seed)
    return backbone


def pictures_of(folder: Path, look: Preprocessing = LOOK, **settings: Any) -> Pictures:
    paths = sorted(folder.iterdir())
    digests = read_digests(paths)
    assert all(isinstance(digest, str) for digest in digests)
    return Pictures(paths, digests, look, **settings)  # type: ignore[arg-type]


def frozen(
    backbone: Backbone, pictures: Pictures, root: Path, cuts: Iterable[int] = (LAST,), **settings: Any
) -> Prefix:
    of_demand = {
        name: settings.pop(name) for name in ("trained", "views", "epochs", "tested", "tested_at") if name in settings
    }
    demand = Demand(**{"epochs": dict.fromkeys(cuts, 5), "trained": len(pictures.paths), **of_demand})
    progress = settings.pop("progress", None)
    usual = {"device": torch.device("cpu"), "engine": "torch", "dtype": "float32", "keep": "always", "root": root}
    return Prefix(backbone, pictures, demand, Means(**{**usual, **settings}), progress)


def rows_of(prefix: Prefix, cut: int, views: int = 1) -> np.ndarray:
    """Run what is missing; return [views, pictures, *shape]."""
    everything = range(len(prefix.pictures.paths))
    assert prefix.plain() == {}
    prefix.augmented(everything, views)
    return np.stack([prefix.at(cut, views).rows(everything, [view] * len(everything)) for view in range(views)])


def truth(backbone: Backbone, pictures: Pictures, cut: int, view: int = 0) -> np.ndarray:
    """Picture by picture, through nothing but the decoder and the stages."""
    rows = []
    for path, digest in zip(pictures.paths, pictures.digests, strict=True):
        pixels = decode(path.read_bytes(), pictures.preprocessing)
        seen = draw_view(pixels, view=view, digest=digest, augment=pictures.augment, seed=pictures.seed)
        with torch.inference_mode():
            rows.append(backbone.prefix(cut)(torch.from_numpy(seen)[None])[0].numpy() if cut else seen)
    return np.stack(rows)


@pytest.mark.parametrize("keep", ["always", "never"])
def test_rows_are_those_of_the_network_in_every_view(folder: Path, tmp_path: Path, keep: str) -> None:
    backbone, pictures = network(), pictures_of(folder, augment=("flip", "turn"), seed=4)
    prefix = frozen(backbone, pictures, tmp_path / "cache", [0, 4, LAST], views=3, keep=keep)
    for cut in (0, 4, LAST):
        found = (
            rows_of(prefix, cut, 3) if cut else [prefix.at(0).rows(range(COUNT), [view] * COUNT) for view in range(3)]
        )
        for view in range(3):
            expected = truth(backbone, pictures, cut, view)
            np.testing.assert_allclose(found[view], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
            assert found[view].shape[1:] == prefix.at(cut).shape


def test_pictures_and_views_may_be_asked_for_in_any_mixture(folder: Path, tmp_path: Path) -> None:
    prefix = frozen(network(), pictures_of(folder, augment=("flip",)), tmp_path, views=2)
    whole = rows_of(prefix, LAST, 2)
    which, views = [5, 0, 5, 3, 3], [1, 0, 0, 1, 1]
    np.testing.assert_array_equal(prefix.at(LAST, 2).rows(which, views), whole[views, which])


class Counted(list[Path]):
    """Counts how often a picture's path is asked for: once for each time that it is decoded."""

    asked = 0

    def __getitem__(self, index: Any) -> Any:
        self.asked += 1
        return super().__getitem__(index)


def test_a_picture_is_decoded_once_for_all_augmented_views(folder: Path, tmp_path: Path) -> None:
    pictures = pictures_of(folder, augment=("flip", "turn"))
    prefix = frozen(network(), pictures, tmp_path, [4, LAST], views=4)
    assert prefix.plain() == {}
    prefix.pictures = replace(pictures, paths=Counted(pictures.paths))
    prefix.augmented(range(COUNT), 4)
    assert prefix.pictures.paths.asked == COUNT  # type: ignore[attr-defined]
    found = prefix.at(LAST, 4).rows(range(COUNT), [3] * COUNT)
    np.testing.assert_allclose(found, truth(network(), pictures, LAST, 3), rtol=1e-4, atol=1e-5)


def test_the_same_threads_decode_every_batch(folder: Path, tmp_path: Path) -> None:
    def at_work() -> set[int | None]:
        return {thread.ident for thread in threading.enumerate() if thread.name.startswith("pixels")} - others

    others: set[int | None] = set()
    others = at_work()
    pixels = frozen(network(), pictures_of(folder), tmp_path, [0], keep="never").at(0)
    for _ in range(3 * COUNT):  # a pool starts its threads as they are needed
        pixels.rows(range(COUNT), [0] * COUNT)
    before = at_work()
    pixels.rows(range(COUNT), [0] * COUNT)
    assert before
    assert before <= at_work()


def test_a_second_run_computes_nothing(folder: Path, tmp_path: Path) -> None:
    """Its files are as they were, and the rows the same to the bit."""
    first = rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache", [4, LAST]), LAST)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    second = rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache", [4, LAST]), LAST)
    np.testing.assert_array_equal(first, second)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()} == written


def test_only_new_pictures_are_run(folder: Path, tmp_path: Path) -> None:
    rows_of(frozen(network(), pictures_of(folder).only(range(5)), tmp_path / "cache"), LAST)
    before = set((tmp_path / "cache").rglob("*.rows"))
    whole = rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache"), LAST)
    (new,) = set((tmp_path / "cache").rglob("*.rows")) - before
    assert new.stat().st_size == (COUNT - 5) * 1024 * 4
    np.testing.assert_allclose(whole[0], truth(network(), pictures_of(folder), LAST), rtol=1e-4, atol=1e-5)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what differs in the pictures, in the network
    "weights": ({}, {"seed": 1}),
    "size": ({"look": replace(LOOK, size=96, resize=96)}, {"look": replace(LOOK, size=96, resize=96)}),
    "crop": ({"look": replace(LOOK, resize=70)}, {"look": replace(LOOK, resize=70)}),
    "fit": ({"look": replace(LOOK, fit="stretch")}, {"look": replace(LOOK, fit="stretch")}),
    "interpolation": (
        {"look": replace(LOOK, interpolation="bicubic")},
        {"look": replace(LOOK, interpolation="bicubic")},
    ),
    "mean": ({"look": replace(LOOK, mean=(0.5, 0.5, 0.5))}, {"look": replace(LOOK, mean=(0.5, 0.5, 0.5))}),
    "scale": ({"look": replace(LOOK, scale=255.0)}, {"look": replace(LOOK, scale=255.0)}),
    "channels": ({"look": replace(LOOK, channels="BGR")}, {"look": replace(LOOK, channels="BGR")}),
    "seed": ({"seed": 5}, {}),
    "augment": ({"augment": ("turn", "crop", "color")}, {}),
    "order of augment": ({"augment": ("crop", "turn")}, {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_setting_never_meets_an_old_row(folder: Path, tmp_path: Path, change: str) -> None:
    usual = {"augment": ("turn", "crop"), "seed": 4}
    other_pictures, other_network = CHANGES[change]
    old = rows_of(frozen(network(), pictures_of(folder, **usual), tmp_path / "shared", views=2), LAST, 2)
    backbone, pictures = network(**other_network), pictures_of(folder, **{**usual, **other_pictures})
    beside_the_old = rows_of(frozen(backbone, pictures, tmp_path / "shared", views=2), LAST, 2)
    alone = rows_of(frozen(backbone, pictures, tmp_path / "empty", views=2), LAST, 2)
    np.testing.assert_array_equal(beside_the_old, alone)
    assert not np.array_equal(old, alone)


def test_a_changed_picture_never_meets_its_old_row(folder: Path, tmp_path: Path) -> None:
    old = rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache"), LAST)[0]
    draw(folder / "3.png", seed=100)
    new = rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache"), LAST)[0]
    np.testing.assert_allclose(new, truth(network(), pictures_of(folder), LAST), rtol=1e-4, atol=1e-5)
    assert [bool((old[index] == new[index]).all()) for index in range(COUNT)] == [index != 3 for index in range(COUNT)]


def test_a_picture_that_changes_after_it_was_digested_leaves_no_row_under_the_wrong_digest(
    folder: Path, tmp_path: Path
) -> None:
    before = pictures_of(folder)
    draw(before.paths[2], 1234)
    prefix = frozen(network(), before, tmp_path)
    assert {index: str(reason) for index, reason in prefix.plain().items()} == {2: "changed while Regraft was at work"}
    after = pictures_of(folder)
    np.testing.assert_allclose(
        rows_of(frozen(network(), after, tmp_path), LAST)[0], truth(network(), after, LAST), atol=1e-4
    )


def test_a_picture_under_another_name_meets_its_row(folder: Path, tmp_path: Path) -> None:
    rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache"), LAST)
    before = list((tmp_path / "cache").rglob("*.rows"))
    for path in folder.iterdir():
        path.rename(path.with_name(f"renamed{path.name}"))
    rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache"), LAST)
    assert list((tmp_path / "cache").rglob("*.rows")) == before


def test_training_the_tail_changes_no_key_of_what_lies_before_it(folder: Path, tmp_path: Path) -> None:
    """Two runs that fine-tune layer4 differently share the rows below it."""
    rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache", [4]), 4)
    other = fresh()
    torch.nn.init.normal_(other.stages[4].module[0].conv1.weight)  # type: ignore[index,union-attr,arg-type]
    before = list((tmp_path / "cache").rglob("*.rows"))
    rows_of(frozen(other, pictures_of(folder), tmp_path / "cache", [4]), 4)
    assert list((tmp_path / "cache").rglob("*.rows")) == before


def test_networks_share_the_decoded_pixels_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    for name in ("resnet18", "squeezenet1_1"):
        backbone = replace(build(name), preprocessing=LOOK)
        assert frozen(backbone, pictures_of(folder), tmp_path / "cache", [0, 1]).plain() == {}
    assert len(list((tmp_path / "cache" / "activations").iterdir())) == 3


@pytest.mark.parametrize("cuts", [[0], [2], [2, LAST]])
def test_a_picture_is_timed_through_the_network_even_where_none_of_it_is_frozen(
    folder: Path, tmp_path: Path, cuts: list[int]
) -> None:
    backbone, ran = fresh(), []
    for stage in backbone.stages:
        stage.module.register_forward_hook(lambda *_, name=stage.name: ran.append(name))
    prefix = frozen(backbone, pictures_of(folder), tmp_path / "cache", cuts)
    ran.clear()
    assert prefix.seconds_per_picture() > 0
    assert len(set(ran)) == (cuts[-1] or len(backbone.stages))


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_kept(folder: Path, tmp_path: Path) -> None:
    content = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(content[: len(content) // 2])
    prefix = frozen(network(), pictures_of(folder), tmp_path / "cache")
    bad = prefix.plain()
    assert list(bad) == [2]
    assert isinstance(bad[2], BadImage)
    assert [path.name for path in prefix.pictures.paths] == [f"{number}.png" for number in range(COUNT) if number != 2]
    rows = prefix.at(LAST).rows(range(COUNT - 1), [0] * (COUNT - 1))
    np.testing.assert_allclose(rows, truth(network(), prefix.pictures, LAST), rtol=1e-4, atol=1e-5)


def test_a_picture_that_vanishes_during_the_run_is_named(folder: Path, tmp_path: Path) -> None:
    prefix = frozen(network(), pictures_of(folder), tmp_path / "cache", keep="never")
    assert prefix.plain() == {}
    (folder / "3.png").unlink()
    with pytest.raises(BadImage, match=r"3\.png could be read before"):
        prefix.at(LAST).rows([1, 3], [0, 0])


def test_half_precision_overflow_says_what_to_do_and_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    backbone = fresh()
    with torch.no_grad():
        backbone.model.bn1.weight.fill_(1e6)  # type: ignore[union-attr,operator]
    with pytest.raises(ActivationOverflow, match="keep_dtype='float32'"):
        frozen(backbone, pictures_of(folder), tmp_path / "cache", [1], dtype="float16").plain()
    assert not list((tmp_path / "cache").rglob("*.rows"))
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert rows_of(frozen(backbone, pictures_of(folder), tmp_path / "cache", [1]), 1).max() > 65504


def test_what_is_no_number_is_refused_also_where_nothing_is_kept(folder: Path, tmp_path: Path) -> None:
    backbone = fresh()
    with torch.no_grad():
        backbone.model.bn1.weight.fill_(1e38)  # type: ignore[union-attr,operator]
    prefix = frozen(backbone, pictures_of(folder), tmp_path, [LAST], keep="never")
    with pytest.raises(ActivationOverflow, match="not a number"):
        prefix.at(LAST).rows([0], [0])


def test_half_and_single_precision_of_a_gpu_are_not_taken_for_each_other(folder: Path, tmp_path: Path) -> None:
    said = {
        frozen(network(), pictures_of(folder), tmp_path, device=torch.device("cuda"), dtype=dtype)
        ._store(LAST, View(0))
        .recipe["engine"]
        for dtype in ("float16", "float32")
    }
    assert said == {"torch/cuda/float16", "torch/cuda/float32"}


def test_the_torch_engine_gives_the_same_rows_as_onnx_runtime(folder: Path, tmp_path: Path) -> None:
    found = [
        rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache", [4, LAST], engine=engine), 4)
        for engine in ("torch", "onnxruntime")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-4 * np.abs(found[0]).max())
    assert not np.shares_memory(*found)


# ---- the views of test-time augmentation -----------------------------------------------------------------------------

TTA = Tta(8, ("flip", "turn"))


def rows_of_tta(prefix: Prefix, cut: int, which: list[int]) -> np.ndarray:
    assert prefix.plain() == {}
    prefix.tested(which)
    rows = prefix.at(cut, TTA.views, tta=True)
    return np.stack([rows.rows(which, [view] * len(which)) for view in range(TTA.views)])


@pytest.mark.parametrize("cut", [0, 4, LAST])
@pytest.mark.parametrize("keep", ["always", "never"])
def test_fixed_views_kept_or_computed_again_are_the_rows_of_turned_pictures(
    folder: Path, tmp_path: Path, cut: int, keep: str
) -> None:
    which, pictures = [1, 4, 6], pictures_of(folder, tta=TTA, augment=("crop",))
    prefix = frozen(network(), pictures, tmp_path, [cut], keep=keep, tested=len(which), tested_at=frozenset([cut]))
    found = rows_of_tta(prefix, cut, which)
    for view, rows in enumerate(found):
        for index, row in zip(which, rows, strict=True):
            seen = TTA.view(decode(pictures.paths[index].read_bytes(), LOOK), view)[None]
            if cut:
                with torch.no_grad():
                    seen = network().prefix(cut)(torch.from_numpy(seen)).numpy()
            np.testing.assert_allclose(row, seen[0], rtol=1e-4, atol=1e-4)


def test_fixed_views_run_once_and_only_at_the_cut_and_for_the_pictures_that_need_them(
    folder: Path, tmp_path: Path
) -> None:
    which, pictures = [0, 5], pictures_of(folder, tta=TTA)
    for_tta = {"tested": len(which), "tested_at": frozenset([4])}
    first = rows_of_tta(frozen(network(), pictures, tmp_path, [4, LAST], **for_tta), 4, which)
    kept = [len(path.read_bytes().split()) - 1 for path in (tmp_path / "activations").rglob("*.index")]
    assert sorted(kept) == [2 * len(which)] * 7 + [2 * COUNT] * 2  # a digest and a checksum for each row
    backbone, passes = fresh(), list[object]()
    backbone.stages[0].module.register_forward_hook(lambda _, given, __: passes.append(given[0].device.type))
    again = rows_of_tta(frozen(backbone, pictures, tmp_path, [4, LAST], **for_tta), 4, which)
    np.testing.assert_array_equal(first, again)
    assert set(passes) <= {"meta"}  # shapes, no numbers


def test_views_computed_within_a_prediction_leave_a_network_that_trains(folder: Path, tmp_path: Path) -> None:
    backbone, pictures = fresh(), pictures_of(folder, tta=TTA)
    with torch.inference_mode():
        frozen(backbone, pictures, tmp_path, [4], keep="never").at(4, TTA.views, tta=True).rows([0], [3])
    assert not any(parameter.is_inference() for parameter in backbone.model.parameters())


def test_one_fixed_view_is_the_plain_one_that_is_kept_already(folder: Path, tmp_path: Path) -> None:
    prefix = frozen(network(), pictures_of(folder), tmp_path)
    assert prefix.plain() == {}
    assert isinstance(prefix.at(LAST, tta=True), Kept)


def test_fixed_views_that_do_not_fit_cost_no_training_row_its_place(folder: Path, tmp_path: Path) -> None:
    pictures, limit = pictures_of(folder, tta=TTA), COUNT * ROW * 1.5 / 1e9
    for_tta = {"tested": COUNT, "tested_at": frozenset([LAST])}
    prefix = frozen(network(), pictures, tmp_path, keep="auto", limit_gb=limit, **for_tta)
    found = rows_of_tta(prefix, LAST, list(range(COUNT)))
    assert prefix.keeps(LAST)
    assert not prefix.keeps(LAST, tta=True)
    assert kept_bytes(tmp_path) == COUNT * ROW
    np.testing.assert_allclose(found[0], truth(network(), pictures, LAST), rtol=1e-4, atol=1e-5)


def test_rows_that_are_all_there_decide_the_engine(folder: Path, tmp_path: Path) -> None:
    """Eight pictures are too few for an export; but where its rows are kept, nothing needs computing."""
    assert frozen(network(), pictures_of(folder), tmp_path / "cache", engine="auto").choice.runner.engine == "torch"  # type: ignore[union-attr]
    rows_of(frozen(network(), pictures_of(folder), tmp_path / "cache", engine="onnxruntime"), LAST)
    again = frozen(network(), pictures_of(folder), tmp_path / "cache", engine="auto")
    assert again.choice.runner.engine == "onnxruntime"  # type: ignore[union-attr]
    assert again.plain() == {}


SHORTER = [
    Runner(name, precision)
    for name in ("openvino", "torch")
    for precision in ("bfloat16", "float16")
    if engines.module(name).supports(torch.device("cpu"), precision)
]


@pytest.mark.parametrize("runner", SHORTER, ids="-".join)
def test_rows_of_one_precision_are_never_taken_for_those_of_another(
    runner: Runner, folder: Path, tmp_path: Path
) -> None:
    exact, short, again = (
        rows_of(frozen(network(), pictures_of(folder), tmp_path, engine=runner.engine, precision=precision), LAST)[0]
        for precision in ("float32", runner.precision, "float32")
    )
    np.testing.assert_array_equal(exact, again)
    assert np.abs(short - exact).max() > 1e-4 * np.abs(exact).max()
    assert agreement([short], [exact]) > 0.9
    assert len(list((tmp_path / "activations").iterdir())) == 2
    assert len(list((tmp_path / "prefixes").glob("*.onnx"))) == (runner.engine == "openvino")


@pytest.mark.skipif(not SHORTER or SHORTER[0].engine != "openvino", reason="this CPU computes in float32 alone")
def test_a_precision_is_measured_on_the_pictures_once_and_chosen_again(folder: Path, tmp_path: Path) -> None:
    def prefix() -> Prefix:
        found = frozen(network(), pictures_of(folder), tmp_path, engine="openvino", dtype="float16")
        assert found.plain() == {}
        return found

    first = prefix().choice
    assert first is not None
    assert first.agreement is not None
    assert first.runner == (SHORTER[0] if first.agreement >= 0.9 else Runner("openvino"))
    (record,) = (tmp_path / "prefixes").glob("*.measured")
    written = record.stat().st_mtime_ns
    again = prefix().choice
    assert again is not None
    assert (again.runner, again.agreement) == (first.runner, first.agreement)
    assert record.stat().st_mtime_ns == written


def test_rows_are_rounded_unasked_only_where_they_are_kept_rounded(folder: Path, tmp_path: Path) -> None:
    choice = frozen(network(), pictures_of(folder), tmp_path, engine="openvino", dtype="float32").choice
    assert choice is not None
    assert choice.runner == Runner("openvino", "float32")


# ---- the limit ------------------------------------------------------------------------------------------------------

ROW = 1024 * 4  # bytes of a pooled float32 row


def test_a_limit_too_small_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CacheFull, match="cache_limit="):
        frozen(network(), pictures_of(folder), tmp_path / "cache", limit_gb=COUNT * ROW * 0.9 / 1e9).plain()
    assert not list((tmp_path / "cache").rglob("*.rows"))


def test_what_does_not_fit_is_computed_again_and_the_rows_are_the_same(folder: Path, tmp_path: Path) -> None:
    listener = Listener()
    prefix = frozen(network(), pictures_of(folder), tmp_path, keep="auto", limit_gb=1e-6, progress=listener)
    found = rows_of(prefix, LAST)[0]
    np.testing.assert_allclose(found, truth(network(), pictures_of(folder), LAST), rtol=1e-4, atol=1e-5)
    assert any("computed again in every epoch" in said and "1 kB are free" in said for said in listener.said)
    assert not list(tmp_path.rglob("*.rows"))


def test_deciding_by_measured_time_may_be_what_exports_the_network(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(70):  # more than are computed before anything is timed
        draw(tmp_path / "pictures" / f"{number}.png", number, size=40)
    pictures = pictures_of(tmp_path / "pictures")
    prefix = frozen(network(), pictures, tmp_path / "cache", cuts=(4, LAST), engine="onnxruntime", keep="auto")
    assert rows_of(prefix, LAST).shape == (1, 70, 1024)
    assert len(list((tmp_path / "cache" / "prefixes").glob("*.onnx"))) >= 1


def test_rows_that_are_kept_already_are_neither_timed_nor_computed_again(folder: Path, tmp_path: Path) -> None:
    """A pass through the network, just to learn how long one takes, would be for nothing."""
    pictures = pictures_of(folder, augment=("flip",))
    settings = {"views": 2, "trained": COUNT - 2, "keep": "auto"}
    first = frozen(network(), pictures, tmp_path, [4], **settings)
    assert first.plain() == {}
    first.augmented(range(COUNT - 2), 2)
    backbone, listener, passes = fresh(), Listener(), list[object]()
    backbone.stages[0].module.register_forward_hook(lambda _, given, __: passes.append(given[0].device.type))
    again = frozen(backbone, pictures, tmp_path, [4], **settings, progress=listener, epochs={4: 1})
    assert again.plain() == {}
    again.augmented(range(COUNT - 2), 2)
    assert "kept already" in listener.said[1]
    assert set(passes) <= {"meta"}  # shapes, no numbers


def test_cuts_that_fit_alone_but_not_together_are_not_all_kept_unasked(folder: Path, tmp_path: Path) -> None:
    """The large rows are computed again, and the run ends well."""
    one_cut = COUNT * 256 * 4 * 4 * 4  # layer3 of a 64 px picture, float32
    prefix = frozen(network(), pictures_of(folder), tmp_path, [4, LAST], keep="auto", limit_gb=one_cut * 1.05 / 1e9)
    assert {cut: decision.keep for cut, decision in prefix.decisions.items()} == {4: False, LAST: True}
    for cut in (4, LAST):
        np.testing.assert_allclose(
            rows_of(prefix, cut)[0], truth(network(), prefix.pictures, cut), rtol=1e-4, atol=1e-3
        )


def kept_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*.rows"))


def test_two_runs_stay_below_the_limit_together(folder: Path, tmp_path: Path) -> None:
    limit = COUNT * ROW * 1.5 / 1e9
    for seed in (0, 1):
        rows_of(frozen(network(seed), pictures_of(folder), tmp_path, limit_gb=limit), LAST)
        assert kept_bytes(tmp_path) == COUNT * ROW


def test_exports_count_as_what_is_kept_and_the_longest_unused_goes_first(folder: Path, tmp_path: Path) -> None:
    for name in ("alexnet", "old"):  # what runs on other networks have left
        path = tmp_path / "prefixes" / f"{name}.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(30_000))
        os.utime(path, (10, 10) if name == "old" else (20, 20))
    rows_of(frozen(network(), pictures_of(folder), tmp_path, limit_gb=(COUNT * ROW + 40_000) / 1e9), LAST)
    assert [path.stem for path in (tmp_path / "prefixes").iterdir()] == ["alexnet"]


def test_an_export_is_the_newest_of_all_when_it_is_used(folder: Path, tmp_path: Path) -> None:
    rows_of(frozen(network(), pictures_of(folder), tmp_path, engine="onnxruntime"), LAST)
    (path,) = (tmp_path / "prefixes").iterdir()
    os.utime(path, (10, 10))
    draw(folder / "new.png", seed=100)
    frozen(network(), pictures_of(folder), tmp_path, engine="onnxruntime").plain()
    assert path.stat().st_mtime > 10


def test_several_cuts_stay_below_the_limit_together(folder: Path, tmp_path: Path) -> None:
    one_cut = COUNT * 256 * 4 * 4 * 4  # layer3 of a 64 px picture, float32
    limit = one_cut * 1.05  # it fits, but not together with the pooled rows
    with pytest.raises(CacheFull):
        frozen(network(), pictures_of(folder), tmp_path, [4, LAST], limit_gb=limit / 1e9).plain()
    assert kept_bytes(tmp_path) <= limit


def test_a_later_view_never_displaces_an_earlier_one_of_the_same_run(folder: Path, tmp_path: Path) -> None:
    """Room for one view and a half: the second view is refused, rather than bought with the first."""
    prefix = frozen(
        network(), pictures_of(folder, augment=("flip",)), tmp_path, views=2, limit_gb=COUNT * ROW * 1.5 / 1e9
    )
    assert prefix.plain() == {}
    with pytest.raises(CacheFull):
        prefix.augmented(range(COUNT), 2)
    assert prefix.at(LAST).rows([0], [0]).shape == (1, 1024)


def test_rows_that_another_run_deletes_are_read_to_the_end(folder: Path, tmp_path: Path) -> None:
    """A training that is over reads its validation and test rows although another run has made room since."""
    prefix = frozen(network(), pictures_of(folder), tmp_path)
    before = rows_of(prefix, LAST)[0]
    frozen(network(1), pictures_of(folder), tmp_path, limit_gb=COUNT * ROW * 1.5 / 1e9).plain()
    np.testing.assert_array_equal(prefix.at(LAST).rows(range(COUNT), [0] * COUNT), before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's open files")
def test_going_through_the_rows_again_opens_no_file_again(folder: Path, tmp_path: Path) -> None:
    prefix = frozen(network(), pictures_of(folder, augment=("flip",)), tmp_path, [4, LAST], views=3)
    rows_of(prefix, LAST, 3)
    parts = [prefix.at(cut, 3) for cut in (4, LAST)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    parts += [prefix.at(cut, 3) for cut in (4, LAST) for _ in range(10)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert [part.rows([0], [2]).shape[0] for part in parts] == [1] * len(parts)


def test_shapes_are_computed_once(folder: Path, tmp_path: Path) -> None:
    """A pass through the network without numbers still takes a while, and each row asked for its shape."""
    passes: list[object] = []
    backbone = fresh()
    backbone.stages[0].module.register_forward_hook(lambda *_: passes.append(1))
    prefix = frozen(backbone, pictures_of(folder), tmp_path, [3, 4], keep="never")
    for cut in (3, 4):
        assert len(prefix.at(cut).shape) == 3
    assert len(passes) == 1


@pytest.mark.parametrize("cut", [0, 4, LAST])
def test_damaged_rows_are_said_and_computed_again_in_the_same_run(folder: Path, tmp_path: Path, cut: int) -> None:
    cache, pictures = tmp_path / "cache", pictures_of(folder)
    first = rows_of(frozen(network(), pictures, cache, cuts=(cut,), keep="always"), cut)
    for path in cache.rglob("*.rows"):
        path.write_bytes(bytes(path.stat().st_size))
    listener = Listener()
    again = frozen(network(), pictures, cache, cuts=(cut,), keep="always", progress=listener)
    np.testing.assert_array_equal(rows_of(again, cut), first)
    assert len([line for line in listener.said if "damaged" in line]) == 1
    quiet = Listener()
    rows_of(frozen(network(), pictures, cache, cuts=(cut,), keep="always", progress=quiet), cut)
    assert not [line for line in quiet.said if "damaged" in line]
