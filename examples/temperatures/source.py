"""The readings, from the files that the package vega_datasets brings along."""

import csv
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

FILES = {"seattle": "seattle-temps.csv", "sf": "sf-temps.csv"}


class Row(NamedTuple):
    """One line of a city's file, as it is in there; `id` is the city and the line."""

    id: str
    city: str
    fields: dict[str, str]


def data_folder() -> Path:
    """Where vega_datasets keeps its files; found without importing it, which would load pandas."""
    package = find_spec("vega_datasets")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the temperatures are in vega_datasets: pip install vega_datasets")
    return Path(package.submodule_search_locations[0]) / "_data"


def read_rows(folder: Path, limit: int | None = None) -> list[Row]:
    """The rows of both cities in turn, hour by hour; the first `limit` of them."""
    cities = [_read_city(folder / file, city) for city, file in FILES.items()]
    in_turn = chain.from_iterable(zip_longest(*cities))
    return list(islice((row for row in in_turn if row is not None), limit))


def _read_city(path: Path, city: str) -> Iterator[Row]:
    with path.open(newline="") as file:
        lines = csv.DictReader(file)
        for fields in lines:
            yield Row(f"{city}:{lines.line_num}", city, fields)
