"""Eleven mistakes that a type checker must see: each line says which, and one that is not seen is an error itself."""

from __future__ import annotations

import regraft

regraft.nonsense()  # type: ignore[attr-defined]
regraft.train(5)  # type: ignore[arg-type]
regraft.train("cells", epoch=5)  # type: ignore[call-arg]
regraft.train("cells", epochs="five")  # type: ignore[arg-type]
regraft.train("cells", fit="crp")  # type: ignore[arg-type]
regraft.predict("runs/cells", 7)  # type: ignore[call-overload]
_ = regraft.predict("runs/cells", "a.png")[0]["labels"]  # type: ignore[typeddict-item]
_ = regraft.predict("runs/cells", "a.png").label  # type: ignore[attr-defined]
regraft.features("runs/cells", "a.png", pooling=True)  # type: ignore[call-arg]
regraft.evaluate("runs/cells", "cells", groups=5)  # type: ignore[arg-type]
_ = regraft.compare("cells").best.acuracy  # type: ignore[attr-defined]
