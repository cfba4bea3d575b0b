"""What a talk reads and shows: lines typed with editing and history where there is readline, text that cannot steer a terminal."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from rich.text import Text

from pellucid.cli.output import open_console, print_shown
from pellucid.core.errors import DataError
from pellucid.core.excerpt import visible

__all__ = ["Terminal"]

_JOINERS = "\u200c\u200d"
_GOES_ON = "\\"


class Terminal:
    """Standard input and output. A pipe gets texts as they are; on a terminal their control characters are made visible.

    The tab key completes `words` at the beginning of a line, and names of files after those of `with_files`.
    """

    def __init__(self, words: tuple[str, ...] = (), with_files: tuple[str, ...] = ()) -> None:
        self.is_typed, self.is_shown = sys.stdin.isatty(), sys.stdout.isatty()
        self._words, self._with_files = words, with_files
        self._before = self._held = ""
        self._readline = _readline() if self.is_typed and self.is_shown else None
        if self._readline is not None:
            # Names of files have slashes, and commands begin with one: words end at blanks only.
            self._readline.set_completer_delims(" \t\n")
            self._readline.set_completer(self._completion)
            is_editline = "libedit" in (self._readline.__doc__ or "")
            self._readline.parse_and_bind("bind ^I rl_complete" if is_editline else "tab: complete")

    @property
    def can_edit(self) -> bool:
        """Whether `read` can offer a line to be changed."""
        return self._readline is not None

    @property
    def width(self) -> int:
        """How many columns a line has."""
        return open_console().width

    def read(self, first: str = "") -> str | None:
        r"""Return the next line, on a terminal one that begins as `first` if that can be; None at the end of the input.

        A line that is typed with \ at its end goes on with the next. Raises `DataError` for a line of bytes that are no text (the
        next call returns the line after it), `KeyboardInterrupt` for Ctrl-C.
        """
        try:
            if not (self.is_typed and self.is_shown):
                return self._line()
            print_shown("")
            lines = [self._typed("> ", first)]
            while lines[-1].endswith(_GOES_ON):
                lines[-1] = lines[-1].removesuffix(_GOES_ON)
                lines.append(self._typed("… ", ""))
            return "\n".join(lines)
        except EOFError:
            return None
        except UnicodeDecodeError as error:
            raise DataError(f"the input is not UTF-8: {error}") from error

    def stream(self, text: str) -> None:
        """Show more of a text that grows."""
        if not self.is_shown:
            print_shown(text, end="")
            return
        # What follows a joiner decides how it is shown: it waits for that.
        text = self._held + text
        whole = text.rstrip(_JOINERS)
        self._held = text[len(whole) :]
        if whole:
            print_shown(visible(self._before + whole).removeprefix(visible(self._before)), end="")
            self._before = whole[-1]

    def end(self, remark: str = "") -> None:
        """End the text that was streamed, with a remark on the same line."""
        print_shown(visible(self._held), end="")
        self._before = self._held = ""
        if remark:
            print_shown(" ", end="")
            open_console().print(_remark(remark), soft_wrap=True)
        else:
            print_shown("")

    def remark(self, text: str) -> None:
        """Say something that is none of the talk's texts: in brackets, and dim where that can be."""
        self.styled(_remark(text))

    def styled(self, text: Text) -> None:
        """Print a text, which must be fit to be shown, with its colours where the terminal has them."""
        open_console().print(text, soft_wrap=not self.is_shown)

    def _line(self) -> str | None:
        # As bytes, so that one line that is no text costs no line before it or after it.
        source = getattr(sys.stdin, "buffer", None)
        line = sys.stdin.readline() if source is None else source.readline().decode("utf-8")
        return line.removesuffix("\n").removesuffix("\r") if line else None

    def _typed(self, prompt: str, first: str) -> str:
        if self._readline is None or not first:
            return input(prompt)
        readline = self._readline
        readline.set_startup_hook(lambda: readline.insert_text(first))
        try:
            return input(prompt)
        finally:
            readline.set_startup_hook(None)

    def _completion(self, text: str, state: int) -> str | None:
        assert self._readline is not None
        line = self._readline.get_line_buffer()
        if self._readline.get_begidx() == 0:
            found = [f"{word} " for word in self._words if word.startswith(text)] if text else []
        elif line.startswith(tuple(f"{word} " for word in self._with_files)):
            found = _files(text)
        else:
            found = []
        return found[state] if state < len(found) else None


def _remark(text: str) -> Text:
    return Text(f"[{visible(text)}]", "dim")


def _readline() -> ModuleType | None:
    """Return the module of line editing, which some systems lack. To import it is to have it used."""
    try:
        return import_module("readline")
    except ImportError:
        return None


def _files(text: str) -> list[str]:
    """Return the names of files that begin so, folders with a slash at their end."""
    before, slash, beginning = text.rpartition("/")
    try:
        found = [path for path in Path(before + slash or ".").expanduser().iterdir() if path.name.startswith(beginning)]
    except (OSError, RuntimeError):  # the second where nobody has the home folder that is named
        return []
    return sorted(before + slash + path.name + "/" * path.is_dir() for path in found)
