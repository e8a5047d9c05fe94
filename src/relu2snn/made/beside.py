"""Files that have no place for a stamp, pictures and tables: the stamp of a file beside them has their digests."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from relu2snn.files import digest_of, require_file
from relu2snn.made.job import require


def file_digests(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their names."""
    return {path.name: digest_of(path) for path in files}


def check_files(path: str | Path, digests: Mapping[str, str], stage: str) -> None:
    """Raise UserError unless the files beside `path`, a file of `stage`, are those whose digests its stamp has."""
    folder = Path(path).parent
    for name, expected in digests.items():
        require_file(folder / name)
        require(folder / name, "SHA-256", file_digests([folder / name])[name], expected, stage)
