import pytest

from pellucid.documents.cleaning.contractions import special_cases


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "it", "nl", "pt", "xx"])
def test_parts_put_together_are_the_string(language: str) -> None:
    cases = special_cases(language)
    assert all("".join(parts) == text and all(parts) for text, parts in cases.items())
    assert cases["8-)"] == ("8-)",) and cases["z."] == ("z.",)


def test_english_contractions_fall_apart_with_any_apostrophe_or_none() -> None:
    cases = special_cases("en")
    assert cases["shouldn't've"] == ("should", "n't", "'ve")
    assert cases["Don’t"] == ("Do", "n’t") and cases["dont"] == ("do", "nt")
    assert cases["cannot"] == ("can", "not") and cases["11pm"] == ("11", "pm")
    assert not {"its", "Well", "were", "hell"} & cases.keys()
    assert len(cases) > 700


def test_abbreviations_belong_to_their_language() -> None:
    assert "bzw." in special_cases("de") and "bzw." not in special_cases("en")
    assert special_cases("nl")["BLZ."] == ("BLZ.",)
