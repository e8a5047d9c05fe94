"""An ONNX file as a network that can be read and run: loaded with care, in float64, its inputs and outputs known.

The `onnx` package is imported here and in its neighbours `onnx_*` alone, and only when such a file is used.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Shape

_LARGEST = 2**31
_OLDEST = 7
"""Before, tensors were broadcast by rules of their own."""
_FLOATS = ("FLOAT", "DOUBLE")
_AXES = re.compile(r"[\w./:-]+")


def onnx() -> Any:
    """The package `onnx`; raises ImportError in one line where it is not installed."""
    try:
        import onnx as package
        import onnx.external_data_helper
        import onnx.inliner
        import onnx.numpy_helper
    except ModuleNotFoundError as error:
        raise ImportError("ONNX files need the package onnx: pip install 'relu2snn[onnx]'") from error
    return package


class OnnxModel:
    """A network of an ONNX file, for `relu2snn.convert` and `relu2snn.verify` in the place of a Keras model.

    proto: an `onnx.ModelProto` with all its weights; it is copied, and computes in float64 here. shapes: by the inputs'
    names, the whole shape (batch, *shape) of those that the file leaves open. title: what errors call it.

    Attributes: inputs, by name (in which what Keras forbids is "_") the shape of each without the batch, as the file
    takes images (channels first, mostly); outputs, the names of the file's outputs.

    Raises ValueError, in one line, for what is no valid ONNX network of floating-point numbers, and for a side of an
    input that is open.

    Example:
        >>> resnet = relu2snn.load_onnx("resnet.onnx")
        >>> resnet.inputs
        {'images': (3, 16, 16)}
        >>> photographs = np.random.default_rng(0).uniform(-3, 3, (20, 3, 16, 16))
        >>> of_onnx = relu2snn.convert(resnet, photographs, low=-3, high=3)
        >>> relu2snn.verify(resnet, of_onnx, photographs[:4]).exact
        True
    """

    def __init__(self, proto: Any, *, shapes: Mapping[str, Sequence[int]] | None = None, title: str = "model") -> None:
        package = onnx()
        self.title = title
        try:
            package.checker.check_model(proto)
            _require_texts(proto.graph)
            if proto.functions:
                proto = package.inliner.inline_local_functions(proto)
        except Exception as error:
            raise ValueError(f"{title}: no valid ONNX network ({one_line(error)}); export it again") from None
        self.proto = in_float64(proto)
        self.opsets = {each.domain or "ai.onnx": each.version for each in proto.opset_import}
        version = self.opsets.get("ai.onnx", 1)
        if version < _OLDEST:
            raise ValueError(
                f"{title}: opset {version}, but {_OLDEST} is the oldest that is read; "
                "convert it with onnx.version_converter.convert_version(model, 13)"
            )
        graph = self.proto.graph
        held = {each.name for each in graph.initializer}
        used = {name for node in graph.node for name in node.input} | {each.name for each in graph.output}
        self.given = [each for each in graph.input if each.name not in held and each.name in used]
        if not self.given or not graph.output:
            raise ValueError(f"{title}: a network without {'outputs' if self.given else 'inputs'}; export it again")
        self.names = {each.name: name for each, name in zip(self.given, plain_names(self.given), strict=True)}
        open_ = dict(shapes or {})
        self.inputs: dict[str, Shape] = {}
        self.one_by_one = False
        for each in self.given:
            name = self.names[each.name]
            wanted = open_.pop(each.name, None) or open_.pop(name, None)
            self.inputs[name] = self._shape(each, name, wanted)
        if open_:
            raise ValueError(f"{title}: no input {next(iter(open_))!r}; its inputs are {', '.join(self.inputs)}")
        self.outputs = [each.name for each in graph.output]
        self._runs: dict[tuple[str, ...], Any] = {}

    def _shape(self, given: Any, name: str, wanted: Sequence[int] | None) -> Shape:
        kind = given.type.tensor_type
        number = onnx().TensorProto.DataType.Name(kind.elem_type) if given.type.HasField("tensor_type") else "no tensor"
        if number not in _FLOATS:
            raise ValueError(
                f"{self.title}: input {name!r} is {number}, but the network must compute in FLOAT; export it in float32"
            )
        sides: list[Any] = [each.dim_value if each.HasField("dim_value") else None for each in kind.shape.dim]
        if wanted is not None:
            if len(wanted) != len(sides) or any(side not in (None, int(w)) for side, w in zip(sides, wanted)):  # noqa: B905
                raise ValueError(f"{self.title}: shape {tuple(wanted)} for input {name!r}, which is {_shown(sides)}")
            sides = [side if side is not None else int(w) for side, w in zip(sides, wanted, strict=True)]
        if len(sides) < 2:
            raise ValueError(f"{self.title}: input {name!r} is {_shown(sides)}, without an axis for the batch")
        batch, *rest = sides
        if None in rest or min(rest) < 1:
            raise ValueError(
                f"{self.title}: input {name!r} is {_shown(sides)}, open but for the batch; give its shape, as in "
                f'load_onnx(path, shapes={{"{name}": (1, 3, 224, 224)}})'
            )
        if np.prod([float(side) for side in rest]) > _LARGEST:
            raise ValueError(f"{self.title}: input {name!r} is {_shown(sides)}, too large to be an image")
        if batch not in (None, 0, 1):
            raise ValueError(
                f"{self.title}: input {name!r} is {_shown(sides)}, {batch} images at once; export it for one image, or "
                "with an open (dynamic) batch"
            )
        self.one_by_one |= batch == 1
        return tuple(int(side) for side in rest)

    def run(self, images: Sequence[Any], wanted: Sequence[str]) -> list[Any]:
        """Tensors of the file by name for images (batch, *shape), in the order of `inputs`; in float64.

        By ONNX's own reference implementation, so that no code of the mapping is on both sides.
        """
        run = self._runs.get(tuple(wanted))
        if run is None:
            from relu2snn.mapping.onnx_reference import evaluator

            run = self._runs[tuple(wanted)] = evaluator(self.proto, wanted)
        given = [np.asarray(each, np.float64) for each in images]
        parts = range(len(given[0])) if self.one_by_one else [slice(None)]
        found = []
        for part in parts:
            rows = slice(part, part + 1) if isinstance(part, int) else part
            feeds = {each.name: chunk[rows] for each, chunk in zip(self.given, given, strict=True)}
            try:
                found.append(run(feeds))
            except Exception as error:
                raise ValueError(
                    f"{self.title}: ONNX's own implementation cannot run it ({one_line(error)}); export it again"
                ) from None
        return [np.concatenate(each) if self.one_by_one else each[0] for each in zip(*found, strict=True)]


def load_onnx(path: str | Path, *, shapes: Mapping[str, Sequence[int]] | None = None) -> OnnxModel:
    """The network of an ONNX file; weights in files of their own are read where they lie beside or below it.

    shapes: as of `OnnxModel`. Raises ValueError, which names the file, for what it raises, FileNotFoundError and other
    OSErrors of the system.

    Example:
        >>> relu2snn.load_onnx("resnet.onnx").outputs
        ['logits']
    """
    package, path = onnx(), Path(path)
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, more than an ONNX file can have")
    try:
        proto = package.load_model(path, format="protobuf", load_external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: no ONNX file ({one_line(error)}); export the network again") from None
    for tensor in _tensors(proto.graph):
        if tensor.data_location == package.TensorProto.EXTERNAL:
            _fill(tensor, path)
    return OnnxModel(proto, shapes=shapes, title=str(path))


def _fill(tensor: Any, path: Path) -> None:
    """Read the numbers of a tensor from the file that it names, which has to lie in the folder of `path`."""
    entries = {each.key: each.value for each in tensor.external_data}
    folder = path.parent.resolve()
    location = entries.get("location", "")
    where = f"{path}: weight {tensor.name!r} lies in {location[:80]!r}"
    try:
        file = (folder / location).resolve()
        offset, length = int(entries.get("offset", 0)), entries.get("length")
        inside = bool(location) and file.is_relative_to(folder) and file.is_file()
        size = file.stat().st_size if inside else 0
        count = size - offset if length is None else int(length)
    except (OSError, ValueError) as error:
        raise ValueError(f"{where} ({one_line(error)}); export the network again") from None
    if not inside:
        raise ValueError(f"{where}, which is no file in the network's folder; put it there")
    if offset < 0 or count < 0 or offset + count > size:
        raise ValueError(f"{where}, from byte {offset} {count} bytes, but it has {size}; copy it again")
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(count)
    tensor.data_location = onnx().TensorProto.DEFAULT
    del tensor.external_data[:]


def _require_texts(graph: Any) -> None:
    """Raise ValueError for a name that is no text, which protobuf gives as bytes."""
    names = [each.name for each in (*graph.node, *graph.initializer, *graph.input, *graph.output)]
    for node in graph.node:
        names += [node.op_type, node.domain, *node.input, *node.output, *(each.name for each in node.attribute)]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"a name {name!r} that is no text")


def _tensors(graph: Any) -> list[Any]:
    """The weights of a graph, those of its Constant nodes, too."""
    found = list(graph.initializer)
    for node in graph.node:
        found += [each.t for each in node.attribute if each.HasField("t")]
    return found


def in_float64(proto: Any) -> Any:
    """A copy of a network that computes in float64 where it computed in float32."""
    package = onnx()
    single, double = package.TensorProto.FLOAT, package.TensorProto.DOUBLE
    copy = package.ModelProto()
    copy.CopyFrom(proto)
    graph = copy.graph
    del graph.value_info[:]
    for tensor in _tensors(graph):
        if tensor.data_type == single:
            name = tensor.name
            tensor.CopyFrom(package.numpy_helper.from_array(array(tensor).astype(np.float64), name))
    for each in (*graph.input, *graph.output):
        if each.type.tensor_type.elem_type == single:
            each.type.tensor_type.elem_type = double
    for node in graph.node:
        for each in node.attribute:
            if node.op_type == "Cast" and each.name == "to" and each.i == single:
                each.i = double
        floats = [each for each in node.attribute if each.name in ("value_float", "value_floats")]
        if node.op_type == "Constant" and floats:
            values = list(floats[0].floats) if floats[0].name == "value_floats" else floats[0].f
            tensor = package.numpy_helper.from_array(np.asarray(values, np.float64))
            del node.attribute[:]
            node.attribute.append(package.helper.make_attribute("value", tensor))
        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = package.numpy_helper.from_array(np.zeros(1))
            node.attribute.append(package.helper.make_attribute("value", zero))
    return copy


def array(tensor: Any) -> Any:
    """The numbers of a tensor; raises ValueError for one whose bytes do not fit its shape."""
    if any(side < 0 for side in tensor.dims) or np.prod([float(side) for side in tensor.dims]) > _LARGEST:
        raise ValueError(f"weight {tensor.name!r} of shape {tuple(tensor.dims)}: too large")
    try:
        return onnx().numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"weight {tensor.name!r}: not readable ({one_line(error)})") from None


def plain_names(values: Sequence[Any]) -> list[str]:
    """The names of tensors with "_" for what Keras forbids in the name of an input, each once."""
    found: list[str] = []
    for each in values:
        name = plain(each.name) or "images"
        while name in found:
            name += "_"
        found.append(name)
    return found


def plain(name: str) -> str:
    """A name without the signs that a layer of Keras cannot have in it."""
    return re.sub(r"\W+", "_", name).strip("_")


def one_line(error: BaseException) -> str:
    """What an error says, in one line that can be printed."""
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(str(error).split()))
    return text[:160] + "…" if len(text) > 160 else text or type(error).__name__


def _shown(sides: Sequence[Any]) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in sides) + ")"
