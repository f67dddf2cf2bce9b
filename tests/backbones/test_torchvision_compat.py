import subprocess
import sys

import torch

from regraft.backbones import torchvision_compat


def test_torchvision_and_timm_are_imported_once_and_classify() -> None:
    assert torchvision_compat.torchvision() is torchvision_compat.torchvision() is sys.modules["torchvision"]
    assert torchvision_compat.timm() is sys.modules["timm"]
    logits = torchvision_compat.torchvision().models.squeezenet1_1().eval()(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 1000)


def test_operators_are_declared_only_where_the_plain_import_fails() -> None:
    program = "import torchvision"
    plain = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert torchvision_compat.mended() == (plain.returncode != 0)


def test_torchs_compiler_is_not_loaded_until_what_asks_for_it_is_called() -> None:
    program = """
import sys
from regraft.backbones.torchvision_compat import torchvision
torchvision()
assert "torch._dynamo" not in sys.modules, "loaded"
import torch, torchvision
assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu") in (True, False)
assert torch._dynamo.__file__ == sys.modules["torch._dynamo"].__file__
"""
    subprocess.run([sys.executable, "-c", program], check=True)
