"""The networks that a command is given: ReLU networks in many kinds of files, spiking networks in one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relu2snn.command.options import ModelOptions
from relu2snn.errors import UserError, reading, shown

if TYPE_CHECKING:
    from relu2snn.spiking import SpikingModel

Shape = tuple[int, ...]

_SAVE = "save it again, with model.save('NAME.keras')"
_MAKE = "make it again, with relu2snn convert"


def require(path: Path, what: str) -> None:
    """Raise UserError where there is nothing at `path`: before TensorFlow is loaded, which takes seconds."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give {what}")


def open_any(path: Path, options: ModelOptions) -> Any:
    """A Keras model, ReLU or spiking, or an OnnxModel, of whatever file it stands in.

    Raises UserError, or what the reader of ONNX raises, in one line.
    """
    require(path, "a network that is saved: .keras, .h5, .onnx, .json with weights, or TensorFlow.js' model.json")
    if path.suffix == ".onnx":
        return _open_onnx(path, options)
    if options.shape:
        raise UserError(f"--shape {shown(options.shape[0])}: only an .onnx leaves sizes open; leave it out for {path}")
    from relu2snn.saved.whole import load_whole

    return load_whole(path, weights=options.weights, way_out=_SAVE)


def open_relu(path: Path, options: ModelOptions) -> Any:
    """A ReLU network; raises UserError for a spiking one, too."""
    model = open_any(path, options)
    if is_spiking(model):
        raise UserError(f"{path}: a spiking network already; give the ReLU network that it was made from")
    return model


def open_spiking(path: Path) -> "SpikingModel":
    """A spiking network; raises UserError for any other."""
    require(path, "a spiking network, as relu2snn convert makes it")
    if path.suffix != ".keras":
        raise UserError(f"{path}: no .keras file; give a spiking network, as relu2snn convert makes it")
    from relu2snn.saved.keras_files import load_model

    model = load_model(path, _MAKE)
    if not is_spiking(model):
        raise UserError(f"{path}: not a spiking network; make one of it: relu2snn convert {path} --calibration … -o …")
    return as_spiking(model, path)


def is_spiking(model: Any) -> bool:
    """Whether a loaded network is a spiking one."""
    from relu2snn.spiking import SpikingModel

    return isinstance(model, SpikingModel)


def as_spiking(model: Any, path: Path) -> "SpikingModel":
    """A loaded spiking network, in which what its layers say fits together; raises UserError where it does not."""
    from relu2snn.spiking import SpikingModel, network_of

    with reading(path, "spiking network", _MAKE):
        network_of(model)
    assert isinstance(model, SpikingModel)
    return model


def is_onnx(model: Any) -> bool:
    """Whether a loaded network is that of an ONNX file."""
    return type(model).__module__.startswith("relu2snn.mapping.onnx")


def image_shape(model: Any, path: Path) -> Shape:
    """The shape of an image that a network takes; raises UserError unless it has one input of a fixed shape."""
    inputs: Mapping[str, Sequence[Any]]
    if is_onnx(model):
        inputs = model.inputs
    else:
        inputs = {tensor._keras_history[0].name: tensor.shape[1:] for tensor in model.inputs}
    if len(inputs) != 1:
        raise UserError(
            f"{path}: has {len(inputs)} inputs ({shown(', '.join(inputs))}); the command takes networks with one, "
            "relu2snn.convert and relu2snn.verify in Python take any"
        )
    (shape,) = inputs.values()
    if None in shape or not shape:
        sides = " x ".join("?" if side is None else str(side) for side in shape) or "one number"
        raise UserError(
            f"{path}: takes images of {sides}, of no fixed size; build it for one, as in keras.Input((224, 224, 3))"
        )
    return tuple(int(side) for side in shape)


def channels_first(model: Any, shape: Shape) -> bool:
    """Whether the channels of an image are its first axis, as in most files of ONNX and what is made of them."""
    if len(shape) < 2 or not (is_onnx(model) or is_spiking(model)):
        return False
    return shape[-1] not in (1, 3) and shape[0] in (1, 3)


def _open_onnx(path: Path, options: ModelOptions) -> Any:
    if options.weights is not None:
        raise UserError(f"{path}: has its weights in it; leave --weights {options.weights} out")
    shapes = dict(_shape(text) for text in options.shape or ())
    import relu2snn

    return relu2snn.load_onnx(path, shapes=shapes or None)


def _shape(text: str) -> tuple[str, Shape]:
    name, _, sizes = text.rpartition("=")
    words = sizes.split(",")
    if not name or not all(word.isascii() and word.isdecimal() and int(word[:12]) > 0 for word in words):
        raise UserError(f"--shape {shown(text)}: give an input's name and sizes, as in --shape images=1,3,224,224")
    return name, tuple(map(int, words))
