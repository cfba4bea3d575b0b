import json
import socket
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.release.needles import SHORTEST
from pellucid.release.secrets import Private, private_values, refuse_private, scan

CANARY = "cAnArY-0815-value"


def names_in(environ: dict[str, str], run: Path = Path("/nowhere/at/all")) -> set[str]:
    return {one.name for one in private_values(environ, run)}


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "DB_PASSWORD", "githubtoken", "MY_PASS", "SENTRY_DSN", "X-AUTH"]
)
def test_secrets_are_known_by_their_names(name: str) -> None:
    assert name in names_in({name: CANARY})
    assert name in names_in({name: "a" * SHORTEST})
    assert name not in names_in({name: "a" * (SHORTEST - 1)}), "too short to be told from chance"


@pytest.mark.parametrize("name", ["PATH", "LANG", "GIT_AUTHOR_NAME", "MONKEY", "KEYBOARD", "PASSAGE"])
def test_other_variables_are_none(name: str) -> None:
    assert name not in names_in({name: CANARY})


@pytest.mark.parametrize(
    "value", ["hf_abcdefghijklmnopq", "ghp_1234567890abcdef1234", "sk-proj-1234567890abcdef", "AKIA1234567890ABCDEF"]
)
def test_tokens_of_services_are_known_whatever_the_variable_is_called(value: str) -> None:
    assert "HARMLESS" in names_in({"HARMLESS": value})


def test_passwords_in_addresses_and_folders_of_this_machine_are_private() -> None:
    found = {
        one.name: one.value
        for one in private_values({"INDEX": "https://me:hunter2hunter2@host/x", "HOME": "/home/ada/"}, Path("/srv/runs/x"))
    }
    assert found["the password in INDEX"] == "hunter2hunter2"
    assert (found["HOME"], found["the run's folder"]) == ("/home/ada", "/srv/runs/x")
    assert found["Pellucid's folder"] == str(Path(__file__).parents[2])
    assert "the working folder" in found and "Pellucid's folder" in found


def test_values_are_found_with_file_and_place_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text(f"<p>{CANARY}</p>")
    (tmp_path / "notes.json").write_text(json.dumps({"home": "/home/ada/x"}))
    (tmp_path / "good.json").write_text("{}")
    sizes: list[int] = []
    private = [Private("HF_TOKEN", CANARY), Private("HOME", "/home/ada")]
    found = scan(tmp_path, ["good.json", "notes.json", "report/page.html"], private, sizes.append)
    assert [(one.name, one.file) for one in found] == [("HOME", "notes.json"), ("HF_TOKEN", "report/page.html")]
    assert sum(sizes) == sum((tmp_path / name).stat().st_size for name in ("good.json", "notes.json", "report/page.html"))
    with pytest.raises(ArtifactError) as told:
        refuse_private(found)
    assert "HF_TOKEN in report/page.html" in str(told.value) and "--public" in str(told.value)
    assert CANARY not in str(told.value) and "/home/ada" not in str(told.value)
    refuse_private([])


def test_a_name_of_a_file_is_published_too(tmp_path: Path) -> None:
    (tmp_path / f"{CANARY}.txt").write_text("nothing")
    (found,) = scan(tmp_path, [f"{CANARY}.txt"], [Private("HF_TOKEN", CANARY)], lambda size: None)
    assert found.inside == "its name"


def test_a_machine_s_name_may_be_a_word_of_a_text_and_of_nothing_else(tmp_path: Path) -> None:
    for name in ("documents/books/train/00000.parquet", "plan/plan.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("the builder built")
    files = ["documents/books/train/00000.parquet", "plan/plan.json"]
    found = scan(tmp_path, files, [Private("the machine's name", "builder", is_word=True)], lambda size: None)
    assert [one.file for one in found] == ["plan/plan.json"]


def test_the_machine_s_name_is_looked_for_when_it_is_long_enough() -> None:
    assert ("the machine's name" in names_in({})) == (len(socket.gethostname()) >= 7)


def test_a_short_path_may_be_a_word_of_a_text_and_a_long_one_may_not() -> None:
    found = {one.name: one.is_word for one in private_values({"HOME": "/home/user"}, Path("/srv/data/runs/pocket"))}
    assert found["HOME"] and not found["the run's folder"]
