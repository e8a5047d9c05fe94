"""Comparing files that are declared real with the digests under which their data set is published."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.config.schema import Source
from relu2snn.errors import UserError, reading
from relu2snn.formats.idx import encode_idx

AS_PUBLISHED = "as published"

_WAY_OUT = "fetch it again, or set dataset.source.check=none to use it as it is"


def digests_of(source: Source) -> Mapping[str, str]:
    """The digests, by name, that the files of `source` must have; none where `why_not` says why."""
    return {} if why_not(source) else source.published.digests


def why_not(source: Source) -> str:
    """Why nothing of `source` is compared with what is published; empty if something is."""
    published = source.published
    if source.kind != "real":
        return f"the kind of the data is {source.kind}"
    if source.check == "none":
        return "dataset.source.check=none"
    if not published.digests:
        return "no digests are known"
    if (source.train_images, source.test_images) != (published.train_images, published.test_images):
        return "the numbers of images are not those that are published"
    return ""


def require_digest(where: str, content: bytes, expected: str) -> None:
    """Raise UserError unless `content` has the digest `expected`, an MD5 or a SHA-256 as its length says."""
    _require(where, hashlib.new(_algorithm(expected), content, usedforsecurity=False).hexdigest(), expected)


def require_file(path: Path, digests: Mapping[str, str]) -> bool:
    """Whether there is a digest for a file of this name; raises UserError when the file has another."""
    expected = digests.get(path.name)
    if expected is None:
        return False
    with reading(path, "file"), path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(_algorithm(expected), usedforsecurity=False))
    _require(str(path), found.hexdigest(), expected)
    return True


def compare_idx(
    arrays: Sequence[NDArray[Any]],
    names: Sequence[str],
    where: Sequence[str],
    files: Sequence[Path],
    digests: Mapping[str, str],
) -> str:
    """Compare the arrays of an idx data set; AS_PUBLISHED, or for which of them no digest is known.

    An array is as published if its idx file has the digest of the name, whatever it came in, or else if the file it
    came in, a gzip or an npz, has the digest of that file's name.

    Raises UserError for an array that is known to be another.
    """
    if len(files) == 1 and require_file(files[0], digests):
        return AS_PUBLISHED
    unknown = []
    for index, name in enumerate(names):
        if name in digests:
            image = arrays[index][..., 0] if arrays[index].ndim == 4 else arrays[index]
            require_digest(where[index], encode_idx(image.astype(np.uint8)), digests[name])
        elif len(files) != len(names) or not require_file(files[index], digests):
            unknown.append(name)
    return f"no digest is known for {', '.join(unknown)}" if unknown else AS_PUBLISHED


def _require(where: str, found: str, expected: str) -> None:
    if found != expected:
        name = _algorithm(expected).upper()
        raise UserError(f"{where}: not as published (its {name} is {found}, not {expected}); {_WAY_OUT}")


def _algorithm(digest: str) -> str:
    return "md5" if len(digest) == 32 else "sha256"
