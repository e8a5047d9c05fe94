"""The typed configuration: one dataclass per config group, with the legal range beside each value.

Every value comes from `conf/`, whose comments say what each key means; docs/config.md has both. A field without a value
is MISSING, so that a stage which reads a value outside its slice fails instead of using a default.
"""

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from omegaconf import MISSING

# Data sets that are folders of photographs; the others are read whole, into arrays.
FOLDER_FORMATS = ("places365", "pass")
# The user's own arrays, in dataset.file.
OWN_FORMAT = "npz"


_Value = TypeVar("_Value")

# What is too large for any sensible use, and would take a machine's memory or days before it failed.
_IMAGES = 10**8
_BATCH = 10**5
_UNITS = 10**6
_LAYERS = 100
# What numpy's and TensorFlow's generators of random numbers take.
_SEED = 2**32 - 1


def _value(default: Any = MISSING, **rule: Any) -> Any:
    """A field with a rule: any of gt, ge, lt, le (bounds), choices, text (a kind of `texts`), or the rule of a list.

    That of a list is any of each (a rule for its items), shortest and longest (bounds on their number).
    """
    return field(default=default, metadata=rule)


def _value_list(longest: int = 100, **rule: Any) -> Any:
    """A list, empty by default, whose items obey a rule."""
    return field(default_factory=list, metadata={"each": rule, "longest": longest})


def _count(most: int, default: Any = MISSING) -> Any:
    """A number of things, at least one."""
    return _value(default, ge=1, le=most)


def _seed(default: Any = MISSING) -> Any:
    return _value(default, ge=0, le=_SEED)


@dataclass
class ByHand:
    """A file or folder that the user has to fetch: its path, what it is, where it comes from."""

    path: str = _value(text="path")
    what: str = _value(text="words")
    origin: str = _value(text="words")


@dataclass
class PublishedFiles:
    """What is known of a data set's files as they are published."""

    train_images: int | None = _count(_IMAGES, None)
    test_images: int | None = _count(_IMAGES, None)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class Source:
    """Where a data set's files are looked for, in this order: directory, system_directory, keras_name.

    An npz of the user's own (dataset.file) is looked for nowhere: it has no directory, and as many images as it has.
    With other numbers of images than published, nothing is compared: such files are no whole data set.
    """

    format: str = _value(choices=("idx", "cifar10", "cifar100", "places365", "pass", "npz"))
    kind: str = _value(choices=("real", "sample", "synthetic"))
    directory: str | None = _value(text="path")
    system_directory: str | None = _value(None, text="path")
    keras_name: str | None = _value(None, choices=("mnist", "fashion_mnist", "cifar10", "cifar100"))
    made_from: str | None = _value(None, text="path")
    train_images: int | None = _count(_IMAGES)
    test_images: int | None = _count(_IMAGES)
    check: str = _value("published", choices=("published", "none"))
    published: PublishedFiles = field(default_factory=PublishedFiles)
    by_hand: list[ByHand] = _value_list()
    seed: int | None = _seed(None)
    mean_bgr: list[float] = _value_list(longest=3, ge=0, le=255)
    images_per_class: int | None = _count(_IMAGES, None)
    part_stride: int | None = _count(_IMAGES, None)


@dataclass
class Preprocess:
    """What the network is given: (pixel - mean) / std, in [low, high]."""

    mean: float = _value(ge=-1e6, le=1e6)
    std: float = _value(ge=1e-6, le=1e6)
    low: float = _value(ge=-1e9, le=1e9)
    high: float = _value(ge=-1e9, le=1e9)


@dataclass
class Dataset:
    """Which images, how many, and how they are preprocessed.

    Only a file of the user's own leaves open how many, of what shape and of how many classes they are.
    """

    name: str = _value(text="name")
    file: str | None = _value(None, text="path")
    classes: int | None = _value(ge=2, le=10**5)
    image_shape: list[int] | None = _value(each={"ge": 1, "le": 10**4}, shortest=3, longest=3)
    source: Source = field(default_factory=Source)
    preprocess: Preprocess = field(default_factory=Preprocess)
    parts: int = _count(10**4)
    part_images: int | None = _count(_IMAGES, None)


@dataclass
class Model:
    """The ReLU network: a family and its sizes, or (custom) the network in weights.file as it is."""

    name: str = _value(text="label")
    family: str = _value(choices=("fc", "lenet5", "vgg", "resnet", "mobilenet", "inception", "allconv", "custom"))
    width: float = _value(gt=0, le=4)
    blocks: list[list[int]] = _value_list(longest=_LAYERS, each={"ge": 1, "le": _UNITS})
    dense: list[int] = _value_list(longest=_LAYERS, ge=1, le=_UNITS)
    batch_norm: str = _value(choices=("none", "before_relu", "after_relu"))


