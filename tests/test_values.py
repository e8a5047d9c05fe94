"""Every value that a user can type: taken literally, or refused in one line before any job; a shell runs none."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from fuzz.values import fuzz_values
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from runs import ROOT, drop_images, snakemake

from relu2snn.config import compose_experiment, compose_suite, split_names, split_overrides
from relu2snn.config.schema import ByHand, Experiment, Run
from relu2snn.config.selection import select
from relu2snn.config.texts import plain_path
from relu2snn.errors import UserError
from relu2snn.stages._launcher import launch

HOSTILE = sorted((Path(__file__).parent / "hostile" / "overrides").iterdir())
FORMATS = ("idx", "cifar10", "cifar100", "places365", "pass")


def experiment(*overrides: str, name: str = "mnist_fc"):
    return compose_experiment(name, compose_suite("paper"), overrides)


def refusal(*overrides: str, name: str = "mnist_fc") -> str:
    with pytest.raises(UserError) as caught:
        # As select does, which asks whether results can be written.
        select({"experiments": name, "overrides": list(overrides)}, FORMATS)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_hostile_overrides_are_refused_in_one_line(path: Path) -> None:
    call = json.loads(path.read_bytes())
    with pytest.raises(UserError) as caught:
        select(call, FORMATS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_random_values_are_taken_or_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fuzz_values(40, seed=2) == []
    assert list(tmp_path.iterdir()) == []


PATHS = [
    "my results", "Ergebnisse ä", "日本", "it's", 'my "odd" results ä', "a,b", "a;b", "a|b", "a&b", "a>b", "a #b",
    "100 %", "a: b", "[x]", "(x)", "1.50", "true", "007", "*?!", "a=b", "../x", "/x/y", "...",
]  # fmt: skip


@pytest.mark.parametrize("text", PATHS)
def test_paths_are_taken_literally(text: str) -> None:
    config = experiment(f"outputs={text}", f"dataset.source.directory={text}", f"weights.root={text}")
    assert (config.outputs, config.dataset.source.directory, config.weights.root) == (text, text, text)


def test_one_spelling_of_a_path_is_as_good_as_another() -> None:
    for text in ("a/b", "./a/b", "a//b/", "a/./b/."):
        assert experiment(f"outputs={text}").outputs == "a/b"
    assert experiment("outputs=//a/b").outputs == "/a/b"
    assert str(experiment("phase2.zeta=-0.0").phase2.zeta) == "0.0"


def test_every_value_of_the_schema_has_a_rule() -> None:
    """Text without an alphabet, a number without a bound and a list without an end are what hurts later."""

    def check(key: str, kind: str, rules: Mapping[str, Any]) -> None:
        if kind.startswith("list["):
            assert "longest" in rules or key.startswith("model.blocks"), key
            check(key, kind[5:-1], rules["each"])
        elif kind.startswith("str"):
            assert set(rules) & {"choices", "text"}, key
        elif kind.startswith(("int", "float")) and key != "sweep.values":
            assert set(rules) & {"ge", "gt"}, key
            assert set(rules) & {"le", "lt"}, key

    def walk(schema: type, prefix: str) -> None:
        for entry in fields(schema):
            if entry.type is Run:
                # Made by the program, of what is checked.
                continue
            if isinstance(entry.type, type) and is_dataclass(entry.type):
                walk(entry.type, f"{prefix}{entry.name}.")
            else:
                kind = entry.type.__name__ if type(entry.type) is type else str(entry.type)
                check(prefix + entry.name, kind, entry.metadata)

    for group in (Experiment, ByHand):
        walk(group, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must not be empty"),
        ("out$(touch x)", r"must not hold \$"),
        ("`touch x`", "must not hold `"),
        ("{x}", "must not hold {"),
        ("a\\b", r"must not hold \\"),
        ("-x", "must not begin with '-'"),
        ("'null'", "must not be null"),
        ("./null", "must not be null"),
        ("'\":\"'", "must not begin and end with quotes"),
        ("\"'x'\"", "must not begin and end with quotes"),
        ("'x'/", "must not begin and end with quotes"),
        ("~/x", "must not begin with '~'"),
        ("' x'", "must not begin or end with a blank"),
        ("s3://bucket/x", "must be a path of this machine"),
        ("x" * 300, "too long"),
        ("ä" * 150, "too long"),
        ("x/" * 600, "too long"),
        ("a\nb", "does not print"),
        ("a\tb", "does not print"),
        ("a\x00b", "does not print"),
        ("a\x1b[31mb", "does not print"),
        ("a\udcffb", "does not print"),
        ("???", "is no value"),
    ],
)
def test_what_is_no_path_is_refused_by_key(text: str, message: str) -> None:
    line = refusal(f"outputs={text}")
    assert re.search(message, line)
    assert "outputs=" in line


def test_results_need_a_place_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for place in ("/dev/null", "/proc/x", "/", ".", "file", "file/x", "nowhere", "nowhere/x", str(tmp_path)):
        assert refusal(f"outputs={place}").startswith(f"outputs={place}: ")
    for place in ("link", "link/x", "new/er", "..", str(tmp_path / "real")):
        assert select({"experiments": "mnist_fc", "overrides": [f"outputs={place}"]}, FORMATS)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "cannot be written" in refusal("outputs=real/x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "nowhere", "real"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a b", "x$(id)", "x;y", "-x", "ä" * 60, "x" * 101, ".x", "~"])
def test_names_have_an_alphabet(name: str) -> None:
    from relu2snn.config.texts import text_problem

    assert text_problem("name", name)
    assert text_problem("label", name)


@pytest.mark.parametrize("stem", ["../x", "a/b", "", "..", ".", "-x", "x$(id)", "{x}"])
def test_a_file_of_weights_has_a_name_without_a_folder(stem: str) -> None:
    from relu2snn.config.texts import text_problem

    assert text_problem("file", stem)


def test_names_are_refused_by_key() -> None:
    assert refusal("dataset.name=..").startswith("dataset.name=..: must be")
    assert refusal("model.name=ä").startswith("model.name=ä: must be")
    assert refusal("weights.stem=../x").startswith("weights.stem=../x: must be a file's name")
    assert "weights.other_names=../x: must" in refusal("weights.other_names=[../x]")


def test_names_of_other_scripts_and_of_blanks_where_they_may_be() -> None:
    config = experiment(
        "dataset.name=Müller_2+b-c.d", "weights.stem=my weights (1)", "weights.other_names=['a b.h5',c.h5]"
    )
    assert config.dataset.name == "Müller_2+b-c.d"
    assert config.weights.stem == "my weights (1)"
    assert list(config.weights.other_names) == ["a b.h5", "c.h5"]


SENSELESS = [
    ("model.dense=[0]", "model.dense=0: must be at least 1"),
    ("model.dense=[-1]", "model.dense=-1: must be at least 1"),
    ("model.dense=[1000000000000]", "model.dense=1000000000000: must be at most"),
    ("model.dense=[1000000,1000000]", "the network would have 1,000,784,000,000 weights"),
    ("model.dense=[true]", "'True' of type 'bool'"),
    ("model.dense=[1.5]", "'1.5' of type 'float'"),
    ("model.dense=[[1]]", r"model.dense=\[1\]: must be one value"),
    ("model.dense=[{a:1}]", "model.dense="),
    ("model.dense=[]", "fc needs a hidden layer"),
    (f"model.dense=[{','.join(['1'] * 101)}]", "has 101 entries; give 0 to 100"),
    ("model.blocks=[[64]]", "fc has no blocks"),
    ("model.blocks=[64]", "model.blocks="),
    ("model=lenet5 dataset.image_shape=[4,4,1]", "image is too small for this network"),
    ("model=vgg15 model.blocks=[[1],[1],[1],[1],[1]]", r"the 2x2 max pool gets 1x1 pixels"),
    ("dataset.image_shape=[]", r"dataset.image_shape=\[\]: has 0 entries; give 3"),
    ("dataset.image_shape=[0,28,1]", "dataset.image_shape=0: must be at least 1"),
    ("dataset.image_shape=[1000000000000,28,1]", "dataset.image_shape=1000000000000: must be at most"),
    ("dataset.image_shape=[10000,10000,1000]", "values in one layer|weights or more"),
    ("dataset.classes=1000000000000", "dataset.classes=1000000000000: must be at most"),
    ("dataset.parts=1000000", "dataset.parts=1000000: must be at most"),
    (
        "dataset.parts=5000 dataset.source.test_images=100",
        "dataset.parts=5000: more than dataset.source.test_images=100",
    ),
    ("dataset.source.train_images=1000000000000", "must be at most"),
    ("dataset.source.keras_name=boston_housing", "must be one of mnist"),
    ("dataset.source.by_hand=[{}]", r"dataset.source.by_hand\[0\].path: no value"),
    ("dataset.source.by_hand=[x]", "dataset.source.by_hand="),
    ("dataset.preprocess.std=1e-320", "dataset.preprocess.std=1e-320: must be at least"),
    ("dataset.preprocess.low=-inf", "dataset.preprocess.low=-inf: must be a finite number"),
    ("dataset.preprocess.high=0", "must be less than dataset.preprocess.high=0.0"),
    ("dataset.preprocess.high=1e-300", "by 1e-06 or more"),
    ("train.epochs=1000000000000000000", "train.epochs=1000000000000000000: must be at most"),
    ("train.epochs=true", "'True' of type 'bool'"),
    ("train.seed=4294967296", "train.seed=4294967296: must be at most 4294967295"),
    ("train.seed=-1", "train.seed=-1: must be at least 0"),
    ("phase2.seed=99999999999999999999", "must be at most 4294967295"),
    ("train.batch=1000000000000000", "train.batch=1000000000000000: must be at most"),
    ("train.learning_rate=1e-320", "train.learning_rate=1e-320: must be at least"),
    ("train.learning_rate=-0.0", "train.learning_rate=0.0: must be at least"),
    ("train.learning_rate=nan", "must be a finite number"),
    ("train.decay_rate=1e-320", "train.decay_rate=1e-320: must be at least"),
    ("phase1.lower=-1e-320", "phase1.lower=-1e-320: must be"),
    ("phase1.upper=1e-320", "phase1.upper=1e-320: must be"),
    ("phase2.zeta=1e300", r"phase2.zeta=1e\+300: must be at most"),
    ("phase2.noise=inf", "must be a finite number"),
    ("figures.neurons=1000000000000", "must be at most"),
    ("tracking.uri=", "tracking.uri=: must not be empty"),
    ("tracking.uri=postgresql://me:pw@db/x", r"tracking.uri=postgresql://me:\*\*\*@db/x: holds a password or token"),
    ("tracking.uri=https://db/x?token=pw", r"tracking.uri=https://db/x\?token=\*\*\*: holds a password or token"),
    ("tracking.artifacts=s3://key:pw@bucket", r"tracking.artifacts=s3://key:\*\*\*@bucket: holds a password or token"),
    ("tracking.models=[scaled,scaled,scaled]", "has 3 entries"),
    ("name=x", "an experiment's name is its file's"),
]


@pytest.mark.parametrize(("overrides", "message"), SENSELESS, ids=[overrides[:50] for overrides, _ in SENSELESS])
def test_senseless_values_are_refused_by_key_and_value(overrides: str, message: str) -> None:
    assert re.search(message, refusal(*split_overrides(overrides)))


@pytest.mark.parametrize("values", ["[]", "[0.1,0.10]", "[0.0,-0.0]", "[1e-1,0.1]", "[inf]", "[-0.5]", "[null]"])
def test_values_of_a_sweep_differ_and_are_legal(values: str) -> None:
    with pytest.raises(UserError, match=r"sweep\.values="):
        select({"experiments": "mnist_fc", "sweep": "noise", "overrides": [f"sweep.values={values}"]}, FORMATS)


def test_values_refer_to_other_keys_and_to_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "0.25")
    assert experiment("dataset.source.directory=${outputs}/raw").dataset.source.directory == "outputs/raw"
    assert experiment("phase2.zeta=${phase1.upper}").phase2.zeta == 0.99
    for text in ("${oc.env:SECRET}", "${hydra:runtime.cwd}", "${oc.decode:'1'}", "${${outputs}}", "${", "${ outputs}"):
        assert "may only begin a reference" in refusal(f"phase2.zeta={text}")
        assert "may only begin a reference" in refusal(f"outputs={text}")
    assert "refers to no key" in refusal("outputs=${nope}")
    assert "Recursive" in refusal("outputs=${outputs}")
    assert "override 'phase2.zeta=${outputs}': " in refusal("train.epochs=2", "phase2.zeta=${outputs}")


REFUSED = [
    ("phase2.zeta=0.3 phase2.zeta=0.4", "phase2.zeta is set twice"),
    ("model=../x", "no such model; choose from allconv"),
    ("model=null", "no such model"),
    ("hydra.run.dir=x", "no such key 'hydra.run.dir'"),
    ("hydra/launcher=basic", "no such key"),
    ("suite.name=x", "no such key 'suite.name'"),
    ("dataset@x=mnist", "no such key"),
    ("~train", "not of the form"),
    ("~train=x", "without '\\+', '~'"),
    ("phase2.zeta=1]", "not a value as Hydra reads it"),
    ("phase2.zeta=" + "(" * 300, "brackets inside each other"),
    ("phase2.zeta=" + "9" * 400, "too large"),
    ("train.seed=" + "9" * 3900, "must be|too large|bits|Exceeds"),
    ("=", "not of the form key=value"),
    ("weights.file=my model.keras", r"'model.keras': .* put it in quotes, as in weights.file='my model.keras'"),
    ("outputs=it's ä", "override 'ä': .* put it in quotes, as in outputs=\"it's ä\""),
    ("outputs=\u201ca b\u201d", "put it in quotes, as in outputs='a b'"),
    ("phase2.zeta=0.3, train.epochs=2", "part overrides by blanks, not by commas"),
    ("phase2.zeta=0.3,train.epochs=2", "part overrides by blanks, not by commas"),
    ("weights.other_names=[a=b.h5]", r"put each text in quotes, as in weights.other_names=\['a=b','ä, ö'\]"),
    ("weights.other_names=[ä.h5]", "put each text in quotes"),
    ("x" * 3000 + "=1", "no such key"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED, ids=[overrides[:40] for overrides, _ in REFUSED])
def test_what_is_no_override_is_one_line(overrides: str, message: str) -> None:
    line = refusal(*overrides.split())
    assert re.search(message, line)
    assert len(line) < 600


@pytest.mark.parametrize("value", [1.5, True, 10**400, {}, {"a": 1}, [["a"]], [None], [1], float("nan"), (), b"x"])
@pytest.mark.parametrize("option", ["suite", "experiments", "sweep", "overrides"])
def test_options_of_another_type_are_refused(option: str, value: object) -> None:
    with pytest.raises(UserError, match=f"^{option}=") as caught:
        select({"suite": "quickstart", "experiments": "fmnist_fc", option: value}, FORMATS)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("option", ["suite", "experiments", "sweep"])
@pytest.mark.parametrize("value", [None, "", "\n", ",", []])
def test_an_option_that_names_nothing_does_not_mean_everything(option: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^{option}=.*names nothing"):
        select({"suite": "quickstart", "experiments": "fmnist_fc", option: value}, FORMATS)


SPLIT = [
    ("a=1  b=2\n c=3", ["a=1", "b=2", "c=3"]),
    ("outputs='my results' b=1", ["outputs=my results", "b=1"]),
    ('outputs="it\'s"', ["outputs=it's"]),
    (r"outputs='it\'s'", ["outputs=it's"]),
    ("outputs='my [odd one] results'", ["outputs=my [odd one] results"]),
    ("outputs=[a", ["outputs=[a"]),
    ("'outputs=my results' b=1", ["outputs=my results", "b=1"]),
    ("model.dense=[600, 300] b=1", ["model.dense=[600,300]", "b=1"]),
    ("weights.other_names=['a, b.h5', c d.h5]", ["weights.other_names=['a, b.h5',c d.h5]"]),
    ("train={epochs: 3, batch: 2}", ["train={epochs:3,batch:2}"]),
]


@pytest.mark.parametrize(("text", "expected"), SPLIT)
def test_overrides_are_split_without_changing_them(text: str, expected: list[str]) -> None:
    assert split_overrides(text) == expected


@pytest.mark.parametrize("text", ["a='b", 'a="b', "model.dense=[1", "model.dense=['1]", "outputs=it's"])
def test_what_is_not_closed_is_named(text: str) -> None:
    with pytest.raises(UserError, match="no closing"):
        split_overrides(text)


@pytest.mark.parametrize("text", ["outputs=it's", 'outputs=3" disk'])
def test_what_is_not_closed_says_how_to_quote_it(text: str) -> None:
    with pytest.raises(UserError, match="no closing") as caught:
        split_overrides(text)
    example = str(caught.value).rpartition(", as in ")[2]
    assert split_overrides(example) == ["outputs=it's" if "'s" in text else 'outputs=a 3" disk']


TEXTS = st.text(st.sampled_from("ab=,'\"# äñ日()[];:&|<>*?!@%+~^./-"), min_size=1, max_size=12)


@settings(max_examples=75, deadline=None)
@given(path=TEXTS, name=TEXTS)
def test_hydra_reads_what_is_typed_as_it_was_meant(path: str, name: str) -> None:
    """Texts with signs of Hydra, the shell and other scripts, alone and in a list, as the table shows them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from relu2snn.config.changes import override_text
    from relu2snn.config.overrides import hydra_overrides
    from relu2snn.config.texts import text_problem

    assume(text_problem("path", path) is None and text_problem("file", name) is None)
    assume("???" not in path + name)
    values = {"weights.root": path, "weights.other_names": [name, "a, b.h5"]}
    words = split_overrides(" ".join(f"{key}={override_text(value)}" for key, value in values.items()))
    read = [OverridesParser.create().parse_override(each).value() for each in hydra_overrides(words, {})]
    assert read == list(values.values())


