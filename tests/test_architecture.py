"""The house keeps its shape: imports go one way, pins agree, nothing is written down that must not be."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "relu2snn"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {
    "arguments",
    "clock",
    "errors",
    "extras",
    "files",
    "locks",
    "made",
    "processes",
    "progress",
    "secrecy",
    "shipped",
    "slurm",
}
# What each part may import of the package, beside itself and (but for the library) BASE.
ALLOWED = {
    "stages": {
        "config",
        "containers",
        "datasets",
        "networks",
        "mapping",
        "spiking",
        "tracking",
        "figures",
        "presentation",
        "software",
        "saved",
    },
    "presentation": {"config", "datasets", "networks", "mapping", "spiking", "tracking", "figures", "energy"},
    "apptainer": set(),
    "containers": {"apptainer"},
    "tracking": {"config"},
    "serving": {"mapping", "saved", "spiking"},
    "ui": {"config", "tracking"},
    "exported": {"graph", "spiking"},
    "figures": {"spiking"},
    "runs": {"config", "presentation"},
    "plan": {"config", "datasets", "networks"},
    "software": set(),
    "config": set(),
    "datasets": {"config.schema", "formats"},
    "command": {"loading", "formats", "graph", "mapping", "saved", "spiking"},
    "formats": set(),
    "networks": {"config.families", "config.schema", "config.sizes", "datasets", "mapping", "saved", "spiking"},
    "saved": set(),
    "mapping": {"graph", "spiking"},
    "spiking": {"energy", "graph"},
    "energy": set(),
    "graph": set(),
    "arguments": set(),
    "clock": set(),
    "errors": set(),
    "extras": set(),
    "files": set(),
    "locks": set(),
    "processes": set(),
    "made": {"saved"},
    "progress": set(),
    "secrecy": set(),
    "shipped": set(),
    "slurm": set(),
    "loading": set(),
    "__init__": {"energy", "exported", "loading", "mapping", "spiking"},
}
# The only parts that may import a library; the mapping and the spiking layers know none of them.
ONLY = {
    "mlflow": {"tracking", "ui"},
    "matplotlib": {"figures"},
    "jinja2": {"presentation"},
    "nir": {"exported"},
    "hydra": {"config"},
    "omegaconf": {"config", "stages", "tracking"},
    "snakemake": set(),
    "typer": {"command"},
    "onnx": {"mapping"},
}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path: Path) -> None:
    own = part(path)
    base = set() if own in ("graph", "mapping", "spiking") else BASE
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert own in ONLY.get(top, {own}), f"{own} must not import {name}"
        if top != "relu2snn" or rest in ("", "__version__"):
            continue
        allowed = {own, *base, *ALLOWED[own]}
        good = any(rest == each or rest.startswith(f"{each}.") for each in allowed)
        # `from relu2snn.config.schema import X` also lists its package.
        assert good, f"{path.relative_to(PACKAGE)}: {own} must not import {name}"


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


LIBRARY = [path for path in FILES if part(path) in ("graph", "mapping", "spiking")]
# Of Keras only what any layer or model is made with: not the kinds that a user's network has.
ANY_LAYER = {"Layer", "Input", "InputLayer"}


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_readers_know_the_kinds_of_layers_that_networks_have(path: Path) -> None:
    """Everything else knows segments: a new kind of layer is a few lines of a reader."""
    import keras

    kinds = {name for name in dir(keras.layers) if name[0].isupper()} - ANY_LAYER
    found = names_in(ast.parse(path.read_text())) & kinds
    if path.name.startswith(("read_", "keras_", "onnx_", "original", "unsupported")):
        return
    assert not found, f"{path.relative_to(PACKAGE)} names {sorted(found)}"


def test_the_graph_and_the_simulation_know_nothing_of_keras() -> None:
    """Networks are plain data; Keras is an adapter of theirs, in modules of its own."""
    adapters = {"layers.py", "mapped.py", "model.py", "network.py"}
    users = {path.name for path in LIBRARY if part(path) in ("graph", "spiking") and "keras" in imports(path)}
    assert users == adapters


SHORT = [*LIBRARY, *(path for path in FILES if part(path) in ("command", "exported", "formats", "saved"))]


@pytest.mark.parametrize("path", SHORT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_of_the_library_can_be_read_at_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < 300
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef):
            continue
        given = node.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        assert count <= 12, f"{node.name} takes {count} arguments"


# What an installation without extras can do: `import relu2snn` and its rooms that know nothing of the workflow.
CORE = {"__init__", "loading", "graph", "mapping", "spiking", "export", "command"}


def required(texts: list[str]) -> set[str]:
    """The packages that requirements name; each of the library's is imported by its own name."""
    return {re.split(r"[^\w-]", text)[0] for text in texts}


def at_start(path: Path) -> set[str]:
    """What importing a module imports: what functions import later is left out."""
    names = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not checking and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return names


def files_of(name: str) -> set[Path]:
    """The modules of the package that importing the dotted `name` runs."""
    words = name.split(".")
    places = [PACKAGE.parent.joinpath(*words[:count]) for count in range(1, len(words) + 1)]
    return {file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()}


