"""Words that nearly every text of a language holds; a text without them is hardly prose."""

__all__ = ["STOP_WORDS"]

STOP_WORDS: dict[str, tuple[str, ...]] = {
    # Gopher's eight (Rae et al. 2021, Appendix A1.1)
    "en": ("the", "be", "to", "of", "and", "that", "have", "with"),
    # The most frequent articles, conjunctions, prepositions and auxiliaries of the others, ours.
    "de": ("der", "die", "das", "und", "in", "zu", "den", "ist", "von", "mit", "nicht", "ein", "eine", "auf"),
    "es": ("de", "la", "que", "el", "en", "y", "los", "se", "del", "las", "por", "con", "para", "una"),
    "fr": ("de", "la", "le", "et", "les", "des", "en", "un", "une", "que", "est", "pour", "dans", "qui"),
    "it": ("di", "che", "e", "la", "il", "un", "per", "in", "una", "è", "del", "non", "con", "della"),
    "nl": ("de", "het", "een", "van", "en", "in", "is", "dat", "op", "te", "met", "voor", "niet", "zijn"),
    "pt": ("de", "que", "e", "o", "a", "do", "da", "em", "um", "para", "com", "não", "uma", "os"),
}