@dataclass
class Weights:
    """Where trained weights are looked for, and where they come from otherwise.

    They are `file`, when it is given, or <root>/<directory>/<stem> with the suffix .h5, .weights.h5, .keras or .npz, or
    one of `other_names` there; otherwise what `source` says.
    """

    root: str = _value(text="path")
    directory: str = _value(text="path")
    stem: str = _value(text="file")
    other_names: list[str] = _value_list(text="file")
    file: str | None = _value(None, text="path")
    kind: str = _value(choices=("pretrained", "synthetic"))
    source: str = _value(choices=("train", "caffe", "imagenet"))
    caffemodel: str | None = _value(None, text="path")
    prototxt: str | None = _value(None, text="path")
    by_hand: list[ByHand] = _value_list()


@dataclass
class Dropout:
    """Rates of dropout, by where it stands."""

    first: float = _value(ge=0, lt=1)
    between: float = _value(ge=0, lt=1)
    dense: float = _value(ge=0, lt=1)


@dataclass
class Augmentation:
    """Random changes of the training images."""

    shift: float = _value(ge=0, lt=1)
    rotation: float = _value(ge=0, le=180)
    flip: bool = MISSING


@dataclass
class Train:
    """A training recipe, of networks for which no weights are given."""

    optimizer: str = _value(choices=("adam", "sgd"))
    learning_rate: float = _value(ge=1e-12, le=1e3)
    decay_rate: float = _value(ge=1e-6, le=1)
    decay_steps: int = _count(10**9)
    staircase: bool = MISSING
    momentum: float = _value(ge=0, lt=1)
    nesterov: bool = MISSING
    weight_decay: float = _value(ge=0, le=1e3)
    activity_l1: float = _value(ge=0, le=1e3)
    norm_momentum: float = _value(ge=0, lt=1)
    dropout: Dropout = field(default_factory=Dropout)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = _count(10**5)
    batch: int = _count(_BATCH)
    seed: int = _seed()


@dataclass
class Phase1:
    """Scaling of the ReLU network, and the passes that measure its outputs."""

    lower: float = _value(ge=-1e6, le=-1e-6)
    upper: float = _value(ge=1e-6, lt=1)
    batch: int = _count(_BATCH)
    floor: float = _value(ge=1e-9, le=1)


@dataclass
class Phase2:
    """The spiking run: mapping, windows, perturbations, precision.

    From a stretch of 1.001 on the mapping with a reference is exact by construction, below by certificate.
    """

    mapping: str = _value(choices=("published", "reference"))
    window: str = _value(choices=("margin", "certified", "guaranteed"))
    zeta: float = _value(gt=-1, le=1e15)
    noise: float = _value(ge=0, le=1e6)
    alpha_noise: float = _value(ge=0, le=1e6)
    reference_noise: float = _value(ge=0, le=1e6)
    stretch: float | None = _value(None, ge=1e-3, le=1e3)
    batch: int = _count(_BATCH)
    seed: int = _seed()
    precision: str = _value(choices=("float64", "float32"))


@dataclass
class Published:
    """What a run is compared with, where there is something, and the run that this was reported for."""

    accuracy: float | None = _value(None, ge=0, le=1)
    accuracy_loss: float | None = _value(None, ge=-1, le=1)
    agreement: float | None = _value(None, ge=0, le=1)
    source: str | None = _value(None, text="words")
    dataset: str | None = _value(None, text="words")
    model: str | None = _value(None, text="words")
    recipe: str | None = _value(None, text="words")
    weights: list[str] = _value_list(text="words")


@dataclass
class Container:
    """What reads Caffe's files and the photographs of Places365. Results are the same."""

    engine: str = _value(choices=("docker", "podman", "apptainer", "none"))


@dataclass
class Figures:
    """What the figures of an experiment show; they change no result."""

    images: int | None = _count(_IMAGES)
    batch: int = _count(_BATCH)
    image: int | None = _value(ge=0, le=_IMAGES)
    layer: int | None = _count(_LAYERS**2)
    neurons: int = _count(1000)
    traces: int = _count(12)
    seed: int = _seed()


@dataclass
class Arithmetic:
    """pJ of a multiply-accumulate, of an accumulate, and of an access to one word of memory."""

    mac: float = _value(ge=0, le=1e9)
    accumulate: float = _value(gt=0, le=1e9)
    access: float = _value(ge=0, le=1e9)


