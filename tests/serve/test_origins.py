from pellucid.evals.origins import TrainingOrigins
from pellucid.serve.origins import Origins


def test_a_runs_training_data_are_what_the_server_asks_for():
    wanted = {name for name in vars(Origins) if not name.startswith("_")}
    assert wanted == {"share_done", "is_ready", "prepare", "look_up"}
    assert wanted - {"share_done"} <= vars(TrainingOrigins).keys() and "share_done" in TrainingOrigins.__dataclass_fields__
