"""Strings that the words of a language are looked up in before any rule: contractions, abbreviations, faces.

What is kept whole and what falls into which parts is as in spaCy 3.8, whose tokenizer datatrove counts words with; English is
complete, of the other languages the most frequent are here.
"""

from functools import cache

__all__ = ["special_cases"]

# stems; endings that may follow them, in parts: each is written with its apostrophes or without
_ENGLISH = (
    ("i", ("'m", "'m a")),
    ("i you he she it we they", ("'ll", "'ll 've", "'d", "'d 've")),
    ("i you we they", ("'ve",)),
    ("you we they", ("'re",)),
    ("he she it", ("'s",)),
    ("who what when where why how there that this", ("'s",)),
    ("who what when where why how there that this these those", ("'ll", "'ll 've", "'d", "'d 've")),
    ("who what when where why how there these those", ("'re", "'ve")),
    ("ca could do does did had may might must need ought sha should wo would", ("n't", "n't 've")),
    ("could might must should would", ("'ve",)),
    ("ai are is was were have has dare", ("n't",)),
)
_ENGLISH_WORDS = "ill its hell shell shed were well whore"  # words of their own, not contractions
_ENGLISH_PARTS = """y'|all y|all how|'d|'y How|'d|'y not|'ve not|ve Not|'ve Not|ve can|not Can|not gon|na Gon|na got|ta Got|ta
let|'s Let|'s c'm|on C'm|on"""
_ENGLISH_WHOLE = """'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock 'd 'em
'll 'nuff a.m. p.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo.
Mont. Mr. Mrs. Ms. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. Mt. Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. Ak.
Ala. Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. Mich. Minn. Miss. N.C. N.D. N.H.
N.J. N.M. N.Y. Neb. Nebr. Nev. Okla. Ore. Pa. S.C. Tenn. Va. Wash. Wis."""
_ENGLISH_CLIPPED = "lovin havin doin goin nothin nuthin ol somethin"

_WHOLE = {
    "de": """'S 's S' s' 'n 'ne 'nen 'nem `` '' d' L' c/o CDU/CSU Abb. Abk. Abs. Abt. Apr. Aug. Bd. Bsp. Chr. Co. Dez. Di. Dipl.
    Do. Dr. Feb. Fr. Hg. Hr. Hrsg. hrsg. I. II. III. IV. Inc. Ing. Jan. Jh. Jr. jr. Jul. Jun. Mi. Mio. Mo. Mr. Mrd. MwSt. Nov.
    Nr. Okt. Orig. Prof. Sa. Sep. Sept. So. St. Std. Str. Tel. Tsd. U.S. U.S.A. Univ. Vol. abzgl. al. allg. betr. bspw. bzgl.
    bzw. ca. co. d.h. e.g. e.V. ebd. ehem. eigtl. engl. entspr. etc. ev. evtl. frz. geb. gegr. gem. ggf. ggfs. i.A. i.O. i.V.
    i.d.R. i.e. incl. inkl. insb. lat. lt. max. min. mind. nat. o.g. o.ä. orig. p.a. s.o. sog. std. stellv. tägl. u.a. u.s.w.
    u.v.m. usf. usw. v.a. vgl. vs. z.B. z.T. z.b. zzgl. n.Chr. v.Chr.""",
    "es": """n° °C aprox. ej. esq. pág. p.ej. Ud. Uds. Vd. Vds. vol. a.C. d.C. Av. Avda. Cía. Dr. Dra. EE.UU. etc. fig. Gral. Ing.
    km/h Lic. núm. P.D. Prof. Profa. S.A. S.L. Sr. Sra. Srta.""",
    "fr": """av. janv. févr. avr. juill. sept. oct. nov. déc. apr. Dr. M. Mr. Mme. Mlle. n° d° St. Ste. cf. etc. MM. No. pp. Vol.
    aujourd'hui Aujourd'hui aujourd’hui Aujourd’hui après-midi au-delà au-dessus celle-ci celles-ci celui-ci ci-dessous
    elle-même en-dessous jusque-là lui-même peut-être quelques-uns rendez-vous""",
    "it": """po' .. .... a.C. al. art. Art. att. avv. Avv. c/c Cod. col. d.C. de" E' e/o ecc. e-mail etc. Jr. n° nord-est pag.
    prof. sett. s.p.a. ss. St. tel. week-end""",
    "nl": """'m 'n 's 't a.u.b. aug. art. bijv. blz. bv. ca. d.m.v. d.w.z. dec. dhr. dr. drs. e.a. e.d. enz. etc. evt. excl. feb.
    i.p.v. i.v.m. incl. ing. ir. jan. jl. jr. m.b.t. m.b.v. m.a.w. b.v. ex. m.i. max. mevr. min. mr. nl. nov. nr. o.a. o.l.v.
    okt. p.s. pag. prof. resp. sept. sr. st. t.a.v. t.o.v. t/m tel. v.chr. vgl. z.g. zgn.""",
    "pt": """Adm. Art. art. Av. av. Cia. dom. Dr. dr. e.g. E.g. E.G. e/ou ed. eng. etc. Gen. Gov. i.e. I.e. I.E. Inc. Jr. km/h Ltd.
    Mr. p.m. Ph.D. Rep. Rev. S/A Sen. Sr. sr. Sra. sra. vs. tel. pág. pag.""",
}
_PARTS = {
    "de": "auf|'m du|'s er|'s hinter|'m ich|'s ihr|'s sie|'s unter|'m vor|'m wir|'s über|'m",
    "es": "pa|l",
    "fr": "J.|-C. est|-ce Est|-ce qu'|est|-ce Qu'|est|-ce n'|est|-ce N'|est|-ce est|-il EST|-IL s'|est|-il S'|EST|-IL",
    "it": "all'|art. dall'|art. dell'|art. L'|art. l'|art. nell'|art.",
}
_ANYWHERE = r"""\t \n — ' \") <space> '' C++ ä. ö. ü. :) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8)
8-) (-8 ;) ;-) (; (-; :( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O
:-O :o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.<
._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.)
(>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"""
_TIMES = {"en": ("a.m.", "am", "p.m.", "pm"), "es": ("a.m.", "am", "p.m.", "pm")}


