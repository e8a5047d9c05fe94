"""What `import relu2snn` sees to without loading Keras: its layers are known to Keras whenever that loads, and quietly.

Keras finds the layers of a saved network by their registered names, so that they have to be imported by then, at the
price of seconds. They are imported when Keras is, whoever imports it.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_LAYERS = ("relu2snn.spiking.model", "relu2snn.mapping.relu_layers")
_OWN = ("relu2snn.spiking", "relu2snn.mapping")


class _Follower:
    """A finder that finds nothing itself, but sees to it that modules are loaded by other means than bare."""

    def __init__(self, loads: dict[str, Callable[[Callable[[], None]], None]]) -> None:
        self._loads = loads

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Taken out first, since what follows comes back here.
        load = self._loads.pop(name, None)
        if load is None:
            return None
        try:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.loader is None:
                return None
            run = spec.loader.exec_module

            def followed(module: ModuleType) -> None:
                load(lambda: run(module))

            # On the loader itself, so that the module has the one it expects.
            spec.loader.exec_module = followed  # type: ignore[method-assign]
        finally:
            if name not in sys.modules:
                self._loads.setdefault(name, load)
        return spec


def follow() -> None:
    """Register the layers with Keras as soon as it is loaded, which may be now, and load TensorFlow without notices.

    Who sets TF_CPP_MIN_LOG_LEVEL has the say; 0 shows everything.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "keras" in sys.modules:
        _register()
        return
    sys.meta_path.insert(0, _Follower({"keras": _with_layers, "tensorflow": _without_notices}))


def _with_layers(run: Callable[[], None]) -> None:
    run()
    _register()


def _without_notices(run: Callable[[], None]) -> None:
    with silent() if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "0" else contextlib.nullcontext():
        run()
        # Finding no GPU is only said when the devices are first listed.
        sys.modules["tensorflow"].config.list_physical_devices()


def _register() -> None:
    # A part that is being imported registers its layers itself, and cannot be imported again meanwhile.
    for name in (name for name in sys.modules if name.startswith(_OWN)):
        if getattr(sys.modules[name].__spec__, "_initializing", False):
            return
    for name in _LAYERS:
        importlib.import_module(name)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing that is written to the process's standard error is seen: native code writes there past Python."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)