def test_the_library_needs_the_packages_that_it_is_installed_with_and_no_others() -> None:
    """Whatever its rooms import when they are imported, theirs or of parts that they use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = required(project["dependencies"])
    reached: set[Path] = set()
    waiting = {path for path in FILES if part(path) in CORE}
    outside: dict[str, set[Path]] = {}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        for name in at_start(path):
            waiting |= files_of(name) - reached
            outside.setdefault(name.partition(".")[0], set()).add(path.relative_to(PACKAGE))
    others = {name: paths for name, paths in outside.items() if name not in sys.stdlib_module_names}
    assert set(others) <= {"relu2snn", *core}, {name: others[name] for name in set(others) - {"relu2snn", *core}}
    assert {"keras", "tensorflow", "numba", "numpy"} <= set(others)


def test_what_the_library_imports_later_is_one_of_its_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    known = required(project["dependencies"] + extras["onnx"] + extras["nir"] + extras["figures"])
    for path in (path for path in FILES if part(path) in CORE):
        others = {name.partition(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert others <= {"relu2snn", *known}, path.relative_to(PACKAGE)


def test_every_part_of_the_package_has_its_arrows() -> None:
    assert {part(path) for path in FILES} <= set(ALLOWED)


def test_the_workflow_reads_configs_and_data_sources_without_tensorflow() -> None:
    code = (
        "import sys, relu2snn.config.workflow, relu2snn.datasets, relu2snn.networks.weights;"
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras', 'mlflow') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stage_starts_without_the_plots_of_keras_and_can_still_draw() -> None:
    code = """
import sys, relu2snn.stages._tensorflow, relu2snn.stages.phase1
assert not {"sklearn", "matplotlib", "cv2", "pandas", "pyarrow", "PIL", "IPython"} & set(sys.modules)
import matplotlib.figure, PIL.Image, cv2
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_public_name_means_the_same_whichever_modules_are_loaded() -> None:
    """Loading a module of a function's name puts the module in the function's place."""
    modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in FILES]
    code = f"""
import importlib, types
for name in {[name for name in modules if name.split(".")[1] in ("graph", "mapping", "spiking")]!r}:
    importlib.import_module(name)
for package in ("relu2snn", "relu2snn.mapping", "relu2snn.spiking"):
    there = importlib.import_module(package)
    for name in there.__all__:
        assert not isinstance(getattr(there, name), types.ModuleType), f"{{package}}.{{name}} is a module"
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def pins(path: Path, pattern: str) -> dict[str, str]:
    return {name.lower(): version for name, version in re.findall(pattern, path.read_text(), re.M)}


def test_conda_and_pip_users_get_the_same_versions() -> None:
    locked = pins(ROOT / "requirements" / "runtime.txt", r"^([\w.-]+)==([^\s;\\]+)")
    conda = pins(ROOT / "environment.yml", r"^\s+- ([\w.-]+)==([^\s;]+)")
    assert conda == locked


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("runtime", ("workflow", "onnx", "nir")),
        ("cluster", ("workflow", "onnx", "nir", "cluster")),
        ("kubernetes", ("workflow", "onnx", "nir", "cluster", "kubernetes")),
        ("dev", ("workflow", "onnx", "nir", "cluster", "kubernetes", "dev")),
    ],
)
def test_locks_pin_what_the_project_requires(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = pins(ROOT / "requirements" / f"{lock}.txt", r"^([\w.-]+)==([^\s;\\]+)")
    named = [*project["dependencies"], *(text for name in extras for text in project["optional-dependencies"][name])]
    for text in named:
        each = Requirement(text)
        if each.name != "relu2snn":
            assert each.name.lower() in found, text
            assert each.specifier.contains(found[each.name.lower()]), text


def test_tracked_files_name_no_registry_and_no_folder_of_a_machine() -> None:
    """In bytes, so that it makes no difference what is text and what is binary."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    files = [name.decode() for name in listed.split(b"\0") if name]
    assert "tests/test_architecture.py" in files
    words = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "deb.debian" + ".org",
        "/home" + "/",
        "/work" + "/",
        "/tmp" + "/",
    ]
    for name in files:
        content = (ROOT / name).read_bytes()
        assert not [word for word in words if word.encode() in content], name


def test_temporary_names_are_made_at_one_place_which_sweeps_them() -> None:
    for path in FILES:
        text = path.read_text()
        if path.name != "files.py":
            assert "mkdtemp" not in text, path
            assert "mkstemp" not in text, path
            assert ".partial-" not in text, path


def test_every_mutant_still_stands_in_the_source() -> None:
    """One whose text has changed would be found out by `make mutants` alone, which takes long."""
    known = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"]
    gone = [each["name"] for each in known if (PACKAGE / each["file"]).read_text().count(each["old"]) != 1]
    assert len(known) > 70
    assert not gone


def test_the_files_of_make_check_are_there() -> None:
    named = (ROOT / "tests" / "quick.txt").read_text().split()
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).is_file()] == []
