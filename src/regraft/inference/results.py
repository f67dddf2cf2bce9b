"""What a model says of pictures, as values: rows as they are printed, and the arrays and tables made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, overload

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from regraft.errors import MissingExtra
from regraft.inference.answering import Answering, Prediction
from regraft.utils import tables
from regraft.utils.progress import Listener

if TYPE_CHECKING:
    import pandas
    import pyarrow

SHOWN = 6  # heat maps in a notebook: each has some 50 kB


class Predicting(TypedDict, total=False):
    """How pictures are predicted: arguments of `regraft.predict`, for type checkers and editors."""

    top: int
    probabilities: bool
    tta: int | None
    abstain_below: float | None
    weights: str | None
    channels: str | None
    range: str | None
    max_megapixels: int | None
    device: str
    engine: str
    progress: Listener


class PredictionRow(TypedDict):
    """One prediction for one picture."""

    filename: str
    rank: int  # 1: the predicted class
    index: int | None  # of the class
    label: str | None  # None: unsure, or not readable
    prob: float | None
    error: str  # why it cannot be read


@dataclass(frozen=True)
class Asked:
    """What is told of each picture."""

    top: int = 1  # classes
    abstain_below: float | None = None
    probabilities: bool = False  # of all classes, in columns of their own

    def rows(self, name: str, prediction: Prediction, model: Answering) -> list[PredictionRow]:
        """Return a row for each of the first `top` classes, the predicted class first.

        A picture that cannot be read, and one whose highest probability is below `abstain_below`, has one row without a
        label; the first has no probability and an error, the second its highest probability and no error.
        """
        found = prediction.probabilities
        if found is None or float(found.max()) < (self.abstain_below or 0.0):
            prob = None if found is None else round(float(found.max()), 6)
            rows = [PredictionRow(filename=name, rank=1, index=None, label=None, prob=prob, error=prediction.error)]
        else:
            rows = [
                PredictionRow(
                    filename=name,
                    rank=rank,
                    index=index,
                    label=model.classes[index],
                    prob=round(float(found[index]), 6),
                    error="",
                )
                for rank, index in enumerate(model.ranking(found)[: self.top].tolist(), start=1)
            ]
        return [{**row, **self._of_all(found, model)} for row in rows]  # type: ignore[typeddict-item]

    def _of_all(self, found: NDArray[np.float32] | None, model: Answering) -> dict[str, float | None]:
        if not self.probabilities:
            return {}
        shares = [None] * len(model.classes) if found is None else [round(share, 6) for share in found.tolist()]
        return {f"prob_{name}": share for name, share in zip(model.classes, shares, strict=True)}


class ExplanationRow(TypedDict):
    """One picture and where its heat map lies."""

    filename: str
    label: str | None
    prob: float | None
    heatmap: str | None  # the PNG; None where no place speaks for the class
    error: str


R = TypeVar("R", PredictionRow, ExplanationRow)


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Sequence[R]):
    """Rows as they are printed; equal to a list of the same rows."""

    rows: tuple[R, ...]

    def to_pandas(self) -> pandas.DataFrame:
        """Return the rows as a pandas table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self.rows, f"{type(self).__name__}.to_pandas")

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as an Arrow table."""
        return tables.to_arrow(self.rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> R: ...
    @overload
    def __getitem__(self, at: slice) -> list[R]: ...
    def __getitem__(self, at: int | slice) -> R | list[R]:
        """Return a row, or a list of them."""
        return list(self.rows[at]) if isinstance(at, slice) else self.rows[at]

    def __eq__(self, other: object) -> bool:
        """Compare the rows with those of any sequence."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __repr__(self) -> str:
        """Say how many there are."""
        return f"<{type(self).__name__}: {len(self.rows)} rows>"

    def _repr_html_(self) -> str:
        return tables.as_html(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Rows[PredictionRow]):
    """The predictions for pictures, in their order: a sequence of rows, one for each picture and rank."""

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """``[n, classes]``, a row for each picture; nan where it could not be read."""

    @property
    def labels(self) -> list[str | None]:
        """The predicted class for each picture; None where it is unsure or could not be read."""
        return [row["label"] for row in self.rows if row["rank"] == 1]

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self.probabilities)

    @property
    def unsure(self) -> int:
        """How many can be read and have no label."""
        return sum(row["label"] is None and not row["error"] for row in self.rows)

    @property
    def filenames(self) -> list[str]:
        """What each picture is called."""
        return [row["filename"] for row in self.rows if row["rank"] == 1]


@dataclass(frozen=True)
class PredictionsFile:
    """The predictions for any number of pictures, in a file: what `regraft.predict` returns with ``out``."""

    file: Path
    pictures: int
    unreadable: int  # of these, that have an error in place of a label
    unsure: int  # that have neither, since their highest probability is below `abstain_below`

    def __fspath__(self) -> str:
        """Stand for the file."""
        return str(self.file)


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Rows[ExplanationRow]):
    """Where pictures speak for a class: a sequence of rows, and the folder that holds the heat maps."""

    folder: Path

    def _repr_html_(self) -> str:
        drawn = [Path(row["heatmap"]) for row in self.rows if row["heatmap"]]
        return tables.as_html(self.rows) + "".join(tables.image_html(path) for path in drawn[:SHOWN])


@dataclass(frozen=True, eq=False)
class Features(NDArrayOperatorsMixin):
    """What a network makes of pictures: a row for each, in their order; to NumPy, and to code for arrays, its array."""

    array: NDArray[np.float32]
    """``[n, c]``, or ``[n, c, h, w]`` without pooling."""
    paths: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of the array."""
        return self.array.dtype

    def __array__(self, dtype: np.dtype[np.float32] | None = None, copy: bool | None = None) -> NDArray[np.float32]:
        return np.array(self.array, dtype, copy=copy) if copy else np.asarray(self.array, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **how: object) -> object:
        plain = [one.array if isinstance(one, Features) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **how)

    if not TYPE_CHECKING:  # for code that was given the array: a type checker is to say what is new

        def __getattr__(self, name: str) -> object:
            if name.startswith("_") or name == "array":  # while it is copied or unpickled, it has none yet
                raise AttributeError(name)
            return getattr(self.array, name)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas table, a row for each picture, by its path; of whole maps each number is a column.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra("pandas", "pandas", "Features.to_pandas") from error
        flat = self.array.reshape(len(self.array), -1)
        table: pandas.DataFrame = pandas.DataFrame(flat, index=pandas.Index(self.paths, name="path"))
        return table

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, at: object) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self.array[at]  # type: ignore[call-overload]  # whatever NumPy takes
        return found

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.array)

    def __repr__(self) -> str:
        return f"<Features: {' x '.join(map(str, self.shape))} of {self.dtype}>"

    def _repr_html_(self) -> str:
        flat = self.array.reshape(len(self.array), -1)
        rows = [{"path": path, **_first(row)} for path, row in zip(self.paths[: tables.MOST_SHOWN], flat, strict=False)]
        return tables.as_html(rows, title=repr(self)[1:-1], of=len(self.paths))


def _first(row: NDArray[np.float32]) -> dict[str, str]:
    """Return the first numbers of a row as cells of a table."""
    shown = {str(at): f"{value:.3f}" for at, value in enumerate(row[:8])}
    return shown | ({"…": "…"} if len(row) > len(shown) else {})
