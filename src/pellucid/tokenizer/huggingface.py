"""The same tokenizer in Hugging Face's `tokenizer.json`, giving equal ids for text.

One difference is theirs by design: a special token's name inside raw text becomes its id there (unless it is loaded with
`split_special_tokens=True`), because chat templates are written as text. `Tokenizer.encode` never does that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

__all__ = ["BYTE_LEVEL", "byte_alphabet", "byte_level_json", "merges", "tokenizer_config_json", "tokenizer_json"]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
"""The step, of splitting and of decoding, that spells bytes as printable characters."""


def byte_alphabet() -> dict[int, str]:
    """Return the printable character that stands for each byte in byte-level vocabularies (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Return every pair of tokens that joins to a token, in the order in which they must be tried.

    tiktoken joins whichever neighbours make the token of lowest rank, however that token first came about; so all its splits
    into two tokens are listed, not only the one of training.
    """
    pairs = []
    for token, rank in ranks.items():
        splits = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        pairs += [(rank, ranks[left], ranks[right], left, right) for left, right in splits if left in ranks and right in ranks]
    return [(left, right) for *_, left, right in sorted(pairs)]


def tokenizer_json(ranks: dict[bytes, int], special: dict[str, int], pattern: str) -> bytes:
    """Return the bytes of `tokenizer.json`, which `tokenizers` and `transformers` read."""
    letters = byte_alphabet()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    vocab = {spelled[token]: rank for token, rank in sorted(ranks.items(), key=lambda item: item[1])}
    # `tokenizers` numbers special tokens from the end of the vocabulary, whatever id is written, so an unused id (100256 of
    # Arcade100k) needs an entry. No text gives this one: byte-level spelling has no plain space.
    vocab |= {f"<|unused {id_}|>": id_ for id_ in range(len(ranks), min(special.values()))}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    spelled_merges = [[spelled[left], spelled[right]] for left, right in merges(ranks)]
    added = [(id_, name, True) for name, id_ in special.items()]
    # tiktoken looks a whole piece up before it merges anything.
    return byte_level_json(vocab, spelled_merges, added, [split, BYTE_LEVEL], whole_first=True)


def byte_level_json(
    vocab: Mapping[str, int],
    spelled_merges: Sequence[Sequence[str]],
    added: Iterable[tuple[int, str, bool]],
    pre_tokenizers: Sequence[Mapping[str, Any]],
    *,
    whole_first: bool,
) -> bytes:
    """Return the bytes of a `tokenizer.json` with a byte-level BPE: ids by spelling, and merges in their order.

    `added` are id, content, and whether it is special, of the added tokens; `pre_tokenizers` the steps before merging, in order.
    `whole_first`: a piece that is a token is taken whole before anything is merged.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return orjson.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": id_, "content": name, **flags, "special": special} for id_, name, special in added],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers},
            "post_processor": None,
            "decoder": BYTE_LEVEL,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": whole_first,
                "vocab": vocab,
                "merges": spelled_merges,
            },
        }
    )


def tokenizer_config_json(special: dict[str, int], eos: str) -> dict[str, Any]:
    """Return `tokenizer_config.json`: the end of text also begins and pads (as in Stable LM 2), and nothing is added by itself."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": eos,
        "eos_token": eos,
        "pad_token": eos,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [name for name in special if name != eos],
    }