@settings(max_examples=6, deadline=None)
@given(path=TEXTS, name=TEXTS)
def test_what_a_run_says_to_type_gives_its_values_again(path: str, name: str) -> None:
    from relu2snn.config.changes import override_text
    from relu2snn.config.texts import text_problem

    assume(text_problem("path", path) is None and text_problem("file", name) is None)
    assume("???" not in path + name)
    values = {"weights.root": path, "weights.other_names": [name, "a, b.h5"]}
    typed = " ".join(f"{key}={override_text(value)}" for key, value in values.items())
    config = experiment(*split_overrides(typed))
    assert config.weights.root == plain_path(path)
    assert list(config.weights.other_names) == values["weights.other_names"]
    again = experiment(*split_overrides(" ".join(config.run.overrides)))
    assert again.weights == config.weights
    assert again.run == config.run


def test_names_are_taken_once() -> None:
    assert split_names("a,b a") == ["a", "b"]


def test_options_are_read_as_they_were_typed() -> None:
    """Snakemake takes quotes off the ends, and cuts the rest at a blank and "#"."""
    from relu2snn.config.options import read_options

    typed = [
        "suite='quickstart'",
        "experiments=[fmnist_fc, mnist_fc]",
        "overrides=outputs='my #1 results' train.epochs=3",
    ]
    parsed = {"suite": "quickstart", "experiments": ["fmnist_fc", "mnist_fc"], "overrides": "outputs='my"}
    options = read_options(parsed, typed)
    assert (options.suite, options.experiments) == ("quickstart", ["fmnist_fc", "mnist_fc"])
    assert options.overrides == ["outputs=my #1 results", "train.epochs=3"]
    with pytest.raises(UserError, match="overrides is given twice"):
        read_options({"overrides": "b=1"}, ["overrides=a=1", "overrides=b=1"])


