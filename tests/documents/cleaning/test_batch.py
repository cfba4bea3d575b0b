import numpy as np

from pellucid.documents.cleaning.batch import TextBatch


def test_the_first_reason_stays() -> None:
    batch = TextBatch(["a", "b", "c"], ["en"] * 3)
    batch.drop(1, "short", "1 word")
    batch.drop_where(np.array([False, True, True]), "other", np.array([0.0, 1.0, 2.5]))
    assert batch.rows == [0]
    assert batch.reasons == [None, "short", "other"] and batch.details == ["", "1 word", "2.5"]


def test_passes_are_forgotten_when_a_text_changes() -> None:
    batch = TextBatch(["a", "b"], ["en", "de"])
    batch.cache["words"] = 1
    batch.replace(0, "a")
    assert batch.cache == {"words": 1}
    batch.replace(0, "A")
    assert batch.cache == {} and batch.texts == ["A", "b"]
