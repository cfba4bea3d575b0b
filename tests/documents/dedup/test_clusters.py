import functools
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.core.processes import run_tasks
from pellucid.documents.dedup import pairs
from pellucid.documents.dedup.clusters import find_clusters
from pellucid.documents.dedup.minhash import least_equal
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import NearDedupConfig

Save = Callable[..., list[Path]]
Sign = Callable[..., NDArray[np.uint32]]
CONFIG = NearDedupConfig()


def shingle_set(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = hash_words([text])
    cut = [text[begin:end].lower() for begin, end in zip(words.begin_W, words.end_W, strict=True)]
    return {tuple(cut[place : place + n]) for place in range(max(1, len(cut) - n + 1))} if cut else set()


def jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def altered(text: str, rate: float, rng: random.Random) -> str:
    """Replace words at random with words that the text does not have."""
    return " ".join(f"neu{rng.getrandbits(40):x}" if rng.random() < rate else word for word in text.split())


def clusters_of(files: Sequence[Path], work: Path, config: NearDedupConfig = CONFIG, **fields: Any) -> list[int]:
    found = find_clusters(files, config, work, **fields)
    return np.load(found).tolist()


@pytest.fixture(scope="module")
def planted(pocket_texts: list[str]) -> list[str]:
    """Each text and three copies with more and more words replaced, in an order that has nothing to do with it."""
    rng = random.Random(0)
    texts = [text for text in pocket_texts[:400] for text in (text, *(altered(text, rate, rng) for rate in (0.004, 0.01, 0.02)))]
    rng.shuffle(texts)
    return texts


def test_planted_copies_are_found_and_hardly_anything_else(
    planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path
) -> None:
    found = clusters_of(save_parts(sign(planted), [100, 100, 900]), tmp_path / "work")
    sets = [shingle_set(text) for text in planted]
    with_shingle: dict[tuple[str, ...], list[int]] = {}
    for row, shingles in enumerate(sets):
        for shingle in shingles:
            with_shingle.setdefault(shingle, []).append(row)
    shared = Counter(pair for rows in with_shingle.values() if len(rows) < 50 for pair in combinations(rows, 2))
    true = {pair: count / (len(sets[pair[0]]) + len(sets[pair[1]]) - count) for pair, count in shared.items()}
    for least, recall in ((0.9, 0.99), (0.8, 0.98)):
        similar = [pair for pair, similarity in true.items() if similarity >= least]
        assert len(similar) > 400
        assert sum(found[a] == found[b] for a, b in similar) >= recall * len(similar)
    members: dict[int, list[int]] = {}
    for row, cluster in enumerate(found):
        members.setdefault(cluster, []).append(row)
    reported = [pair for rows in members.values() for pair in combinations(rows, 2)]
    assert sum(jaccard(sets[a], sets[b]) >= 0.5 for a, b in reported) >= 0.995 * len(reported)


def plain_clusters(minima: NDArray[np.uint32], config: NearDedupConfig) -> list[int]:
    """Compare all pairs that agree in a band, and unite."""
    names = list(range(len(minima)))
    bands = minima[:, : config.bands * config.band_minima].reshape(len(minima), config.bands, -1)
    for a, b in combinations(range(len(minima)), 2):
        near = (minima[a] == minima[b]).sum() >= least_equal(config) and (bands[a] == bands[b]).all(axis=1).any()
        if near and names[a] != names[b] and (minima[a] != 2**32 - 1).any():
            low, high = sorted((names[a], names[b]))
            names = [low if name == high else name for name in names]
    return names


@pytest.mark.parametrize("config", [CONFIG, NearDedupConfig(permutations=64, bands=32, min_jaccard=0.3)])
def test_clusters_are_those_of_comparing_all_pairs(
    planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path, config: NearDedupConfig
) -> None:
    texts = [*planted[:120], "", "...", "yes", "Yes!", ""]
    minima = sign(texts, **config.model_dump())
    found = clusters_of(save_parts(minima, [0, 10, 90]), tmp_path / "work", config)
    assert found == plain_clusters(minima, config)
    assert found[-5:] == [120, 121, 122, 122, 124]


def test_neither_the_budget_nor_the_processes_nor_the_files_change_the_clusters(
    planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path
) -> None:
    config = NearDedupConfig(permutations=64, bands=8)
    minima = sign(planted[:600], **config.model_dump())
    # A boilerplate in hundreds of documents, so that one key is larger than a small budget's buckets.
    minima = np.concatenate((minima, np.repeat(minima[:1], 600, axis=0), minima[:50]))
    minima[700:800, :50] += 1
    once, several = save_parts(minima, name="once"), save_parts(minima, [500, 500, 900], name="several")
    wanted = clusters_of(once, tmp_path / "a", config)
    assert len(set(wanted)) < 500
    assert clusters_of(several, tmp_path / "b", config, budget_bytes=100_000) == wanted
    assert clusters_of(once, tmp_path / "c", config, budget_bytes=60_000) == wanted
    assert clusters_of(several, tmp_path / "d", config, run=functools.partial(run_tasks, workers=2)) == wanted
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["clusters.npy", "plan.json"]


def test_the_order_of_partitions_only_renames_the_clusters(
    planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path
) -> None:
    minima = sign(planted)
    parts = save_parts(minima, [300, 1000])
    forth = np.array(clusters_of(parts, tmp_path / "forth"))
    back = np.array(clusters_of(parts[::-1], tmp_path / "back"))
    rows = np.concatenate((np.arange(1000, 1600), np.arange(300, 1000), np.arange(300)))
    assert {frozenset(rows[back == one].tolist()) for one in set(back.tolist())} == {
        frozenset(np.flatnonzero(forth == one).tolist()) for one in set(forth.tolist())
    }


class KilledError(Exception):
    pass


def stop_after(count: int) -> Callable[..., Any]:
    left = [count]

    def run(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Any:
        for task in tasks:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            yield function(task)

    return run


def test_work_that_was_cut_off_goes_on_and_ends_with_the_same_bytes(
    planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path
) -> None:
    files = save_parts(sign(planted), [300, 1000])
    whole = hashlib.sha256(find_clusters(files, CONFIG, tmp_path / "whole").read_bytes()).digest()
    work = tmp_path / "work"
    for count in (0, 1, 2, 5, 5):
        with pytest.raises(KilledError):
            find_clusters(files, CONFIG, work, run=stop_after(count))
    assert len(list(work.glob("rows-*.npy"))) == 3 and len(list(work.glob("pairs-*.bin"))) == 10
    (work / "rows-000001.npy").unlink()
    (work / "pairs-0003-00000.bin").unlink()
    (work / ".pairs-0003-00000.bin.1.part").write_bytes(b"half")
    found = find_clusters(files, CONFIG, work, run=stop_after(1 + 16))
    assert hashlib.sha256(found.read_bytes()).digest() == whole
    assert not list(work.glob(".*"))
    assert find_clusters(files, CONFIG, work, run=stop_after(0)) == found


def test_what_is_left_of_other_settings_is_not_used(planted: list[str], sign: Sign, save_parts: Save, tmp_path: Path) -> None:
    texts = list({shingle: text for text in planted[:200] for shingle in [frozenset(shingle_set(text))]}.values())
    files = save_parts(sign(texts))
    strict = clusters_of(files, tmp_path / "work", NearDedupConfig(min_jaccard=1.0))
    with pytest.raises(KilledError):
        find_clusters(files, CONFIG, tmp_path / "work", run=stop_after(7))
    again = clusters_of(files, tmp_path / "work", NearDedupConfig(min_jaccard=1.0))
    assert again == strict == list(range(len(texts)))


def test_a_chain_of_versions_is_one_cluster(pocket_texts: list[str], sign: Sign, save_parts: Save, tmp_path: Path) -> None:
    words = " ".join(pocket_texts).split()
    versions = [" ".join(words[40 * step : 40 * step + 1000]) for step in range(30)]
    assert jaccard(shingle_set(versions[0]), shingle_set(versions[-1])) < 0.1
    assert clusters_of(save_parts(sign(versions)), tmp_path / "work") == [0] * 30


def test_a_large_group_whose_first_document_is_a_stranger_is_still_one_cluster(
    save_parts: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "CENTRES", 3)
    rng = np.random.default_rng(0)
    minima = rng.integers(0, 2**31, (5000, 128), dtype=np.uint32)
    minima[1:, 10:] = minima[1, 10:]
    minima[:, :5] = 7
    found = clusters_of(save_parts(minima, [1, 2500]), tmp_path / "work")
    assert found == [0] + [1] * 4999


def test_no_files_no_documents_and_one(sign: Sign, save_parts: Save, tmp_path: Path) -> None:
    assert clusters_of([], tmp_path / "a") == []
    assert clusters_of(save_parts(sign([]), [0, 0]), tmp_path / "b") == []
    assert clusters_of(save_parts(sign(["a b c d e f"]), [0, 0]), tmp_path / "c") == [0]


def test_signatures_of_other_settings_are_refused(sign: Sign, save_parts: Save, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="signatures of 128 minima; must be permutations = 64"):
        find_clusters(save_parts(sign(["a"])), NearDedupConfig(permutations=64, bands=16), tmp_path / "work")