def test_every_placeholder_of_a_shell_line_is_quoted() -> None:
    lines = []
    for file in [ROOT / "Snakefile", *sorted((ROOT / "pipeline").rglob("*.smk"))]:
        for block in re.findall(r"^    shell:\n((?:        .*\n)+)", file.read_text(), re.M):
            lines.append(block)
            assert not re.findall(r"\{(?![^{}]*:q\})[^{}]*\}", block), f"{file.name}: {block}"
    assert len(lines) > 20


@pytest.mark.workflow
def test_a_run_in_a_folder_of_blanks_quotes_and_umlauts(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / 'fm "nist" ä')
    sizes = "dataset.source.train_images=300 dataset.source.test_images=60"
    overrides = f"""outputs='my "odd" #1 results; ä' dataset.source.directory='data/raw/fm "nist" ä' {sizes}"""
    before = sorted(path.name for path in tmp_path.iterdir())
    run = snakemake(tmp_path, "--until", "data", experiments="fmnist_fc", overrides=overrides)
    assert run.returncode == 0, run.stderr
    outputs = tmp_path / 'my "odd" #1 results; ä'
    assert len(list(outputs.rglob("test_images.npy"))) == 1
    assert any(file.read_text() for file in outputs.rglob("*.log"))
    assert sorted({path.name for path in tmp_path.iterdir()} - set(before)) == [".snakemake", outputs.name]


