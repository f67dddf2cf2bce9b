import pytest

from regraft.backbones import Backbone, build


@pytest.fixture
def squeezenet() -> Backbone:
    return build("squeezenet1_1")
