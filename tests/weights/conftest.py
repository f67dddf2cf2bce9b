from pathlib import Path
from urllib.request import install_opener

import pytest
from huggingface_hub import constants

from regraft.backbones import Backbone, build


@pytest.fixture
def squeezenet() -> Backbone:
    return build("squeezenet1_1")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, nothing imported and empty caches, in the returned folder; nobody answers at the proxy."""
    for name in ("REGRAFT_WEIGHTS", "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("REGRAFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    install_opener(None)  # urllib keeps the proxies of its first call
    return tmp_path
