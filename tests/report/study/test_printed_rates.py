from pellucid.report.blocks import Table
from pellucid.report.html import render
from pellucid.report.study.printed_rates import printed_rates
from pellucid.studies.schedules.printed_means import printed_means


def test_the_print_is_marked_and_every_setting_says_by_how_much_it_is_off() -> None:
    table = next(block for block in printed_rates(printed_means()) if isinstance(block, Table))
    assert table.rows[-1].kind == "printed first" and table.rows[-1].cells[5:8] == ("1.5e-4", "1.13e-4", "1.67e-4")
    assert all(row.kind == "" for row in table.rows[:-1])
    by_name = {row.cells[0]: row.cells for row in table.rows}
    assert by_name["as the text says, no warm-up"][1:] == (
        *("3.00e-4", "0 %", "0 %", "10 %"),
        *("1.500e-4", "1.123e-4 (−0.7 %)", "1.685e-4 (+0.9 %)", "not all"),
    )
    assert by_name["3 % of warm-up, cool-down over 12 %"][5:] == ("1.500e-4", "1.129e-4", "1.671e-4", "all three")


def test_what_the_search_found_is_told_and_what_it_cannot_tell() -> None:
    found = printed_means()
    page = render(*printed_rates(found))
    for told in (
        f"{found['search']['as_text']['fitting']} of these have minimum 0 and a cool-down of 10 %",
        "a peak of 3e-4, the simplest, is not among them",
        "leaves open which it was",
        "3.0e-4: ",
        "Settings that fit",
    ):
        assert told in page, told


def test_a_search_that_found_nothing_says_so() -> None:
    found = printed_means()
    nothing = {"fitting": 0, "peak_low": None, "peak_high": None}
    found["search"] |= {"fitting": 0, "by_peak": [], "nearest": [], "as_text": nothing}
    page = render(*printed_rates(found))
    assert "None of these has minimum 0" in page and "two digits: none" in page and "Settings that fit" not in page


def test_where_the_simplest_peak_fits_that_is_not_denied() -> None:
    found = printed_means()
    found["search"]["as_text"] |= {"peak_low": 2.9e-4, "peak_high": 3.1e-4}
    page = render(*printed_rates(found))
    assert "with peaks from 2.900e-4 to 3.100e-4." in page and "the simplest" not in page
