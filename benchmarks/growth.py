"""What ten and a hundred million pictures would take, from what `python -m benchmarks.large` measured at several sizes.

`python -m benchmarks.growth [--kind hnsw]`

Fits a power of the number of rows to each figure, by least squares of the logarithms, and gives the interval in which one
more measurement at 10 and 100 million would fall in two of three cases, if the power went on to hold. Nothing says that it
does: see docs/scale.md. What the embeddings would cost is by the prices that the embedders declare.
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from benchmarks.common import Figure, arguments, record
from benchmarks.large import BUILD, SEARCH, SIZE
from benchmarks.results import read
from pinakes.embedders.registry import EMBEDDERS

SIZES = (10_000_000, 100_000_000)
STUDENT = {1: 1.84, 2: 1.32, 3: 1.20, 4: 1.14, 5: 1.11, 6: 1.09}
"""84.1 % quantiles of Student's distribution by its degrees of freedom."""


def main() -> None:
    options = arguments(__doc__, kind="hnsw")
    measured: dict[str, dict[int, float]] = {name: {} for name in (BUILD, SIZE, SEARCH)}
    for result in read():
        if found := re.fullmatch(rf"large-(\d+)-{options.kind}", result.name):
            for figure in result.figures:
                if figure.what in measured:
                    measured[figure.what][int(found[1])] = float(figure.value.split()[0].replace(",", ""))
    units = {BUILD: "s", SIZE: "MB", SEARCH: "ms of processor"}
    figures = [fitted(name, units[name], by_rows) for name, by_rows in measured.items()]
    for declaration in EMBEDDERS.values():
        for model in declaration.models:
            if model.price is not None and model.price.per_image:
                costs = " and ".join(f"USD {size * model.price.per_image:,.0f}" for size in SIZES)
                figures.append(Figure(f"embedding them once with {declaration.name} {model.name}", costs))
    sizes = ", ".join(f"{rows:,}" for rows in sorted(measured[BUILD]))
    record(
        f"growth-{options.kind}",
        f"10 and 100 million pictures, index {options.kind}",
        figures,
        f"Extrapolated from {sizes} vectors of 1,024 components; two of three further ones would fall into the interval.",
    )


def fitted(name: str, unit: str, by_rows: dict[int, float]) -> Figure:
    """One quantity at `SIZES`, each with its interval."""
    rows = np.array(sorted(by_rows), dtype=np.float64)
    values = np.array([by_rows[int(n)] for n in rows])
    power, at, error = fit(np.log(rows), np.log(values))
    extrapolated = []
    for size in SIZES:
        expected, spread = at(math.log(size)), error(math.log(size))
        low, middle, high = (math.exp(expected + sign * spread) for sign in (-1, 0, 1))
        extrapolated.append(f"{middle:,.0f} {unit} ({low:,.0f} to {high:,.0f})")
    return Figure(f"{name}, as rows to the power of {power:.2f}", " and ".join(extrapolated))


def fit(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]):  # type: ignore[no-untyped-def]
    """A line by least squares: its slope, its value at a place, and half the interval of a measurement there.

    Draper and Smith, Applied Regression Analysis, 3rd edition, section 3.1.
    """
    slope, start = np.polyfit(x, y, 1)
    free = len(x) - 2
    deviation = math.sqrt(float(((y - start - slope * x) ** 2).sum()) / free)
    spread = float(((x - x.mean()) ** 2).sum())

    def at(place: float) -> float:
        return float(start + slope * place)

    def error(place: float) -> float:
        return STUDENT[free] * deviation * math.sqrt(1 + 1 / len(x) + (place - x.mean()) ** 2 / spread)

    return slope, at, error


if __name__ == "__main__":
    main()
