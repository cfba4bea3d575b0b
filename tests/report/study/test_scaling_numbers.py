from pellucid.report.study.scaling_numbers import interval, percent, yes_no


def test_numbers_have_a_true_minus_and_an_interval_only_where_there_is_one() -> None:
    assert interval(1.93249, 1.8711, 1.9954) == "1.932 [1.871, 1.995]"
    assert interval(-0.5, None, None) == "−0.500"
    assert interval(None, None, None) == "–"
    assert (percent(1.2378), percent(-0.3149), percent(-0.0001), percent(None)) == ("+1.24", "−0.31", "+0.00", None)
    assert (yes_no(True), yes_no(False), yes_no(None)) == ("yes", "no", None)
