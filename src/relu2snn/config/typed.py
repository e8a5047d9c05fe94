"""Values as a config of the schema's types."""

import functools
from typing import Any, cast

from omegaconf import OmegaConf

from relu2snn.config.schema import Experiment


def typed(values: Any) -> Experiment:
    """A config of these values, checked against the schema's types; any other value is missing.

    Raises OmegaConf's exceptions for a key that the schema has not and a value of another type.
    """
    return cast(Experiment, OmegaConf.merge(_schema(), values))


@functools.cache
def _schema() -> Any:
    # Reading the types off the dataclasses takes longer than all that is done with them; merging leaves this as it is.
    return OmegaConf.structured(Experiment)
