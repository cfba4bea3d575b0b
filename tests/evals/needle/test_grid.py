import pytest

from pellucid.evals.needle.grid import Cell, Grid, choose_grid, mean_and_deviation, percents
from pellucid.recipe.suites import NeedleConfig


def test_the_grid_of_the_report_has_8_lengths_35_depths_10_seeds() -> None:
    grid = choose_grid(NeedleConfig(), 4048)
    cells = list(grid.cells())
    assert (len(grid.lengths), len(grid.depths), len(cells)) == (8, 35, 2800)
    assert (grid.lengths[0], grid.lengths[-1], grid.depths[0], grid.depths[-1]) == (500, 4000, 0, 100)
    assert len({cell.item for cell in cells}) == 2800
    assert cells[1].item == "500/2.94/0"


@pytest.mark.parametrize(
    ("room", "lengths"), [(None, (150, 300, 600)), (5000, (150, 300, 600)), (488, (120, 240, 480)), (31, (7, 15, 31))]
)
def test_a_quick_grid_takes_round_parts_of_what_there_is_room_for(room: int | None, lengths: tuple[int, ...]) -> None:
    grid = choose_grid(NeedleConfig(quick=True), room)
    assert grid.lengths == lengths
    assert (len(grid.depths), grid.seeds) == (5, 2)


def test_a_quick_grid_keeps_what_was_given() -> None:
    grid = choose_grid(NeedleConfig(quick=True, lengths=(900, 300), depths=1), 700)
    assert grid == Grid((300, 900), (50.0,), 2)


def test_depths_are_even() -> None:
    assert percents(5) == (0, 25, 50, 75, 100)
    assert percents(2) == (0, 100)


def test_a_limit_chooses_by_seed_and_a_larger_one_keeps_the_smaller() -> None:
    grid = choose_grid(NeedleConfig(), None)
    few, more = grid.chosen(1, 20), grid.chosen(1, 60)
    assert len(few) == 20
    assert set(few) < set(more)
    assert few == grid.chosen(1, 20) != grid.chosen(2, 20)
    assert grid.chosen(1, None) == grid.chosen(1, 2800) == list(grid.cells())


def test_tables_hold_mean_and_deviation_over_seeds() -> None:
    grid = Grid((100, 200), (0.0, 100.0), 3)
    values = {Cell(100, 0.0, 0).item: 1.0, Cell(100, 0.0, 1).item: 0.0, Cell(100, 0.0, 2).item: 0.5, Cell(200, 100.0, 1).item: 1.0}
    table = mean_and_deviation(grid, values, (0.0, 1.0))
    assert table["mean"] == [[0.5, None], [None, 1.0]]
    assert table["deviation"] == [[0.5, None], [None, None]]
    assert table["count"] == [[3, 0], [0, 1]]
    assert table["seeds"] == [1.0, 0.5, 0.5]
    assert table["value"] == pytest.approx(2 / 3)
    assert table["deviation_of_seeds"] == pytest.approx((1 / 12) ** 0.5)


def test_a_quick_grid_stays_quick_when_its_settings_are_written_and_read() -> None:
    config = NeedleConfig(quick=True, seeds=3)
    assert choose_grid(NeedleConfig.model_validate(config.model_dump()), None) == choose_grid(config, None)
