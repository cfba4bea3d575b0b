import argparse
import json

import pytest

from pellucid.cli.chat_arguments import chat_arguments
from pellucid.cli.chat_file import KeptSettings
from pellucid.cli.chat_settings import NUMBERS, ChatSettings
from pellucid.core.errors import UsageError
from pellucid.generate.sampling import Sampling
from pellucid.serve.fields import ChatFields, read_fields


def flags(*given: str) -> ChatSettings:
    parser = argparse.ArgumentParser()
    chat_arguments(parser)
    return ChatSettings.of_flags(parser.parse_args(["target", *given]))


def test_flags_without_anything_are_the_defaults() -> None:
    assert flags() == ChatSettings() == ChatSettings(None, 128, Sampling(0.8, 50), (), None)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_flag_and_a_command_of_one_name_do_the_same(name: str) -> None:
    value = "3" if NUMBERS[name] is int else "0.25"
    changed = ChatSettings().with_number(name, value)
    assert changed == flags(f"--{name}", value) != ChatSettings()
    assert dict(changed.shown())[name] == value


def test_off_is_what_changes_nothing() -> None:
    everything = flags(
        *("--top-k", "5", "--top-p", "0.5", "--min-p", "0.1", "--repetition-penalty", "1.2", "--presence-penalty", "1"),
        *("--frequency-penalty", "1"),
    )
    for name in ("top-k", "top-p", "min-p", "repetition-penalty", "presence-penalty", "frequency-penalty"):
        everything = everything.with_number(name, "off")
        assert dict(everything.shown())[name] == "off"
    assert everything.sampling == Sampling(0.8)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", "hot", "/temperature hot: must be a number"),
        ("temperature", "off", "cannot be without"),
        ("temperature", "nan", "temperature is nan"),
        ("top-k", "1.5", "must be a whole number or off"),
        ("top-k", "0", "top_k is 0"),
        ("top-p", "2", "top_p is 2.0"),
        ("new-tokens", "0", "--new-tokens 0"),
        ("seed", str(2**70), "--seed"),
    ],
)
def test_values_outside_their_range_are_named_with_what_may_be(name: str, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ChatSettings().with_number(name, value)


def test_stop_texts_have_ends_of_lines() -> None:
    assert flags("--stop", r"\n\n", "--stop", "END").stop == ("\n\n", "END")
    assert ChatSettings().with_stop(r"a\tb").stop == ("a\tb",) and flags("--stop", "x").with_stop("").stop == ()
    with pytest.raises(UsageError, match="--stop"):
        flags("--stop", "")


def test_seeds_follow_each_other_from_the_first() -> None:
    assert [ChatSettings().seed_of(number) for number in range(3)] == [1, 2, 3]
    assert flags("--seed", "7").seed_of(2) == 9
    assert flags("--seed", str(2**63 - 1)).seed_of(1) == 0


def test_what_is_kept_comes_back_and_the_server_takes_it_as_the_page_sends_it() -> None:
    settings = flags(
        *("--system", "Be brief.", "--temperature", "0.5", "--top-k", "7", "--top-p", "0.9", "--min-p", "0.1"),
        *("--repetition-penalty", "1.1", "--presence-penalty", "0.5", "--frequency-penalty", "0.25", "--stop", "END"),
        *("--seed", "5", "--new-tokens", "9"),
    )
    kept = settings.kept()
    assert ChatSettings().loaded(KeptSettings.model_validate(kept).model_dump()) == settings
    assert ChatSettings().loaded(ChatSettings().kept()) == ChatSettings()
    # The page takes `system` out, and sends the rest as it is, without what is null.
    sent = {name: value for name, value in kept.items() if name != "system" and value is not None}
    fields = read_fields(ChatFields, json.dumps({**sent, "messages": [{"role": "user", "content": "a"}]}).encode())
    assert fields.sampling(600) == settings.sampling and fields.stops == settings.stop
    assert (fields.max_tokens, fields.first_seed()) == (9, 5)


def test_one_stop_text_is_not_taken_for_its_letters() -> None:
    for kept in ({"stop": "END"}, {"stop": ["END"]}):
        assert ChatSettings().loaded(KeptSettings.model_validate(kept).model_dump()).stop == ("END",)


def test_what_the_page_keeps_has_no_top_k_and_perhaps_no_seed() -> None:
    page = {"system": "", "temperature": 0.7, "top_p": 0.9, "max_tokens": 256, "seed": None}
    found = flags("--seed", "4").loaded(KeptSettings.model_validate(page).model_dump())
    assert found == ChatSettings(None, 256, Sampling(0.7, None, 0.9), (), 4)
    assert found.kept() == page | {"seed": 4}
