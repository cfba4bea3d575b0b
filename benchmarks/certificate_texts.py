"""Make `src/pellucid/export/certificate_texts.json`: the strings on which every export's tokenizer is compared with the run's.

`python benchmarks/certificate_texts.py` writes the file from the pocket corpus and this repository; `tests/export/test_probes.py`
says what must hold of it. Sentences: the Universal Declaration of Human Rights in seven languages and Jane Austen's novels, both
in the public domain. Code: this project's own. Odd ones: made here by rule.
"""

import ast
import json
import re
from pathlib import Path
from random import Random

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src/pellucid/export/certificate_texts.json"
LANGUAGES = ("en", "de", "es", "fr", "it", "nl", "pt")
EACH, CODE = 110, 160
LONGEST = 300


def sentences(language: str) -> list[str]:
    texts = [row["text"] for row in pq.read_table(ROOT / f"corpora/pocket/human-rights.{language}.parquet").to_pylist()]
    if language == "en":
        texts += [row["text"][:3000] for row in pq.read_table(ROOT / "corpora/pocket/jane-austen.en.parquet").to_pylist()[::16]]
    whole = "\n\n".join(texts)
    pieces = re.split(r"(?<=[.;:!?])\s+|\n\n", whole) + whole.split("\n\n")  # sentences, then paragraphs with their line ends
    return unique(pieces, EACH)


def code() -> list[str]:
    found = []
    for path in sorted((ROOT / "src").rglob("*.py"))[::4]:
        source = path.read_text()
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        found += [(ast.get_source_segment(source, node) or "")[:LONGEST] for node in nodes[:2]]
    for name in ("Makefile", "pyproject.toml", "recipes/pocket.yaml", ".gitignore"):
        found += (ROOT / name).read_text().split("\n\n")
    return unique(found, CODE)


def odd() -> list[str]:
    """White space, digits, marks, scripts and emoji in runs and mixtures, by a fixed seed."""
    random = Random(7)
    runs = [
        mark * count for mark in (" ", "\n", "\t", "\r\n", "=", "-", "a", "0", "ä", "🙂", "漢", "…") for count in (1, 2, 3, 7, 16)
    ]
    numbers = [str(random.randrange(10**digits)) for digits in range(1, 21)]
    parts = [
        "word",
        "Wort",
        " ",
        "  ",
        "\n",
        "\t",
        "7",
        "42",
        "1999",
        "'s",
        "n't",
        "é",
        "e\u0301",
        "ß",
        "İ",
        "ﬁ",
        "ǆ",
        "한국",
        "नमस्ते",
        "שלום",
    ]
    parts += [
        "مرحبا",
        "ไทย",
        "👩‍👩‍👧",
        "🇩🇪",
        "\u200b",
        "\u00a0",
        "\u3000",
        "_",
        "__init__",
        "http://a.b/c?d=e",
        "{",
        "}",
        "</p>",
        "\\n",
        "€",
        "½",
        "²",
    ]
    return [*runs, *numbers, *("".join(random.choices(parts, k=random.randrange(2, 9))) for _ in range(120))]


def unique(pieces: list[str], limit: int) -> list[str]:
    kept = dict.fromkeys(piece.strip("\n")[:LONGEST] for piece in pieces if len(piece.strip()) >= 12)
    return list(kept)[:limit]


def main() -> None:
    groups = {language: sentences(language) for language in LANGUAGES} | {"code": code(), "odd": list(dict.fromkeys(odd()))}
    OUT.write_text(json.dumps(groups, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print({name: len(texts) for name, texts in groups.items()}, sum(map(len, groups.values())), f"{OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
