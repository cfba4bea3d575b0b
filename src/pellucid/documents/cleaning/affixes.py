"""How a run of characters without white space falls into words: signs at its edges, signs inside it, contractions.

The rules are those of spaCy's tokenizer (3.8), which datatrove counts words with: what is split off at the beginning, what at the
end, what inside, by language. A run is looked at alone, so its words can be remembered. Of the special cases of other languages
than English only the frequent ones are known, and of French words with hyphens only the rules, not the exceptions.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

from pellucid.documents.cleaning.characters import parse_ranges
from pellucid.documents.cleaning.contractions import special_cases

__all__ = ["Splitter", "splitter"]

_LONGEST_ENDING = 8
_LONGEST = 1000  # longer runs are data, not words; they are cut in one pass

_PUNCTUATION = "… , : ; ! ? ¿ ؟ ¡ ( ) [ ] { } < > _ # * & 。 ？ ！ ， 、 ； ： ～ · । ، ۔ ؛ ٪"
_QUOTES = "' \" ” “ ` ‘ ´ ’ ‚ , „ » « 「 」 『 』 （ ） 〔 〕 【 】 《 》 〈 〉 〈 〉 ⟦ ⟧"
_CURRENCY = "$ £ € ¥ ฿ US$ C$ A$ ₽ ﷼ ₴ ₠ ₡ ₢ ₣ ₤ ₥ ₦ ₧ ₨ ₩ ₪ ₫ ₭ ₮ ₯ ₰ ₱ ₲ ₳ ₵ ₶ ₷ ₸ ₹ ₺ ₻ ₼ ₾ ₿"
_UNITS = """km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa mbar
mb MB kb KB gb GB tb TB T G M K км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч кПа Па мбар Кб КБ кб Мб
МБ мб Гб ГБ гб Тб ТБ тб كم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ غرام جرام جم كغ ملغ كوب اكواب"""
_HYPHENS = ("---", "--", "——", "-", "–", "—", "~")
_CASED = "41-5a 61-7a c0-d6 d8-f6 f8-1bf 1c4-2af 386-3ff 400-45f 490-491 496-497 4a2-4a3 4ae-4af 4ba-4bb 4d8-4d9 4e8-4e9 1d00-1d9a"
_MORE_CASED = "1e00-1eff 2c60-2c7f a722-a787 a78b-a7b9 a7fa ab30-ab64 ff21-ff3a ff41-ff5a"
_UNCASED = """591-5f4 620-64a 66e-6d5 6e5-6ff 750-77f 8a0-8bd 900-97f 980-9ff b80-bff c00-cff d80-dff 1100-137f 2e80-2fdf 2ff0-303f
3040-30ff 31c0-31ef 3200-4dbf 4e00-9fff ac00-d7af f900-fafb fb1d-fdfb fe30-fe4f fe70-fefc 1ee00-1eebb 1f200-1f2ff 20000-2ebef"""
_FRENCH_PREFIXES = """après? anti arrières? audio auto avant avion basses? bas bateaux? belles? beau best b[eê]ta bien bio? blanc
bois cache casse champ chasse chauffe claire?s? co co(?:de|ca) compte contre coupe?s? courte?s? couvre cyber demi d[ée]s? dix
double est entre ex extra extrême faux fil fort franco gardes? grande? gratte gros haute?s? hors hyper infra inter intra jean
live lot louis m[ai]cro mal mi mini mono mont?s? mots? moyen multi m[ée]ta non nord notre n[ée]o ouest outre ouvre pare passe
perce petite?s? pieds? pique pont po[rs]t porte pousse pré pro protège pseudo quasi quatre radio r[ée] r[ée]tro sans? sa?inte?s?
semi serre socio sociale?s? soixante sous su[bdrs] super taille t[ée]l[ée] tiers tire tourne toute?s? trans trente tri trois
ultra vid[ée]o vie(?:ux|i?lles?|il) vingt à Pierre Marie Val [ée]co [ée]tats [ée]lectro"""
_FRENCH_MIDDLES = "l[èe]s? la en des? d[eu] sur sous aux? à et près saint"
_ICONS_END = 0x1FA6E

_URL_HOST = r"(?:(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\.)+"
_URL_NUMBERS = (
    r"(?!(?:10|127)(?:\.\d{1,3}){3})(?!(?:169\.254|192\.168)(?:\.\d{1,3}){2})(?!172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2})"
    r"(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])"
)


def _class(codes: Iterable[int]) -> str:
    """Return the inside of a character class for a regular expression."""
    runs: list[list[int]] = []
    for code in sorted(set(codes)):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(rf"\U{first:08x}" if first == last else rf"\U{first:08x}-\U{last:08x}" for first, last in runs)


def _one_of(texts: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) + ")"


@cache
def _classes() -> dict[str, str]:
    """Return the insides of the character classes: letters, lower, upper, icons, marks of punctuation, quotes."""
    cased = [chr(code) for first, last in parse_ranges(f"{_CASED} {_MORE_CASED}") for code in range(first, last + 1)]
    uncased = [code for first, last in parse_ranges(_UNCASED) for code in range(first, last + 1)]
    icons = (code for code in range(0xA6, _ICONS_END) if unicodedata.category(chr(code)) == "So")
    return {
        "plain": _class(code for code in [*map(ord, cased), *uncased] if chr(code).isalpha()),
        "letters": _class([ord(char) for char in cased if char.isalpha()] + uncased),
        "lower": _class([ord(char) for char in cased if char.islower()] + uncased),
        "upper": _class([ord(char) for char in cased if char.isupper()] + uncased),
        "icons": _class(icons),
        "marks": _class(map(ord, _PUNCTUATION.replace(" ", ""))),
        "quotes": _class(map(ord, _QUOTES.replace(" ", ""))),
    }


def _prefixes(language: str) -> list[str]:
    sets = _classes()
    common = [
        r"[§%=—–]",
        r"\+(?![0-9])",
        "……",
        f"[{sets['marks']}]",
        r"\.\.+",
        f"[{sets['quotes']}]",
        _one_of(_CURRENCY.split()),
        f"[{sets['icons']}]",
    ]
    own = {"de": ["``"], "nl": [",,"], "it": ["'[0-9][0-9]", "[0-9]+°"], "pt": [r"\w{1,3}\$"]}
    late = {"fr": [f"[dlnDLN]['’](?=[{sets['letters']}])"]}
    return own.get(language, []) + common + late.get(language, [])


def _suffixes(language: str) -> list[str]:
    sets = _classes()
    units = _UNITS.split() + ([] if language in ("es", "nl") else ["%"])
    before_stop = rf"{sets['lower']}%²\-+{sets['quotes']}(?:)"
    before_stop += "" if language == "de" else "0-9"
    before_stop += "" if language == "fr" else rf"{sets['marks']}|"
    before_stop += "—–" if language == "es" else ""
    common = [
        "……",
        f"[{sets['marks']}{sets['quotes']}]",
        r"\.\.+",
        r"(?<=[0-9])\+",
        r"(?<=°[FfCcKk])\.",
        f"(?<=[0-9]){_one_of(_CURRENCY.split())}",
        f"(?<=[0-9]){_one_of(units)}",
        rf"(?<=[{before_stop}])\.",
        rf"(?<=[{sets['upper']}][{sets['upper']}])\.",
    ]
    if language != "fr":
        common.append(f"[{sets['icons']}]")
    if language not in ("de", "es", "fr", "nl"):
        common += ["['’][sS]", "[—–]"]
    if language in ("es", "nl"):
        common.append("[—–]")
    own = {"de": ["''", "/"], "nl": ["''"]}.get(language, [])
    if language == "fr":
        endings = ["ce", "clés", "elle", "en", "il", "ils", "je", "là", "moi", "nous", "on", "t", "vous"]
        own = [f"(?<=[{sets['letters']}])[-–—‐‑]{_one_of(endings + [text.upper() for text in endings])}"]
    return own + common


def _infixes(language: str) -> list[str]:
    sets = _classes()
    a, lower, upper = sets["letters"], sets["lower"], sets["upper"]
    quotes = sets["quotes"] + ("—–" if language == "es" else "")
    found = [r"\.\.+", "…", f"[{sets['icons']}]"]
    if language in ("de", "nl"):
        others = _class(ord(char) for char in _QUOTES if char not in " '")
        found += [rf"(?<=[{lower}])\.(?=[{upper}])", f"(?<=[{a}])[,!?](?=[{a}])"]
        found += [f"(?<=[{a}{'' if language == 'de' else chr(34)}])[:<>=](?=[{a}])", rf"(?<=[{a}])[{others}()\[\]](?=[{a}])"]
        found += [f"(?<=[{a}])--(?=[{a}])"]
        return found + ([f"(?<=[0-9{a}])/(?=[0-9{a}])", "(?<=[0-9])-(?=[0-9])"] if language == "de" else [])
    found.append(r"(?<=[0-9])[+*^](?=[0-9-])" if language == "es" else r"(?<=[0-9])[+\-*^](?=[0-9-])")
    found += [rf"(?<=[{lower}{quotes}])\.(?=[{upper}{quotes}])", f"(?<=[{a}]),(?=[{a}])"]
    hyphens = "(?:-|–|—|--|---|——|~)"
    if language != "es":
        found.append(f"(?<=[{a}{'0-9' if language == 'en' else ''}]){hyphens}(?=[{lower if language == 'it' else a}])")
    found.append(f"(?<=[{a}0-9])[:<>=/](?=[{a}])")
    if language == "fr":
        found.append(f"(?<=[{a}]['’])(?=[{a}])")
    if language == "it":
        found.append(f"(?<=[{a}]['’])(?=[{a}0-9\"])")
    return ([r"\w+-\w+(?:-\w+)*"] if language == "pt" else []) + found


def _french_compounds() -> str:
    """Return what matches French words with a hyphen that stay whole: frequent prefixes, and three parts with a short middle."""
    letters, lower = _classes()["letters"], _classes()["lower"]
    return (
        rf"(?i:(?:{'|'.join(_FRENCH_PREFIXES.split())})[-–—‐‑][{lower}][-–—‐‑{lower}'’]*$"
        rf"|[{letters}]+[-–—‐‑](?:{'|'.join(_FRENCH_MIDDLES.split())})[-–—‐‑](?:l['’])?[{letters}]+$"
        rf"|(?:r?é?entr|grande?s?|r)['’][{lower}][-–—‐‑{lower}'’]*$)"
    )


def _never(rest: str) -> None:
    return None


class Splitter:
    """The words of a run of characters, in one language; a language without rules of its own has the general ones ("xx")."""

    def __init__(self, language: str) -> None:
        sets = _classes()
        self.cases = {text: tuple(map(len, parts)) for text, parts in special_cases(language).items()}
        self._prefix = re.compile("|".join(_prefixes(language))).match
        self._suffix = re.compile("|".join(f"(?:{piece})$" for piece in _suffixes(language))).search
        self._infixes = re.compile("|".join(_infixes(language))).finditer
        host = rf"(?:{_URL_NUMBERS}|{_URL_HOST}[{sets['lower']}]{{2,63}})"
        self._url = re.compile(rf"(?:[\w+\-.]{{2,}}://)?(?:\S+(?::\S*)?@)?{host}(?::\d{{2,5}})?(?:[/?#]\S*)?$").match
        self._plain_front = language not in ("fr", "it", "pt")  # no rule for beginnings takes a letter or a digit, but for "US$"
        self._long_infixes = re.compile("|".join(_infixes("xx" if language == "pt" else language))).finditer  # linear
        plain = f"[{sets['plain']}]+"
        core = f"{plain}(?:-{plain})*" if language in ("en", "xx") else plain
        self._common = re.compile(rf"([(\[\"“«„]*)({core})((?:(?<=[a-z])\.)?[,;:!?)\]\"”»]*)$").match
        self._whole = re.compile(_french_compounds()).match if language == "fr" else _never
        self._merged = self._cases_of_several_words()

    def cut(self, run: str) -> tuple[int, ...]:
        """Return the lengths of the words of a run without white space; their sum is its length."""
        if run in self.cases:
            return self.cases[run]
        simple = self._simple(run)
        if simple:
            return simple
        if len(run) > _LONGEST:
            return self._cut_long(run)
        return self._with_cases(run, self._affixes(run, self.cases))

    def _simple(self, run: str) -> tuple[int, ...] | None:
        """Return what the rules come to for letters with a few common marks around them, much sooner than they do."""
        match = self._common(run)
        if not match:
            return None
        head, core, tail = match.groups()
        if len(core) < 3 or core in self.cases or core + tail[:1] in self.cases or (len(tail) > 1 and (":" in tail or ";" in tail)):
            return None
        if "-" not in core:
            return (*(1 for _ in head), len(core), *(1 for _ in tail))
        parts = [part for word in core.split("-") for part in (len(word), 1)]
        return (*(1 for _ in head), *parts[:-1], *(1 for _ in tail))

    def _affixes(self, run: str, cases: dict[str, tuple[int, ...]]) -> list[int]:
        before: list[int] = []
        after: list[int] = []
        rest, last = run, -1
        while rest and len(rest) != last and rest not in cases:
            last = len(rest)
            if self._whole(rest):
                break
            front = self._front(rest)
            if front and rest[front:] in cases:
                before.append(front)
                rest = rest[front:]
                break
            back = self._back(rest, front)
            if back and rest[:-back] in cases:
                after.append(back)
                rest = rest[:-back]
                break
            if front:
                before.append(front)
                if back and front + back <= len(rest):
                    after.append(back)
                    rest = rest[front:-back]
                else:
                    rest = rest[front:]
            elif back:
                after.append(back)
                rest = rest[:-back]
        if rest in cases:
            before += cases[rest]
        elif rest:
            before += (
                [len(rest)] if self._whole(rest) or ("." in rest and self._url(rest)) else self._inside(rest, self._infixes(rest))
            )
        return before + after[::-1]

    def _front(self, rest: str) -> int:
        """Return how many characters the first rule for beginnings that fits takes."""
        if self._plain_front and rest[0].isalnum() and "$" not in rest[:4]:
            return 0
        match = self._prefix(rest)
        return match.end() if match else 0

    def _back(self, rest: str, front: int) -> int:
        """Return how many characters the longest rule for endings that fits takes."""
        last = rest[-1:]
        if last in "0123456789" or (last in ",;:!?)]}" and front < len(rest)):
            return int(front < len(rest) and not last.isdigit())
        # Only stops can be many: the search need not begin far from the end.
        match = self._suffix(rest, front if last == "." else max(front, len(rest) - _LONGEST_ENDING))
        return match.end() - match.start() if match else 0

    def _inside(self, rest: str, infixes: Iterable[re.Match[str]]) -> list[int]:
        lengths: list[int] = []
        begin = 0
        for match in infixes:
            if match.start() == 0:
                continue
            if match.start() > begin:
                lengths.append(match.start() - begin)
            if match.end() > match.start():
                lengths.append(match.end() - match.start())
            begin = match.end()
        return [*lengths, len(rest) - begin] if begin < len(rest) else lengths

    def _cut_long(self, run: str) -> tuple[int, ...]:
        front = back = 0
        while front < len(run) and self._prefix(run[front : front + 2]):
            front += 1
        while back < len(run) - front and self._suffix(run[: len(run) - back][-3:]):
            back += 1
        rest = run[front : len(run) - back]
        inside = self._inside(rest, self._long_infixes(rest)) if rest else []
        return (*[1] * front, *inside, *[1] * back)

    def _cases_of_several_words(self) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Return the special cases that the other rules would touch, by the words that these make of them."""
        found = {}
        for text, lengths in self.cases.items():
            if self._prefix(text) or self._suffix(text) or any(self._infixes(text)):
                found[_pieces(text, self._affixes(text, {}))] = lengths
        self._widest = max(map(len, found))
        self._alone = {words[0] for words in found if len(words) == 1}
        self._pairs = {words[:2] for words in found if len(words) > 1}
        return found

    def _with_cases(self, run: str, lengths: list[int]) -> tuple[int, ...]:
        """Put special cases in the place of the words that make them up; the longest wins, then the first."""
        if len(lengths) < 2:
            return tuple(lengths)
        words = _pieces(run, lengths)
        if self._alone.isdisjoint(words) and self._pairs.isdisjoint(pairwise(words)):
            return tuple(lengths)
        spans = [
            (begin - end, begin, end)
            for begin in range(len(words))
            for end in range(begin + 1, min(begin + self._widest, len(words)) + 1)
            if words[begin:end] in self._merged
        ]
        taken: set[int] = set()
        chosen: dict[int, int] = {}
        for _, begin, end in sorted(spans):
            if begin not in taken and end - 1 not in taken:
                chosen[begin] = end
            taken.update(range(begin, end))
        if not chosen:
            return tuple(lengths)
        result: list[int] = []
        place = 0
        while place < len(words):
            if place in chosen:
                result += self._merged[words[place : chosen[place]]]
                place = chosen[place]
            else:
                result.append(len(words[place]))
                place += 1
        return tuple(result)


def _pieces(run: str, lengths: Iterable[int]) -> tuple[str, ...]:
    pieces, begin = [], 0
    for length in lengths:
        pieces.append(run[begin : begin + length])
        begin += length
    return tuple(pieces)


@cache
def splitter(language: str) -> Splitter:
    """Return the splitter of a language (ISO 639-1); it is built once."""
    return Splitter(language)
