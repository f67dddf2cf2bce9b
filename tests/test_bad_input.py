"""Bad input gets one clear line - found, expected, next step -, exit status 1, and nothing half-written is left."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regraft.backbones import build
from regraft.errors import DataError

SMALL = ("--img-size", 64, "--epochs", 2)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def refused(regraft, tmp_path):
    """Check that a command is refused with one line that says all of `parts`, and leaves everything as it was."""

    def check(*arguments: object, says: tuple[str, ...], alone: bool = True) -> str:
        kept = Path(os.environ["REGRAFT_CACHE"])
        before = everything(tmp_path)
        answer = regraft(*arguments)
        *earlier, line = answer.err.splitlines()
        assert answer.status == 1
        assert answer.out == ""
        assert line.startswith("Error: ")
        assert not [other for other in earlier if other.startswith("Error") or "Traceback" in other]
        assert not (alone and earlier), "it is said before anything is computed"
        for part in says:
            assert part in line
        assert everything(tmp_path) == before
        assert not list(kept.rglob("*.tmp"))
        return line

    return check


@pytest.fixture
def refused_data(refused, tmp_path):
    """Check that `train` refuses data."""

    def check(data: Path, *says: str, options: tuple[object, ...] = (), alone: bool = True) -> str:
        return refused("train", data, *SMALL, *options, "--out", tmp_path / "run", says=says, alone=alone)

    return check


# the folder


def test_a_missing_folder(refused_data, tmp_path):
    refused_data(tmp_path / "nowhere", "nowhere does not exist", "Expected a folder of class folders, or a table")


def test_an_empty_folder(refused_data, tmp_path):
    (tmp_path / "empty").mkdir()
    refused_data(tmp_path / "empty", "holds 0 pictures", ".png", "Expected FOLDER/<class>/<picture>")


def test_one_class(refused_data, tmp_path, drawn):
    for name in ("blue", "green", "yellow"):
        shutil.rmtree(drawn / name)
    refused_data(drawn, "one class only, 'red' (8 pictures)", "expected at least two", "Is it the folder above")


def test_pictures_without_class_folders(refused_data, drawn):
    refused_data(drawn / "red", "8 pictures but no class folders", "Expected FOLDER/<class>/<picture>")


def test_a_folder_too_far_above(refused_data, drawn, tmp_path):
    (tmp_path / "above").mkdir()
    drawn.rename(tmp_path / "above" / "drawn")
    refused_data(tmp_path / "above", "lie in one folder", f"is {tmp_path / 'above' / 'drawn'} the one you meant?")


def test_a_class_with_fewer_pictures_than_parts(refused_data, drawn):
    for number in range(2, 8):
        (drawn / "red" / f"red{number}.png").unlink()
    refused_data(drawn, "class 'red' has 2 pictures", "at least 3 are needed", "Add some")


def test_a_class_with_fewer_groups_than_parts(refused_data, drawn):
    refused_data(drawn, "has 1 groups", "at least 3 are needed", options=("--groups", "^[a-z]+"))


def test_how_data_were_read_is_said_before_what_is_wrong_with_them(refused_data, regraft, drawn, tmp_path):
    shutil.copy(drawn / "red" / "red0.png", drawn / "loose.png")
    refused_data(drawn, "has 1 groups", options=("--groups", "^[a-z]+"), alone=False)
    said = regraft("train", drawn, "--groups", "^[a-z]+", "--out", tmp_path / "run").err
    assert "Left out, since they lie beside the class folders: 1 (loose.png)" in said


def test_an_empty_class_folder(refused_data, drawn):
    (drawn / "white").mkdir()
    refused_data(drawn, "class folder white", "holds no pictures", "Fill it or remove it")


def test_groups_that_match_no_name(refused_data, drawn):
    refused_data(drawn, "'^P' do not match 32 of 32 file names", "blue/blue0.png", options=("--groups", "^P"))


def test_a_table_without_labels(refused_data, tmp_path):
    (tmp_path / "t.csv").write_text("path,colour\na.png,red\n")
    refused_data(tmp_path / "t.csv", "no label column", "found path, colour", "expected one of label")


def test_a_table_of_files_that_are_not_there(refused_data, tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.png,red\nb.png,blue\n")
    refused_data(tmp_path / "t.csv", "2 of 2 files", "a.png", "Paths are relative to the table's folder")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_that_is_none(refused_data, tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00nonsense")
    refused_data(tmp_path / name, "cannot be read as a table", "Expected a")


def test_a_picture_is_no_data(refused_data, drawn):
    refused_data(drawn / "red" / "red0.png", "neither a folder nor a table")


@pytest.mark.parametrize("missing", ["run", "run/split.csv"])
def test_a_split_that_is_not_there(refused_data, drawn, tmp_path, missing):
    refused_data(drawn, str(tmp_path / missing), "Expected a run folder", options=("--split-from", tmp_path / missing))


def test_the_split_of_other_pictures(refused_data, small_run, drawn):
    (drawn / "red" / "red0.png").rename(drawn / "red" / "new.png")
    refused_data(drawn, "1 of 32 pictures are not listed", "red/new.png", options=("--split-from", small_run))


# single pictures: up to 5 % are listed and left out


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


BAD = {
    "zero bytes": (lambda path: path.write_bytes(b""), "0 bytes"),
    "truncated": (truncate, "cut off"),
    "a text file": (lambda path: path.write_text("hello"), "not a picture (text file?)"),
    "100 megapixels": (lambda path: Image.new("1", (12_000, 9_000)).save(path), "108 megapixels, more than 89"),
    "a dangling link": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "No such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_listed_and_left_out(regraft, drawn, tmp_path, kind):
    spoil, reason = BAD[kind]
    spoil(drawn / "red" / "red0.png")
    answer = regraft("train", drawn, *SMALL, "--out", tmp_path / "run")
    assert answer.status == 0
    assert re.search(rf"1 of 32 files .* skipped\.csv \(red/red0\.png: .*{re.escape(reason)}", answer.err)
    header, row = (tmp_path / "run" / "skipped.csv").read_text().splitlines()
    assert header == "filename,reason"
    assert row.startswith("red/red0.png,")
    assert reason in row
    assert "red0.png" not in (tmp_path / "run" / "split.csv").read_text()


def test_above_5_percent_bad_the_run_refuses_unless_told(refused_data, regraft, drawn, tmp_path):
    for number, (spoil, _) in enumerate((BAD["zero bytes"], BAD["truncated"], BAD["a text file"])):
        spoil(drawn / "red" / f"red{number}.png")
    refused_data(
        drawn, "3 of 32 files cannot be read", "red/red0.png: 0 bytes", "more than 5%", "--allow-bad", alone=False
    )
    assert regraft("train", drawn, *SMALL, "--allow-bad", "--out", tmp_path / "run").status == 0
    assert len((tmp_path / "run" / "skipped.csv").read_text().splitlines()) == 4


def test_a_class_of_bad_pictures_only(refused_data, drawn):
    for path in (drawn / "red").iterdir():
        path.write_bytes(b"")
    refused_data(
        drawn, "The class 'red' has no picture in train that can be read", options=("--allow-bad",), alone=False
    )


def test_a_class_whose_training_pictures_cannot_be_read(refused_data, drawn, tmp_path):
    for part, numbers in (("train", range(6)), ("val", (6,)), ("test", (7,))):
        for name in ("red", "blue"):
            (tmp_path / "parts" / part / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(drawn / name / f"{name}{number}.png", tmp_path / "parts" / part / name)
    for path in (tmp_path / "parts" / "train" / "red").iterdir():
        path.write_bytes(b"")
    says = ("class 'red' has no picture in train that can be read", "Add pictures")
    refused_data(tmp_path / "parts", *says, options=("--allow-bad",), alone=False)


def test_pictures_beside_the_class_folders_are_named(regraft, drawn, tmp_path):
    shutil.copy(drawn / "red" / "red0.png", drawn / "loose.png")
    answer = regraft("train", drawn, *SMALL, "--out", tmp_path / "run")
    assert answer.status == 0
    assert "Note: Left out, since they lie beside the class folders: 1 (loose.png)." in answer.err
    assert "loose.png" not in (tmp_path / "run" / "split.csv").read_text()


def test_the_same_picture_in_two_classes_is_named(regraft, drawn, tmp_path):
    shutil.copy(drawn / "red" / "red0.png", drawn / "blue" / "twin.png")
    answer = regraft("train", drawn, *SMALL, "--out", tmp_path / "run")
    assert answer.status == 0
    assert "blue/twin.png = red/red0.png" in answer.err


@pytest.mark.parametrize("command", ["train", "check"])
def test_pictures_of_12_bits_in_files_of_16_are_named(regraft, drawn, tmp_path, command):
    for path in drawn.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 16).save(path)
    answer = regraft(command, drawn, "--img-size", 64, "--out", tmp_path / "out")
    assert answer.status == 0
    said = " ".join((answer.out + answer.err).split())
    assert re.search(r"32 of 32 pictures hold whole numbers of more than 8 bits, .* one scale, 0 to 4095", said)


@pytest.fixture
def hostile(drawn: Path) -> Path:
    """Put files among the pictures that would wait for ever, have no end, or take all memory."""
    os.mkfifo(drawn / "blue" / "pipe.png")
    (drawn / "blue" / "endless.jpg").symlink_to("/dev/zero")
    with (drawn / "green" / "sparse.tif").open("wb") as file:
        file.truncate(3 * 10**9)
    head = struct.pack(">IIBBBBB", 89_000_000, 1, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    (drawn / "red" / "boasting.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return drawn


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "DATA", "--allow-bad", *SMALL, "--out", "OUT"),
        ("check", "DATA", "--img-size", 64, "--out", "OUT"),
        ("eval", "RUN", "DATA"),
        ("predict", "RUN", "DATA"),
        ("explain", "RUN", "DATA", "--out", "OUT"),
        ("features", "RUN", "DATA", "-o", "OUT.npz"),
        ("recommend", "DATA", "--allow-bad", "--img-size", 64, "--backbones", "tf_efficientnet_lite0"),
        (
            *("compare", "DATA", "--allow-bad", *SMALL, "--backbones", "tf_efficientnet_lite0"),
            *("--methods", "features", "--control-epochs", 0, "--out", "OUT"),
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_file_ends_a_command_or_is_waited_for(regraft, hostile, small_run, tmp_path, arguments):
    places = {"DATA": hostile, "RUN": small_run, "OUT": tmp_path / "out", "OUT.npz": tmp_path / "out.npz"}
    answer = regraft(*(places.get(argument, argument) for argument in arguments))
    assert answer.status == 0
    assert "Traceback" not in answer.err
    if arguments[0] in ("predict", "eval", "features"):  # these name each file, not the first three
        for reason in ("a pipe", "a device", "3.0 GB", "89000000x1 pixels"):
            assert reason in answer.out + answer.err


def test_names_in_any_script_with_spaces_and_200_characters(regraft, drawn, tmp_path):
    names = {"blue": "красный 赤 🍎", "green": "a 'b' [c], \"d\"", "red": "x" * 200, "yellow": "-v"}
    for old, new in names.items():
        (drawn / old).rename(drawn / new)
        for path in (drawn / new).iterdir():
            path.rename(path.with_name(f"é {path.name}"))
    answer = regraft("train", drawn, *SMALL, "--out", tmp_path / "a run 赤", "--json")
    assert answer.status == 0
    found = regraft("predict", tmp_path / "a run 赤", drawn, "--top", 4, "--json")
    assert {row["label"] for row in json.loads(found.out)["rows"]} == set(names.values())


# names and settings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--backbone", "resnt50"), ("Unknown backbone 'resnt50'", "Did you mean resnet50")),
        (("--method", "frozn"), ("Unknown method 'frozn'", "Did you mean frozen?", "Known: features, finetuned")),
        (("--method", "finetuned", "--unfreeze", "block.2"), ("Unknown stage", "Did you mean blocks.2", "conv_stem")),
        (("--method", "finetuned", "--train-layers", 999), ("--train-layers 999", "has 49 layers", "--unfreeze=all")),
        (("--train-layers", 4), ("frozen trains nothing but the head", "use --method=finetuned")),
        (("--unfreeze", "1", "--train-layers", 4), ("--unfreeze and --train-layers contradict", "give one")),
        (("--from", "x", "--weights", "random"), ("--weights and --from contradict", "give one")),
        (("--val", 0.6, "--test", 0.6), ("--val 0.6 and --test 0.6", "nothing to train on", "below 1")),
        (("--folds", 1), ("--folds is 1", "from 2 to 100")),
        (("--folds", 3, "--test", 0.2), ("--folds and --test contradict", "tested once")),
        (("--folds", 3, "--split-from", "x"), ("--folds and --split-from contradict", "give one")),
        (("--folds", 9), ("'blue' has 8 pictures", "9 folds need at least 9")),
        (("--batch-size", 1), ("--batch-size is 1", "expected a value from 2")),
        (("--lr", "nan"), ("--lr is nan", "expected a value from")),
        (("--device", "tpu"), ("--device is 'tpu'", "expected one of auto, cpu")),
        (("--from", "nowhere"), ("There is no folder nowhere.", "run or bundle")),
        (("--weights", "nowhere.pth"), ("nowhere.pth is neither a file or folder", "torchvision")),
        (("--resume",), ("no run at", "Leave out --resume")),
        (("--augment", "flp"), ("Unknown augmentation 'flp'", "Did you mean flip")),
    ],
    ids=lambda value: " ".join(map(str, value)) if str(value[0]).startswith("--") else "",
)
def test_settings_that_cannot_be_meant(refused_data, drawn, options, says):
    refused_data(drawn, *says, options=options)


def test_a_finished_run_is_not_resumed(refused, small_run, shapes):
    refused("train", shapes, "--out", small_run, "--resume", says=("is finished", "Leave out --resume"))


def test_a_run_is_not_resumed_with_other_settings(refused, small_run, shapes, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    asked = ("train", shapes, "--out", tmp_path / "run", "--resume", "--batch-size", 7)
    refused(*asked, says=("was begun with --batch-size 32, not 7", "Leave that option out"))


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "{}",
    ],
)
def test_a_run_with_damaged_settings_is_not_resumed(refused, small_run, shapes, tmp_path, damage):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "config.json").write_text(damage)
    refused("train", shapes, "--out", tmp_path / "run", "--resume", says=("config.json", "Is "))


@pytest.mark.parametrize("what", ["changed", "missing", "new"])
def test_a_run_is_not_resumed_on_other_pictures(refused, small_run, shapes, tmp_path, what):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    data = shutil.copytree(shapes, tmp_path / "shapes")
    picture = data / "red" / "red3.png"
    if what == "changed":
        Image.new("RGB", (72, 72), "red").save(picture)
    elif what == "missing":
        picture.unlink()
    else:
        shutil.copy(picture, picture := data / "red" / "red99.png")
    says = (f"1 {what} since, the first red/{picture.name}.", "Put them back", "start a new run without --resume")
    refused("train", data, "--out", tmp_path / "run", "--resume", says=says, alone=what != "changed")


def test_a_run_of_a_newer_version_is_not_resumed(refused, small_run, shapes, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    about["settings"]["telepathy"] = True
    (tmp_path / "run" / "config.json").write_text(json.dumps(about))
    refused("train", shapes, "--out", tmp_path / "run", "--resume", says=("config.json", "telepathy", "Update Regraft"))


def test_a_run_with_a_damaged_checkpoint_is_not_resumed(refused, small_run, shapes, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "checkpoints" / "head").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "head" / "last.ckpt").write_bytes(b"PK cut off")
    refused("train", shapes, "--out", tmp_path / "run", "--resume", says=(".ckpt",), alone=False)


# settings that would be passed over


def test_settings_of_tables_are_refused_for_folders_and_the_other_way_round(refused_data, drawn, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in drawn.glob("*/*")))
    for option in ("--images", "--path-column", "--label-column", "--split-column"):
        refused_data(drawn, f"is a folder; {option} is for tables", options=(option, "x"))
    refused_data(table, "is a table; --layout is for folders", options=("--layout", "classes"))
    refused_data(table, "contradict", options=("--label-column", "label", "--label-pattern", "x"))


def test_weights_beside_a_model_that_brings_its_own(refused, small_run, drawn):
    for command in (("predict", small_run, drawn), ("eval", small_run, drawn), ("explain", small_run, drawn)):
        refused(*command, "--weights", "random", says=("--weights random", "brings its own", "Leave it out"))


# predict and eval


@pytest.mark.parametrize(
    ("pictures", "says"),
    [("nowhere.png", ("nowhere.png does not exist", "Expected a picture")), ("empty", ("No pictures in", ".png"))],
)
def test_pictures_that_are_not_there(refused, small_run, tmp_path, pictures, says):
    (tmp_path / "empty").mkdir()
    refused("predict", small_run, tmp_path / pictures, says=says)


def test_a_model_that_is_none(refused, drawn, tmp_path):
    expected = "Expected a run or bundle folder, or the name of a network"
    refused("predict", tmp_path / "nowhere", drawn, says=("There is no folder", "nowhere", expected))
    refused("predict", drawn, drawn, says=("holds no model", "bundle.json"))
    refused("predict", "resnt18", drawn, says=("Unknown backbone 'resnt18'", "Did you mean resnet18"))


def test_formats_that_cannot_be_written(refused, small_run, drawn):
    refused(
        "predict",
        small_run,
        drawn,
        "--format",
        "xml",
        says=("Unknown format 'xml'", "csv, json, jsonl, parquet, table"),
    )
    refused("predict", small_run, drawn, "--format", "parquet", says=("needs a file", "-o FILE.parquet"))


def test_eval_of_classes_that_the_model_does_not_know(refused, small_run, drawn):
    (drawn / "red").rename(drawn / "violet")
    refused("eval", small_run, drawn, says=("does not know the class violet", "it knows blue, green", "Rename"))


def test_eval_of_bad_pictures_only(refused, small_run, drawn):
    for path in drawn.rglob("*.png"):
        path.write_bytes(b"")
    refused("eval", small_run, drawn, says=("None of the 32 pictures", "0 bytes"), alone=False)


# the bundle


def changed(about: Path, **values: object) -> None:
    about.write_text(json.dumps({**json.loads(about.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def change_a_byte(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (model / "model.safetensors").write_bytes(content)


def without_the_checksum(model: Path) -> None:
    about = json.loads((model / "bundle.json").read_text(encoding="utf-8"))
    del about["sha256"]
    (model / "bundle.json").write_text(json.dumps(about), encoding="utf-8")


BUNDLES = {
    "a changed byte": (change_a_byte, ("a byte was changed or lost", "Copy the whole folder again")),
    "a file cut off": (lambda m: truncate(m / "model.safetensors"), ("a byte was changed or lost", "Copy")),
    "a newer format": (
        lambda m: changed(m / "bundle.json", format=99),
        ("has format 99", "reads up to 4", "pip install"),
    ),
    "no tensors": (
        lambda m: (m / "model.safetensors").unlink(),
        ("there is no file model.safetensors", "Copy the whole"),
    ),
    "no description": (
        lambda m: (m / "bundle.json").unlink(),
        ("bundle.json is missing or damaged (No such file or directory). Copy the whole",),
    ),
    "a damaged description": (lambda m: (m / "bundle.json").write_text("{"), ("bundle.json is missing or damaged",)),
    "another network": (
        lambda m: changed(m / "bundle.json", backbone="resnet18"),
        ("the head is for 2560 features, and resnet18 has 1024", "Copy the whole folder again"),
    ),
    "another head": (
        lambda m: changed(m / "bundle.json", head={"width": 3, "classes": 4}),
        ("the head is for 3 features, and tf_efficientnet_lite0 has 2560", "Copy the whole folder again"),
    ),
    "no preprocessing": (
        lambda m: changed(m / "bundle.json", preprocessing={}),
        ("is not as it was written", "Copy the whole folder again"),
    ),
    "neither": (lambda m: [path.unlink() for path in m.iterdir()], ("holds no model", "--resume")),
    "no checksum": (without_the_checksum, ("bundle.json is missing or damaged (", "sha256")),
    "too few classes": (
        lambda m: changed(m / "bundle.json", classes=["blue"]),
        ("1 class names for 4 classes", "Copy the whole folder again"),
    ),
}


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_bundle_that_is_not_whole(refused, small_run, drawn, tmp_path, kind):
    damage, says = BUNDLES[kind]
    shutil.copytree(small_run, tmp_path / "run")
    damage(tmp_path / "run" / "model")
    refused("predict", tmp_path / "run", drawn / "red" / "red0.png", "--top", 4, says=says)
    refused("train", drawn, *SMALL, "--from", tmp_path / "run", "--out", tmp_path / "new", says=says)


# weights


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder that REGRAFT_WEIGHTS names."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_weights_of_another_network(refused_data, drawn, weights):
    torch.save(build("squeezenet1_1").model.state_dict(), weights / "tf_efficientnet_lite0.pth")
    refused_data(drawn, "tf_efficientnet_lite0.pth does not hold the 294 tensors", "missing (", "left over (features")


def test_weights_with_one_tensor_too_many(refused_data, drawn, weights):
    state = build("squeezenet1_1").model.state_dict()
    torch.save({**state, "surplus": torch.zeros(1)}, weights / "squeezenet1_1.pth")
    refused_data(drawn, "1 left over (surplus)", options=("--backbone", "squeezenet1_1"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_that_cannot_be_read(refused_data, drawn, weights, suffix):
    (weights / f"tf_efficientnet_lite0.{suffix}").write_text("nonsense")
    refused_data(drawn, f"tf_efficientnet_lite0.{suffix} cannot be read", "is it whole?")


def test_nobody_is_told_to_load_code(refused_data, drawn, weights):
    (weights / "tf_efficientnet_lite0.pth").write_text("nonsense")
    assert "weights_only" not in refused_data(drawn)


def test_a_folder_of_weights_that_is_not_there(refused_data, drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(tmp_path / "nowhere"))
    refused_data(drawn, "REGRAFT_WEIGHTS", "nowhere")


def test_weights_that_no_network_can_bring(refused_data, drawn, tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("torch")
    monkeypatch.setenv("TORCH_HOME", str(home))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    options = ("--backbone", "resnet18")
    line = refused_data(drawn, "resnet18-f37072fd.pth", str(home), "REGRAFT_WEIGHTS", options=options)
    assert "Errno" not in line
    assert not [path for path in home.rglob("*") if path.is_file()]


# the disk


def test_a_full_disk_while_activations_are_kept(refused_data, drawn, tmp_path_factory, monkeypatch):
    """The system's limit on the size of a file stands for the full disk."""
    cache = tmp_path_factory.mktemp("full")
    monkeypatch.setenv("REGRAFT_CACHE", str(cache))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        refused_data(drawn, f"The disk under {cache}", "is full", "REGRAFT_CACHE", "--keep never", alone=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(cache.rglob("*.rows"))


def test_an_error_of_the_system_has_no_number(refused, drawn, tmp_path):
    (tmp_path / "run" / "config.json").mkdir(parents=True)
    says = ("config.json cannot be read (it is no file). Is",)
    assert "Errno" not in refused("train", drawn, "--out", tmp_path / "run", "--resume", says=says)


def test_too_small_a_limit_for_activations(refused_data, drawn):
    options = ("--cache-limit", 0.000001, "--keep", "always", "--img-size", 66)
    refused_data(drawn, "need 164 kB, and 1 kB are free", "Raise --cache-limit", options=options, alone=False)


UNWRITABLE = [pytest.param("file/x", id="below a file")]
if os.name != "nt" and os.geteuid() != 0:  # root may write there
    UNWRITABLE.append(pytest.param("locked/x", id="a locked folder"))
if Path("/proc/self").exists():
    UNWRITABLE.append(pytest.param("/proc/x", id="where nobody may write"))


@pytest.fixture
def unwritable(tmp_path):
    """Make places below which nothing can be written."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "locked").mkdir(mode=0o500)
    return tmp_path


@pytest.mark.parametrize("command", ["train", "compare", "check"])
@pytest.mark.parametrize("way", UNWRITABLE)
def test_a_folder_that_cannot_be_made(refused, drawn, unwritable, command, way):
    says = (str((unwritable / way).parent), "not writable", f"so {unwritable / way} cannot be made", "--out")
    refused(command, drawn, "--img-size", 64, "--out", unwritable / way, says=says)


@pytest.mark.parametrize("command", ["train", "compare", "check"])
def test_a_file_as_out_is_refused(refused, drawn, tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    refused(command, drawn, "--out", tmp_path / "file", says=("file is a file; expected a folder", "--out"))


def test_a_demo_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused("demo", "--out", tmp_path / "file", says=("file is not writable", "--out"))


def test_a_comparison_of_nothing_leaves_nothing(refused, tmp_path):
    refused("compare", tmp_path / "nowhere", "--out", tmp_path / "c", says=("nowhere does not exist",))


@pytest.mark.parametrize("command", ["predict", "features"])
@pytest.mark.parametrize("way", UNWRITABLE)
def test_an_output_that_cannot_be_written(refused, small_run, drawn, unwritable, command, way):
    output = unwritable / f"{way}.parquet"
    line = refused(command, small_run, drawn / "red", "-o", output, says=(f"-o {output}", str(output.parent)))
    assert ".tmp" not in line


@pytest.mark.parametrize("command", ["predict", "features"])
def test_an_output_in_a_folder_that_is_not_there(refused, small_run, drawn, tmp_path, command):
    output = tmp_path / "nowhere" / "rows.parquet"
    refused(command, small_run, drawn / "red", "-o", output, says=("there is no folder", "nowhere", "-o"))


def test_a_folder_or_a_device_as_output_is_refused(refused, small_run, drawn, tmp_path):
    refused("predict", small_run, drawn / "red", "-o", tmp_path, says=("is a folder. Expected a file",))
    if Path(os.devnull).is_char_device():
        refused("predict", small_run, drawn / "red", "-o", os.devnull, says=("is no ordinary file",))
        assert Path(os.devnull).is_char_device()


# how an end is told


def test_traceback_shows_where_an_error_came_from(regraft, tmp_path):
    """The error leaves the program as it is, wherever the option stands."""
    for asked in (("--traceback", "train", tmp_path / "nowhere"), ("train", tmp_path / "nowhere", "--traceback")):
        with pytest.raises(DataError, match="does not exist") as told:
            regraft(*asked)
        assert told.traceback[-1].path.name == "labelled.py"
