"""Record what datatrove's quality filters say about a fixed sample: documents of the pocket corpus, and edited ones for the rules
that none of them breaks. The tests in tests/documents/cleaning compare with the record; this needs a Python with datatrove.
"""

import argparse
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POCKET = ROOT / "corpora" / "pocket"
FIXTURE = ROOT / "tests" / "documents" / "cleaning" / "datatrove_verdicts.json"
BASES = "debian-handbook"
REFRAIN = ("so", "it", "goes", "on", "and", "on", "for", "ever", "and", "ever")
VERY_LONG = "more words than 100000"
CITED = "Marks of citations stand here[1] and there.[citation needed] And [edit] in the middle, three times over."


def every(text: str, step: int, change: Callable[[str], str]) -> str:
    """Return the text with every step-th word changed."""
    return " ".join(change(word) if place % step == 0 else word for place, word in enumerate(text.split(" ")))


def by_line(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "\n".join(map(change, text.split("\n")))


def sentences(text: str) -> str:
    """Return the text with a line for each sentence."""
    return text.replace("\n", " ").replace(". ", ".\n")


EDITS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "fewer words than fifty": lambda text: " ".join(text.split()[:45]),
    VERY_LONG: lambda text: text * (1 + 800_000 // len(text)),
    "short words": lambda text: every(text, 1, lambda word: word[:2]),
    "long words": lambda text: text.replace(" the ", "the").replace(" ", "", text.count(" ") * 2 // 3),
    "hash signs": lambda text: every(text, 4, lambda word: word + " #"),
    "dots": lambda text: every(text, 4, lambda word: word + "..."),
    "bullets": lambda text: sentences(text).replace("\n", "\n • "),
    "dashes": lambda text: sentences(text).replace("\n", "\n- "),
    "open lines": lambda text: sentences(text).replace(".\n", "...\n"),
    "numbers": lambda text: every(text, 2, lambda word: str(len(word) * 1234567 % 10007)),
    "no small words": lambda text: " ".join(word for word in text.split(" ") if 5 <= len(word) <= 8),
    "a paragraph again": lambda text: text + f"\n\n{text[:3000].strip()}" * 4,
    "a long paragraph again": lambda text: text[:6000] + "\n\n" + sentences(text[-2000:]) + "\n\n" + sentences(text[-2000:]),
    "a line again": lambda text: sentences(text) + "\nThis is a line that comes again and again.\n" * 30,
    "short lines again": lambda text: sentences(text).replace("\n", "\nRead more.\n"),
    "two words again": lambda text: every(text, 3, lambda word: word + " extraordinary circumstances"),
    "three words again": lambda text: every(text, 9, lambda word: word + " one more time"),
    "four words again": lambda text: every(text, 9, lambda word: word + " as it were now"),
    **{
        f"{n} words again, one in {step}": lambda text, n=n, step=step: every(
            text, step, lambda word: word + " " + " ".join(REFRAIN[:n])
        )
        for n in range(5, 11)
        for step in range(2 * n, 6 * n, 4)
    },
    **{
        f"{count} sentences twice": lambda text, count=count: sentences(text) + " ".join(text.split()[: 60 * count])
        for count in (1, 2, 3)
    },
    "lorem ipsum": lambda text: sentences(text) + "\nAnd now lorem Ipsum dolor sit amet.",
    "lorem ipsum in a line that goes": lambda text: sentences(text) + "\nAnd now lorem ipsum dolor sit amet",
    "javascript": lambda text: sentences(text) + "\nPlease switch JavaScript on to read { this }.",
    "a bracket": lambda text: sentences(text) + "\nSomebody left a { in this sentence.",
    "policy": lambda text: sentences(text) + "\nThis site Uses Cookies, as the others do.\nRead our Privacy Policy, please.",
    "citations": lambda text: (
        sentences(text) + f"\n{CITED}\n[2] {CITED} [3]\nIt ends with one.[3]\njava[4]script is hidden here, too."
    ),
    "a long word": lambda text: sentences(text) + "\nThe word " + "x" * 1001 + " is long.\nThe word " + "y" * 1000 + " is not.",
    "windows lines": lambda text: sentences(text).replace("\n", "\r\n"),
    "line separators": lambda text: sentences(text).replace("\n", "\u2028") + "\x0bEnd of it.\x1c\x85",
    "wide spaces": lambda text: sentences(text).replace(" ", "\u00a0 \u3000"),
    "three words a line": lambda text: every(text.replace("\n", " "), 3, lambda word: word + "\n"),
    "thirty characters a line": lambda text: "\n".join(text.replace("\n", " ")[at : at + 30] for at in range(0, len(text), 30)),
    "thirty-one characters a line": lambda text: "\n".join(text.replace("\n", " ")[at : at + 31] for at in range(0, len(text), 31)),
    "quotes and faces": lambda text: every(text, 5, lambda word: f"“({word})” :) 8-) can't, e.g. 5km/h"),
    "lines far apart": lambda text: sentences(text).replace("\n", "\n" * 20),
    "no punctuation": lambda text: "".join(char for char in text if char not in ".!?"),
}


ONLY_ENGLISH = {VERY_LONG, *(edit for edit in EDITS if " words again, one in " in edit)}


def choose(each: int, most_chars: int) -> list[dict[str, Any]]:
    """Return file, row, edit and language of the sample, without the texts."""
    import pyarrow.parquet as pq

    chosen = []
    for file in sorted(POCKET.glob("*.parquet")):
        table = pq.read_table(file, columns=["digest", "text"]).to_pylist()
        rows = [row for row, record in enumerate(table) if len(record["text"]) <= most_chars]
        rows.sort(key=lambda row: hashlib.sha256(table[row]["digest"].encode()).hexdigest())
        language = file.name.split(".")[-2]
        chosen += [{"file": file.name, "row": row, "edit": "as it is", "language": language} for row in sorted(rows[:each])]
        if file.name.startswith(BASES):
            edits = [edit for edit in list(EDITS)[1:] if language == "en" or edit not in ONLY_ENGLISH]
            base = max(rows, key=lambda row: len(table[row]["text"]))
            chosen += [{"file": file.name, "row": base, "edit": edit, "language": language} for edit in edits]
    return chosen


def read_texts(entries: list[dict[str, Any]]) -> list[str]:
    """Return the texts of a sample, edited."""
    import pyarrow.parquet as pq

    tables = {name: pq.read_table(POCKET / name, columns=["text"])["text"] for name in sorted({entry["file"] for entry in entries})}
    return [EDITS[entry["edit"]](tables[entry["file"]][entry["row"]].as_py()) for entry in entries]


def judge(path: Path) -> None:
    """Print the verdicts of datatrove's filters, "" where a document is kept. Runs where datatrove is."""
    import importlib.metadata

    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4QualityFilter
    from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
    from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter
    from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter

    task = json.loads(path.read_text())
    filters: dict[str, Any] = {
        language: {
            "gopher_quality": GopherQualityFilter(language=language, stop_words=stop_words),
            "gopher_repetition": GopherRepetitionFilter(language=language),
            "fineweb": FineWebQualityFilter(language=language),
            "c4": C4QualityFilter(language=language),
        }
        for language, stop_words in task["stop_words"].items()
    }
    verdicts = []
    for language, text in task["documents"]:
        document = Document(text=text, id="")
        found: dict[str, str] = {}
        for name, one in filters[language].items():  # c4 comes last: it changes the text
            result = one.filter(document)
            found[name] = "" if result is True else result[1]
        if not found["c4"]:
            found["c4_text"] = hashlib.sha256(document.text.encode()).hexdigest()[:16]
            result = filters[language]["fineweb"].filter(document)
            found["fineweb_after_c4"] = "" if result is True else result[1]
        verdicts.append(found)
    versions = {name: importlib.metadata.version(name) for name in ("datatrove", "spacy")}
    print(json.dumps({"versions": versions, "verdicts": verdicts}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datatrove-python", type=Path, help="a Python that has datatrove and spacy")
    parser.add_argument("--each", type=int, default=14, help="documents of each file of the pocket corpus")
    parser.add_argument("--most-chars", type=int, default=14_000, help="longer documents are not taken")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=FIXTURE)
    arguments = parser.parse_args()
    if arguments.judge:
        judge(arguments.judge)
        return
    from pellucid.documents.cleaning.stop_words import STOP_WORDS

    entries = choose(arguments.each, arguments.most_chars)
    documents = [(entry["language"], text) for entry, text in zip(entries, read_texts(entries), strict=True)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as task:
        json.dump({"stop_words": STOP_WORDS, "documents": documents}, task)
        task.flush()
        command = [str(arguments.datatrove_python), __file__, "--judge", task.name]
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    lines = [json.dumps(entry | found, ensure_ascii=False) for entry, found in zip(entries, answer["verdicts"], strict=True)]
    head = json.dumps(
        {
            "command": "python benchmarks/peers/datatrove_verdicts.py --datatrove-python PYTHON",
            "versions": answer["versions"],
            "stop_words": STOP_WORDS,
        },
        ensure_ascii=False,
    )
    arguments.out.write_text(head[:-1] + ', "documents": [\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{len(lines)} documents, {sum(len(text) for _, text in documents) / 1e6:.1f} M characters")


if __name__ == "__main__":
    main()