@cache
def special_cases(language: str) -> dict[str, tuple[str, ...]]:
    """Return the parts of each string that has parts of its own, or is kept whole, in a language (ISO 639-1)."""
    cases: dict[str, tuple[str, ...]] = {text: (text,) for text in _ANYWHERE.split()}
    cases |= {f"{letter}.": (f"{letter}.",) for letter in "abcdefghijklmnopqrstuvwxyz"}
    cases |= {f"°{unit}.": ("°", unit, ".") for unit in "cfkCFK"}
    cases |= {text: (text,) for text in _WHOLE.get(language, "").split()}
    cases |= {parts.replace("|", ""): tuple(parts.split("|")) for parts in _PARTS.get(language, "").split()}
    for period in _TIMES.get(language, ()):
        cases |= {f"{hour}{period}": (str(hour), period) for hour in range(1, 13)}
    if language == "en":
        cases |= _english_cases()
    if language == "nl":
        for text in _WHOLE["nl"].split():
            cases |= {text.upper(): (text.upper(),), text.capitalize(): (text.capitalize(),)}
    curly = {text.replace("'", "’"): tuple(part.replace("'", "’") for part in parts) for text, parts in cases.items()}
    return curly | cases


def _english_cases() -> dict[str, tuple[str, ...]]:
    cases: dict[str, tuple[str, ...]] = {}
    for stems, endings in _ENGLISH:
        for stem in stems.split():
            for ending in endings:
                for start in (stem, stem.title()):
                    for parts in (ending, ending.replace("'", "")):
                        cases[start + parts.replace(" ", "")] = (start, *parts.split())
    for text in _ENGLISH_WHOLE.split():
        cases[text] = (text,)
    for text in _ENGLISH_CLIPPED.split():
        for start in (text, text.title()):
            cases |= {start: (start,), f"{start}'": (f"{start}'",)}
    cases |= {parts.replace("|", ""): tuple(parts.split("|")) for parts in _ENGLISH_PARTS.split()}
    for word in _ENGLISH_WORDS.split():
        cases.pop(word, None)
        cases.pop(word.title(), None)
    return cases