CALLS = [
    ({"overrides": "outputs='out$(touch stray)'"}, "outputs=out$(touch stray): must not hold $"),
    ({"overrides": "dataset.name='x$(touch stray)'"}, "dataset.name=x$(touch stray): must be"),
    ({"overrides": "outputs=out;touch stray"}, "override 'stray': not of the form key=value"),
    ({"overrides": "outputs=/dev/null"}, "outputs=/dev/null: not a place"),
    ({"overrides": "outputs=${oc.env:HOME}"}, "may only begin a reference"),
    ({"experiments": "1.5", "overrides": ""}, "experiment=1.5: no such experiment"),
    ({"suite": "", "overrides": ""}, "suite=: names nothing"),
    ({"suite": "\udcff", "overrides": ""}, "suite=\\udcff: no such suite"),
]


@pytest.mark.workflow
@pytest.mark.parametrize(("options", "message"), CALLS, ids=[message for _, message in CALLS])
def test_a_call_that_is_refused_runs_and_leaves_nothing(tmp_path: Path, options: dict, message: str) -> None:
    run = snakemake(tmp_path, **{"experiments": "mnist_fc", **options})
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert message in line
    assert [path for path in tmp_path.iterdir() if path.name != ".snakemake"] == []


def by_hand(capfd, stage: str, *words: str) -> str:
    """What a stage says when it is called by hand with these words, which must end it."""
    assert launch([stage, *words]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"relu2snn {stage}: ")
    assert line.isprintable()
    return line


