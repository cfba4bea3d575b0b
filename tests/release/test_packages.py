from importlib import metadata
from pathlib import Path

import pytest

from pellucid.recipe.load import load_recipe
from pellucid.release.packages import OWN, Closure, closure_of, extras_used, lock_text

SMOKE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


@pytest.fixture(scope="module")
def base() -> Closure:
    return closure_of({}, [])


def test_the_closure_holds_what_needs_need_in_turn(base: Closure) -> None:
    assert {"torch", "numpy", "pydantic", "pydantic-core", "jinja2", "markupsafe", OWN} <= base.packages.keys()
    assert "pytest" not in base.packages and "transformers" not in base.packages
    for package in base.packages.values():
        assert set(package.needs) <= base.packages.keys()
        assert package.version == metadata.version(package.name)
    assert base.differences == []


def test_an_extra_brings_its_packages_with_it(base: Closure) -> None:
    more = closure_of({}, ["report"])
    assert "matplotlib" in more.packages.keys() - base.packages.keys()
    assert "matplotlib" in more.packages[OWN].needs


def test_versions_are_those_that_the_run_recorded() -> None:
    found = closure_of({"numpy": ["1.0.0", "1.0.1"], "left_pad": ["3.2.1"]}, [])
    assert found.packages["numpy"].version == "1.0.1" and found.packages["numpy"].record is None
    assert found.packages["left-pad"].version == "3.2.1"
    assert found.differences == [
        {"package": "left-pad", "recorded": "3.2.1", "installed": "none"},
        {"package": "numpy", "recorded": "1.0.0, 1.0.1", "installed": metadata.version("numpy")},
    ]


def test_pip_reads_every_line_of_the_lock_and_there_is_no_place_in_it(base: Closure) -> None:
    requirements = pytest.importorskip("packaging.requirements")
    text = lock_text(base, "3.11.7")
    named = {}
    for line in text.splitlines():
        if not line.startswith(("#", "--extra-index-url ")):
            need = requirements.Requirement(line.partition("  #")[0])
            named[need.name] = str(need.specifier)
            assert "/" not in line and "@" not in line
    assert named == {package.name: f"=={package.version}" for package in base.others}
    assert lock_text(closure_of({}, []), "3.11.7") == text


def test_the_record_of_a_package_is_that_of_its_files(base: Closure) -> None:
    records = [package.record for package in base.others]
    assert all(record and len(record) == 64 for record in records) and len(set(records)) == len(records)


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        ((), "report"),
        ((), "gguf"),
        (("export.formats=[hf,mlx]",), "mlx"),
        (("export.formats=[hf,torchao]",), "quant"),
        (("tokenizer.kind=huggingface", "tokenizer.path=x"), "huggingface"),
        (("documents.clean=[{step: unicode}]",), "clean"),
    ],
)
def test_extras_follow_from_the_recipe(settings: tuple[str, ...], extra: str) -> None:
    assert extra in extras_used(load_recipe(SMOKE, settings).recipe)


def test_licences_are_those_that_packages_state(base: Closure) -> None:
    assert base.packages[OWN].licence == "Apache-2.0"
    assert base.packages["safetensors"].licence == "Apache-2.0"


@pytest.mark.parametrize(("version", "build"), [("2.13.0+cpu", "cpu"), ("2.13.0+cu126", "cu126"), ("2.13.0+rocm6.4", "rocm6.4")])
def test_pip_s_own_parser_takes_the_lock_with_the_index_that_has_the_build(version: str, build: str, tmp_path: Path) -> None:
    files, sessions = pytest.importorskip("pip._internal.req.req_file"), pytest.importorskip("pip._internal.network.session")
    finders = pytest.importorskip("pip._internal.index.package_finder")
    (tmp_path / "packages.lock").write_text(lock_text(closure_of({"torch": [version], "numpy": ["1.0.0"]}, []), "3.11.7"))
    session = sessions.PipSession()
    finder = finders.PackageFinder.create(
        pytest.importorskip("pip._internal.index.collector").LinkCollector(
            session, pytest.importorskip("pip._internal.models.search_scope").SearchScope.create([], [], no_index=False)
        ),
        pytest.importorskip("pip._internal.models.selection_prefs").SelectionPreferences(allow_yanked=False),
    )
    found = [one.requirement for one in files.parse_requirements(str(tmp_path / "packages.lock"), session, finder)]
    assert f"torch=={version}" in found and "numpy==1.0.0" in found
    assert finder.index_urls == [f"https://download.pytorch.org/whl/{build}"]


def test_without_a_build_of_torch_no_other_index_is_asked() -> None:
    assert "index-url" not in lock_text(closure_of({"torch": ["2.13.0"], "numpy": ["1.0.0+odd"]}, []), "3.11.7")
