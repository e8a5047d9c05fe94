"""Finding the files of a data set: dropped-in folder first, then the system's, then a download."""

from dataclasses import dataclass
from pathlib import Path

from relu2snn.config.schema import FOLDER_FORMATS, OWN_FORMAT, Source, known
from relu2snn.datasets.cifar import LAYOUTS, locate_cifar
from relu2snn.errors import UserError

ARRAY_FORMATS = ("idx", *LAYOUTS)
SUPPORTED_FORMATS = (*ARRAY_FORMATS, OWN_FORMAT, *FOLDER_FORMATS)

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
_EXPECTED_IDX = f"{', '.join(IDX_NAMES)} (each plain or .gz), or one .npz with {', '.join(NPZ_KEYS)}"


@dataclass(frozen=True)
class Located:
    """Where a data set comes from, and its files; no file is a download, or files that are yet to be made.

    Files are four idx files in the order of IDX_NAMES, one npz, or what `cifar.locate_cifar` finds.
    """

    origin: str
    files: tuple[Path, ...]


def source_files(source: Source) -> list[str]:
    """The files that loading `source` would read now.

    None for a download, folders of photographs, files made here, and a file of the user's, which dataset.file names.

    Only looks at names, so it is light enough for every start of the workflow.

    Raises UserError for a format without a reader, a partly filled folder, and when there is nothing to load.
    """
    if source.format in (*FOLDER_FORMATS, OWN_FORMAT) or source.made_from:
        return []
    return [str(path) for path in locate(source).files]


def expected(source: Source) -> str:
    """The files that a user can provide, for messages."""
    return LAYOUTS[source.format].expected if source.format in LAYOUTS else _EXPECTED_IDX


def locate(source: Source) -> Located:
    """Look into `source.directory`, then `source.system_directory`, then fall back on `source.keras_name`.

    Relative folders are relative to the current directory.

    Raises UserError as `source_files` does.
    """
    if source.format in FOLDER_FORMATS:
        raise UserError(
            f"dataset.source.format={source.format}: folders of photographs are prepared part by part; "
            f"run the stages of pipeline/{source.format}.smk, or snakemake"
        )
    if source.format not in ARRAY_FORMATS:
        raise UserError(
            f"dataset.source.format={source.format}: this version has no reader for it, "
            f"only for {', '.join(SUPPORTED_FORMATS)}; choose another experiment"
        )
    places = [(known(source.directory), f"folder {source.directory}")]
    if source.system_directory is not None:
        places.append((source.system_directory, f"system package in {source.system_directory}"))
    for folder, origin in places:
        files = _files_in(Path(folder), source.format)
        if files:
            return Located(origin, files)
    if source.keras_name is None:
        looked = " or ".join(folder for folder, _ in places)
        raise UserError(f"no data set found in {looked}; put there {expected(source)}")
    return Located(f"download by keras.datasets.{source.keras_name}", ())


def _files_in(folder: Path, format: str) -> tuple[Path, ...]:
    """The files of `format` in `folder`; empty if there are none."""
    if not folder.exists():
        return ()
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; name the folder that holds the files")
    return locate_cifar(folder, format) if format in LAYOUTS else _idx_files(folder)


def _idx_files(folder: Path) -> tuple[Path, ...]:
    """The four idx files or the npz in `folder`; idx files win, and a plain file wins over its .gz."""
    found = {name: path for name in IDX_NAMES if (path := _idx_file(folder, name)) is not None}
    missing = [name for name in IDX_NAMES if name not in found]
    if found and missing:
        raise UserError(
            f"{folder}: {' and '.join(missing)} (plain or .gz) missing beside {next(iter(found.values())).name}; "
            "add what is missing or empty the folder"
        )
    if found:
        return tuple(found.values())
    archives = sorted(folder.glob("*.npz"))
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise UserError(f"{folder}: {len(archives)} .npz files ({names}); leave only the one to use")
    return tuple(archives)


def _idx_file(folder: Path, name: str) -> Path | None:
    # The site of MNIST has spelled the names with a dot as well: train-images.idx3-ubyte.
    for stem in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = folder / (stem + suffix)
            if path.is_file():
                return path
    return None
