"""What made a file, written inside the file; and jobs, which refuse files that do not belong together.

A `Stamp` names the stage, the values of the configuration that shaped the content, and the digests of the files that
it was made from. `Job` reads and writes the three kinds of files that carry one: JSON, .npz and .keras.
"""

from relu2snn.made.beside import check_files, file_digests
from relu2snn.made.job import Job, require
from relu2snn.made.json_file import load_json
from relu2snn.made.npz_file import load_npz
from relu2snn.made.stamp import Stamp
from relu2snn.made.text_file import is_stamped, load_text

__all__ = [
    "Job",
    "Stamp",
    "check_files",
    "file_digests",
    "is_stamped",
    "load_json",
    "load_npz",
    "load_text",
    "require",
]
