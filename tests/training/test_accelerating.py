"""What brings device and precision: on a CPU nothing, and torch's compiler stays away."""

import subprocess
import sys

import torch
from torch import nn

from regraft.training.accelerating import AdamW


def _learned(kind: type[torch.optim.AdamW]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    head = nn.Linear(5, 3)
    optimizer = kind(head.parameters(), lr=0.1, weight_decay=0.01, fused=True)
    for _ in range(10):
        optimizer.zero_grad()
        head(torch.ones(2, 5)).square().sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return head, optimizer


def test_the_steps_are_those_of_torchs_own_to_the_last_bit() -> None:
    (head, optimizer), (known, of_torch) = _learned(AdamW), _learned(torch.optim.AdamW)
    assert torch.equal(head.weight, known.weight)
    assert torch.equal(head.bias, known.bias)
    assert optimizer.state_dict()["param_groups"] == of_torch.state_dict()["param_groups"]


def test_steps_on_a_cpu_load_neither_torchs_compiler_nor_fabric() -> None:
    program = """
import sys, torch
from regraft.training.accelerating import AdamW, accelerated
from regraft.training.module import schedule
layer = torch.nn.Linear(2, 2)
optimizer = AdamW(layer.parameters(), fused=True)
rate = schedule(optimizer, 3)
fabric, learner, stepping = accelerated(layer, optimizer, torch.device("cpu"))
rows, _ = fabric.to_device((torch.ones(1, 2), torch.ones(1)))
with fabric.autocast():
    fabric.backward(learner(rows).sum())
stepping.step(), rate.step(), stepping.zero_grad(), stepping.state_dict()
assert not {"torch._dynamo", "lightning_fabric"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
