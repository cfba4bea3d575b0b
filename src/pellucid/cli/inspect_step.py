"""How a training step is shown: each sequence with its documents, and with their text when it was asked for.

Colours only repeat what is there without them: a source's mark stands beside its name, masked targets are in brackets of their own.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.cli.colours import MARK, legend
from pellucid.cli.output import open_console, print_beside
from pellucid.core.excerpt import visible

__all__ = ["print_step"]

# How much of a piece of text is shown at its beginning and at its end.
_HEAD_CHARS, _TAIL_CHARS = 320, 120
_END, _OPEN, _CLOSE = "∎", "⟦", "⟧"


def print_step(step: Mapping[str, Any], total_steps: int, colours: Mapping[str, str], *, whole: bool) -> None:
    """Print what `inspect_step` returned, with the stage's name under `stage` and the step counted from 1."""
    console = open_console()
    sequences = step["sequences"]
    title = (
        f"step {step['step']} of {total_steps} in {step['stage']}: {step['batch_seqs']} sequences of {step['seq_tokens']} tokens"
    )
    shown = "" if len(sequences) == step["batch_seqs"] else f", {len(sequences)} shown"
    console.print(Text(title + shown, style="bold"))
    by_source = Counter(source for sequence in sequences for source in _sources(sequence))
    console.print(legend("by source:", by_source, colours, console.width))
    padding = sum(sequence["padding_tokens"] for sequence in sequences)
    told = f", {padding} of them padding" if padding else ""
    console.print(f"masked targets: {sum(sequence['masked_targets'] for sequence in sequences)}{told}")
    with_text = any("pieces" in sequence for sequence in sequences)
    if with_text:
        console.print(
            Text(f"{_END} ends a document, {_OPEN}text{_CLOSE} is masked: no loss on it; … goes on outside the window", style="dim")
        )
    tokens_wide = len(str(step["seq_tokens"] + 1))
    for sequence in sequences:
        console.print()
        console.print(_heading(sequence, step["seq_tokens"], colours))
        if with_text:
            _print_texts(console, sequence, colours, whole=whole)
        else:
            console.print(_documents(sequence, tokens_wide))


def _sources(sequence: Mapping[str, Any]) -> list[str]:
    """Return the sources of a sequence's documents, each once, in order."""
    return list(dict.fromkeys(document["source"] for document in sequence["documents"])) or [sequence["source"]]


def _heading(sequence: Mapping[str, Any], seq_tokens: int, colours: Mapping[str, str]) -> Text:
    text = Text().append(f"{sequence['index']}  ", "bold")
    for number, source in enumerate(_sources(sequence)):
        colour = colours.get(source, "")
        text.append("  " if number else "").append(MARK, colour).append(f" {source}", f"bold {colour}")
    place = f"  epoch {sequence['epoch']}, window {sequence['window']}" + (f", {sequence['side']}" if "side" in sequence else "")
    if sequence["masked_targets"]:
        place += f", {sequence['masked_targets']} of {seq_tokens} targets masked"
    return text.append(place)


def _documents(sequence: Mapping[str, Any], tokens_wide: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", min_width=tokens_wide + 2, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=3, overflow="fold")
    table.add_column(ratio=2, overflow="fold", style="dim")
    for document in sequence["documents"]:
        table.add_row(str(document["tokens"]), *(visible(document[name]) for name in ("language", "id", "licence")))
    return table


def _print_texts(console: Console, sequence: Mapping[str, Any], colours: Mapping[str, str], *, whole: bool) -> None:
    """Print each part under its document's line, with a bar of the source's colour beside it from its first line to its last."""
    for number, document in enumerate(sequence["documents"]):
        told = f"{document['tokens']} tokens  {document['language']}  {document['licence']}  {document['id']}"
        if document["from_token"]:
            told += f"  from its token {document['from_token'] + 1} on"
        colour = colours.get(document["source"], "")
        bar = Text().append("│ ", colour)
        print_beside(console, bar, Text(visible(told), style="dim"), first=Text().append("┌ ", colour))
        text = Text("…" if document["from_token"] else "")
        for piece in sequence["pieces"]:
            if piece["document"] == number:
                _append(text, piece, whole=whole)
        if not document["ends"]:
            text.append("…")
        print_beside(console, bar, text)


def _append(text: Text, piece: Mapping[str, Any], *, whole: bool) -> None:
    if piece["end"]:
        shown = _END
    else:
        content = piece["text"]
        left_out = len(content) - _HEAD_CHARS - _TAIL_CHARS
        if whole or left_out < _TAIL_CHARS:
            shown = visible(content)
        else:
            text.append(visible(content[:_HEAD_CHARS]), "reverse" if piece["masked"] else "")
            text.append(f" [… {left_out} characters …] ", "dim")
            shown = visible(content[-_TAIL_CHARS:])
    if piece["masked"]:
        text.append(_OPEN + shown + _CLOSE, "reverse")
    else:
        text.append(shown, "dim" if piece["end"] else "")
