"""How answers are made in `pellucid chat`: settings that are flags, commands in the talk, and lines of a saved file."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.generate.sampling import Sampling

__all__ = ["NUMBERS", "ChatSettings"]

NUMBERS: dict[str, Callable[[str], float]] = {
    "temperature": float,
    "top-k": int,
    "top-p": float,
    "min-p": float,
    "repetition-penalty": float,
    "presence-penalty": float,
    "frequency-penalty": float,
    "new-tokens": int,
    "seed": int,
}
"""What can be set to a number, by the names of the flags."""

_OFF: dict[str, float | None] = {
    "top-k": None,
    "top-p": 1.0,
    "min-p": 0.0,
    "repetition-penalty": 1.0,
    "presence-penalty": 0.0,
    "frequency-penalty": 0.0,
    "seed": None,
}
_ESCAPES = {r"\n": "\n", r"\t": "\t"}
FIRST_SEED = 1
_SEEDS = 2**63


@dataclass(frozen=True)
class ChatSettings:
    """Raises `UsageError` for values outside their range. `seed` None is 1, and stays out of saved files.

    Answer number N, counted from 0, has the seed N more than the first, so that /retry gives another one.
    """

    system: str | None = None
    new_tokens: int = 128
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8, top_k=50))
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.new_tokens < 1:
            raise UsageError(f"--new-tokens {self.new_tokens}: must be at least 1")
        if "" in self.stop:
            raise UsageError("--stop: an empty text would end every answer at once; give at least one character")
        if self.seed is not None and not -_SEEDS <= self.seed < _SEEDS:
            raise UsageError(f"--seed {self.seed}: must be from {-_SEEDS} to {_SEEDS - 1}")

    @classmethod
    def of_flags(cls, arguments: argparse.Namespace) -> "ChatSettings":
        """Return what the flags of `pellucid chat` say."""
        sampling = Sampling(**{name: getattr(arguments, name) for name in _SAMPLING})
        stop = tuple(_unescaped(text) for text in arguments.stop)
        return cls(arguments.system, arguments.new_tokens, sampling, stop, arguments.seed)

    def seed_of(self, number: int) -> int:
        """Return the seed of an answer."""
        return ((FIRST_SEED if self.seed is None else self.seed) + number) % _SEEDS

    def with_number(self, name: str, text: str) -> "ChatSettings":
        """Return the settings with one of `NUMBERS` changed, as it was typed; "off" is the value that changes nothing."""
        if text.strip() == "off":
            if name not in _OFF:
                raise UsageError(f"/{name} off: it cannot be without; give a number")
            value: float | None = _OFF[name]
        else:
            try:
                value = NUMBERS[name](text)
            except ValueError as error:
                whole = "a whole number" if NUMBERS[name] is int else "a number"
                raise UsageError(f"/{name} {text}: must be {whole}{' or off' if name in _OFF else ''}") from error
        return self._with(name.replace("-", "_"), value)

    def with_system(self, text: str | None) -> "ChatSettings":
        """Return the settings with another system prompt, or without one."""
        return replace(self, system=text)

    def with_stop(self, text: str) -> "ChatSettings":
        r"""Return the settings with this stop text, as it was typed (\n is the end of a line); without any for no text."""
        return replace(self, stop=(_unescaped(text),) if text else ())

    def shown(self) -> list[tuple[str, str]]:
        """Return each setting's name and value as a person reads them."""
        found = [("system", self.system or "none")]
        for name in NUMBERS:
            value = self._value(name.replace("-", "_"))
            is_off = name in _OFF and name != "seed" and value == _OFF[name]
            found.append((name, "off" if is_off else _plain(FIRST_SEED if value is None else value)))
        return [*found, ("stop", ", ".join(map(repr, self.stop)) or "none")]

    def kept(self) -> dict[str, Any]:
        """Return them as the chat page keeps them: what changes nothing is left out, beside what the page always has."""
        sampling = self.sampling
        found: dict[str, Any] = {
            "system": self.system or "",
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": self.new_tokens,
            "seed": self.seed,
        }
        for name in ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"):
            if (value := getattr(sampling, name)) != _OFF[name.replace("_", "-")]:
                found[name] = value
        return found | ({"stop": list(self.stop)} if self.stop else {})

    def loaded(self, kept: Mapping[str, Any]) -> "ChatSettings":
        """Return the settings that `kept` gave, or that the page keeps; a seed that it does not have stays."""
        sampling = {name: kept[name] for name in _SAMPLING if kept.get(name) is not None}
        seed = kept.get("seed")
        return ChatSettings(
            kept.get("system") or None,
            kept.get("max_tokens") or self.new_tokens,
            Sampling(**sampling),
            tuple(kept.get("stop") or ()),
            self.seed if seed is None else seed,
        )

    def _value(self, name: str) -> float | None:
        value: float | None = getattr(self if name in ("new_tokens", "seed") else self.sampling, name)
        return value

    def _with(self, name: str, value: float | None) -> "ChatSettings":
        change: Any = {name: value}
        if name in ("new_tokens", "seed"):
            return replace(self, **change)
        return replace(self, sampling=replace(self.sampling, **change))


_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _unescaped(text: str) -> str:
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    return text