@dataclass
class Energy:
    """The hardware that energies are estimated for (docs/costs.md); it changes no result but these estimates.

    resolution: its time step, in units of the input window. mac_accesses, accumulate_accesses: words of memory that a
    multiply-accumulate and an accumulate move. float32, int8: what one operation takes in that arithmetic.
    """

    resolution: float = _value(gt=0, le=1)
    mac_accesses: float = _value(ge=0, le=1e3)
    accumulate_accesses: float = _value(ge=0, le=1e3)
    float32: Arithmetic = field(default_factory=Arithmetic)
    int8: Arithmetic = field(default_factory=Arithmetic)


@dataclass
class Sweep:
    """A robustness sweep: phase 2 once more with `phase2.<name>` at each of `values`."""

    name: str = _value(choices=("zeta", "noise", "alpha_noise", "reference_noise"))
    values: list[float] = _value(each={}, shortest=1, longest=1000)
    trials: int = _count(10**4)
    images: int | None = _count(_IMAGES)


@dataclass
class Tracking:
    """Where results are logged, unless the environment's MLFLOW_TRACKING_URI is set, and what of them."""

    uri: str = _value(text="address")
    artifacts: str | None = _value(text="address")
    lock_timeout: float = _value(gt=0, le=1e6)
    wait: float = _value(ge=0, le=1e6)
    models: list[str] = _value(each={"choices": ("scaled", "spiking")}, longest=2)
    model_megabytes: float = _value(gt=0, le=1e9)
    register: bool = MISSING


@dataclass
class Suite:
    """A named set of experiments, with the overrides that make it what it is; no override sets these."""

    name: str = _value(text="name")
    experiments: list[str] = _value(each={"text": "name"}, shortest=1, longest=1000)
    closed: bool = MISSING
    overrides: list[str] = _value_list(text="words")
    per_experiment: dict[str, list[str]] = field(default_factory=dict)
    sweeps: dict[str, list[str]] = field(default_factory=dict)
    per_sweep: dict[str, list[str]] = field(default_factory=dict)
    variants: dict[str, list[list[str]]] = field(default_factory=dict)


@dataclass
class Run:
    """What sets a configuration apart from the one that conf/ gives its experiment in its suite; no user sets it.

    overrides: what a user would type to get it, of all that its results depend on; sweep_overrides: the same for its
    sweep; shown_overrides: of what its figures and energies are shown by. dataset to sweep: the folder of its files by
    stage (relu2snn.config.variants), points being those of a sweep; train is empty where nothing is trained. files: by
    key, the SHA-256 of each file that an override names.
    """

    overrides: list[str] = field(default=MISSING)
    sweep_overrides: list[str] = field(default=MISSING)
    shown_overrides: list[str] = field(default=MISSING)
    dataset: str = MISSING
    train: str = MISSING
    weights: str = MISSING
    phase1: str = MISSING
    phase2: str = MISSING
    figures: str = MISSING
    points: str = MISSING
    sweep: str = MISSING
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Experiment:
    """The whole configuration of one experiment."""

    name: str = _value(text="name")
    outputs: str = _value(text="path")
    suite: Suite = field(default_factory=Suite)
    run: Run = field(default_factory=Run)
    dataset: Dataset = field(default_factory=Dataset)
    model: Model = field(default_factory=Model)
    weights: Weights = field(default_factory=Weights)
    train: Train = field(default_factory=Train)
    phase1: Phase1 = field(default_factory=Phase1)
    phase2: Phase2 = field(default_factory=Phase2)
    published: Published = field(default_factory=Published)
    container: Container = field(default_factory=Container)
    sweep: Sweep = field(default_factory=Sweep)
    figures: Figures = field(default_factory=Figures)
    energy: Energy = field(default_factory=Energy)
    tracking: Tracking = field(default_factory=Tracking)
    # In the slice of a stage: the values that must have shaped the files that it reads (config.shaping.job_slice).
    expected: dict[str, Any] = field(default_factory=dict)


def known(value: _Value | None) -> _Value:
    """A value that only a data set of the user's own may leave open, of another data set (`validate` sees to it)."""
    assert value is not None
    return value


def walk_fields(schema: type, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """The fields of a dataclass by dotted key, in their order, groups before what is in them."""
    for entry in fields(schema):
        yield prefix + entry.name, entry
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            yield from walk_fields(entry.type, f"{prefix}{entry.name}.")


@cache
def schema_fields() -> dict[str, Field[Any]]:
    """The fields of an experiment's configuration by dotted key, as `walk_fields` has them."""
    return dict(walk_fields(Experiment))
