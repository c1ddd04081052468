"""Rates as a data frame. `clients/generate.sh` puts this into the package as `rates_client.pandas`."""

import pandas

from .api.rates import get_rates
from .models import Problem


def read_rates(client, **query) -> pandas.DataFrame:
    """The answer of `get_rates` to the same parameters: a row for each day or interval, by its first day."""
    answer = get_rates.sync(client=client, **query)
    if isinstance(answer, Problem):
        faults = [error.detail for error in answer.errors or []]
        raise ValueError("; ".join(faults) or answer.detail or answer.title)
    frame = pandas.DataFrame([rate.to_dict() for rate in answer.rates])
    return frame.set_index(pandas.to_datetime(frame.pop("day")))
