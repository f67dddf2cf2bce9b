"""A model that runs tells nobody and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from onnx import TensorProto, helper
from regraft.utils import onnx_file

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
import numpy as np
print(onnx_file.session(model.SerializeToString(), 1).run(None, {"x": np.array([1, 2], np.float32)})[0].tolist())
"""


def test_onnxruntime_leaves_no_identifier_of_the_user(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    env = {**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=env)
    assert (ran.returncode, ran.stdout) == (0, "[-1.0, -2.0]\n"), ran.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
