"""hf://user/name -> the folder of a bundle, downloaded once into Hugging Face's own cache."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import NamedTuple

from regraft.errors import ConfigError, ModelMissing
from regraft.inference.about import ABOUT, TENSORS

SCHEME = "hf://"
TIMEOUT_S = 5
ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
REASONS = {
    401: "the token is missing or not accepted; HF_TOKEN, or hf auth login, names one",
    403: "this token may not do that",
    404: "there is no such model there, or it is private and no token that may read it is set",
}
"""By the status that the hub answers with: in words of ours, for what it says may quote a request."""


class Address(NamedTuple):
    """A model on the hub."""

    repository: str  # user/name
    revision: str | None  # a branch, tag or commit; None: the newest


def is_address(given: object) -> bool:
    """Say whether a model is named by where it lies on the hub."""
    return isinstance(given, str) and given.startswith(SCHEME)


def address_of(given: str) -> Address:
    """Read ``hf://user/name`` or ``hf://user/name@revision``.

    Raises:
        ConfigError: it is neither.
    """
    if (match := ADDRESS.fullmatch(given)) is None:
        raise ConfigError(f"{given} is no address of a model. Expected hf://user/name, or hf://user/name@revision.")
    return Address(match[1], match[2])


def local(given: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the folder that an address names, downloaded where it is not here yet; any other path as it is.

    What was downloaded is checked when it is loaded, against the digest in the bundle.

    Raises:
        ModelMissing: it cannot be had, as offline; says what file belongs where.
        ConfigError: no address.
    """
    if not is_address(given):
        return given
    return _fetched(str(given), endpoint())


@functools.cache
def _fetched(given: str, place: str) -> Path:
    """Ask the hub at `place` once in a process: a model's newest revision does not change under a command."""
    repository, revision = address_of(given)
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            repository, revision=revision, allow_patterns=[ABOUT, TENSORS], etag_timeout=TIMEOUT_S
        )
    except refusals() as error:
        raise ModelMissing(
            f"{given} is not on this machine and cannot be fetched: {reason(error)}. Put {ABOUT} and {TENSORS} of "
            f"{place}/{repository} into a folder, and name that folder."
        ) from error
    if not (Path(found) / ABOUT).is_file():
        raise ModelMissing(f"{given} holds no {ABOUT}: regraft push has not written it. Expected a model of Regraft.")
    return Path(found)


def endpoint() -> str:
    """Return where the hub is: HF_ENDPOINT, or Hugging Face's own."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def refusals() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises where it is not answered, or not as it hopes."""
    from huggingface_hub import errors

    transport: type[Exception] = errors.HfHubHTTPError.__mro__[1]  # of the library that it asks through
    return (transport, OSError, ValueError)


def reason(error: Exception) -> str:
    """Say why the hub could not be asked, in words of ours: no token is ever in them."""
    cause: BaseException | None = error
    system = ""
    while cause is not None:
        system = getattr(cause, "strerror", None) or system
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None:
            return REASONS.get(status, f"the hub answers with status {status}")
        cause = cause.__cause__ or cause.__context__
    return f"the hub does not answer ({system or type(error).__name__})"
