"""Real texts, their signatures, and arrays on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pellucid.documents.dedup.minhash import signatures
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import NearDedupConfig

POCKET = Path(__file__).resolve().parents[3] / "corpora" / "pocket"


@pytest.fixture(scope="session")
def pocket_texts() -> list[str]:
    """A thousand texts of 100 to 1 500 words, in several languages."""
    names = (
        "world-factbook.en",
        "libreoffice-help.nl",
        "wesnoth.de",
        "debian-handbook.it",
        "gnome-help.fr",
        "foldoc.en",
        "littre.fr",
    )
    texts: list[str] = []
    for name in names:
        own = pq.read_table(POCKET / f"{name}.parquet", columns=["text"]).column("text").to_pylist()
        texts += [text for text in own if 100 <= len(text.split()) <= 1500][:200]
    return texts[:1000]


@pytest.fixture
def save_parts(tmp_path: Path) -> Callable[..., list[Path]]:
    """Write the rows of an array to several files, cut at the given places."""

    def save(rows: NDArray[np.generic], cuts: Sequence[int] = (), name: str = "part") -> list[Path]:
        files = []
        for index, part in enumerate(np.split(rows, list(cuts))):
            files.append(tmp_path / name / f"{index:05d}.npy")
            files[-1].parent.mkdir(exist_ok=True)
            np.save(files[-1], part)
        return files

    return save


@pytest.fixture(scope="session")
def sign() -> Callable[..., NDArray[np.uint32]]:
    return lambda texts, **fields: signatures(hash_words(texts), NearDedupConfig(**fields), seed=1)