BY_HAND = [
    ("data", (), "no experiment given"),
    ("data", ("experiment=",), "experiment=: no such experiment"),
    ("data", ("experiment=fmnist_fc", "experiment=mnist_fc"), "experiment is set twice"),
    ("data", ("experiment=fmnist_fc", "suite=\n"), "no such suite"),
    ("data", ("experiment=fmnist_fc", "outputs=${oc.env:HOME}"), "may only begin a reference"),
    ("data", ("experiment=fmnist_fc", "outputs=/dev/null"), "not a place"),
    ("data", ("experiment=fmnist_fc", "outputs=a\udcff"), "does not print"),
    ("data", ("experiment=fmnist_fc", "-x=1"), "unrecognized arguments: -x=1"),
    ("data", ("experiment=fmnist_fc", "--part", "1"), "--part 1: this stage has no parts"),
    ("phase2", ("experiment=fmnist_fc", "--part", "-1"), "-1 is not a whole number from 0"),
    ("phase2", ("experiment=fmnist_fc", "--part", "abc"), "abc is not a whole number"),
    ("phase2", ("experiment=fmnist_fc", "--part", "1e9"), "1e9 is not a whole number"),
    ("phase2", ("experiment=fmnist_fc", "--part", "9" * 5000), "is not a whole number"),
    ("phase2", ("experiment=fmnist_fc", "--part", "1"), "--part 1: must be from 0 to 0"),
    ("data", ("--slice", ""), "--slice"),
    ("data", ("--slice", "{"), "--slice {"),
    ("data", ("--slice", "[]"), "not keys and values"),
    ("data", ("--slice", "[" * 100_000), "recursion"),
    ("data", ("--slice", "{}"), "no value of suite.name, which the stage data reads"),
    ("data", ("--slice", '{"nope": 1}'), "Key 'nope' not in"),
    ("data", ("--slice", '{"outputs": {}}'), "--slice"),
    ("data", ("--slice", "{}", "experiment=fmnist_fc"), "give one of them"),
]


@pytest.mark.parametrize(("stage", "words", "message"), BY_HAND, ids=[message for *_, message in BY_HAND])
def test_a_stage_by_hand_refuses_in_one_line(capfd, stage: str, words: tuple, message: str) -> None:
    assert message in by_hand(capfd, stage, *words)


def test_a_slice_is_checked_like_any_configuration(capfd) -> None:
    from relu2snn.config import stage_slice

    values = stage_slice(experiment(), "data")
    for key, value in (("outputs", "{x}"), ("outputs", "a\nb")):
        assert "outputs=" in by_hand(capfd, "data", "--slice", json.dumps({**values, key: value}))
    del values["dataset"]["source"]["seed"], values["dataset"]["source"]["format"]
    assert "no value of dataset.source" in by_hand(capfd, "data", "--slice", json.dumps(values))
