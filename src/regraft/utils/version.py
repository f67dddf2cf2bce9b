"""The version, told once: `pyproject.toml` reads it here."""

from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"


def package_version(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
