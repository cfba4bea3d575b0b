import threading
from pathlib import Path

import pytest
import torch

from pellucid.checkpoint import background
from pellucid.checkpoint.background import BackgroundWriter
from pellucid.checkpoint.files import load_checkpoint
from pellucid.recipe.training import CheckpointConfig

META = {"seed": 1, "model": {}}


def test_what_is_written_is_the_state_of_the_moment_whatever_changes_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    save = background.save_checkpoint

    def slow(*args: object, **options: object) -> Path:
        assert go_on.wait(60)
        return save(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(background, "save_checkpoint", slow)
    writer = BackgroundWriter(tmp_path, CheckpointConfig())
    weight, progress = torch.ones(3), {"tokens": 5, "nats": {"law": 1.5}}
    writer.write(1, {"model": {"w": weight}, "progress": progress}, meta=META)
    weight.zero_()
    progress["tokens"] = 6
    assert not list(tmp_path.glob("step-*"))
    go_on.set()
    path = writer.wait()
    assert path == tmp_path / "step-00000001" and writer.wait() is None
    state, meta = load_checkpoint(path)
    assert state["model"]["w"].tolist() == [1, 1, 1] and meta == META
    assert state["progress"] == {"tokens": 5, "nats": {"law": 1.5}}
    writer.write(2, {"model": {"w": weight}, "progress": progress}, meta=META)
    writer.write(3, {"model": {"w": weight + 1}, "progress": progress}, meta=META)
    writer.close()
    assert [path.name for path in sorted(tmp_path.glob("*"))] == ["step-00000002", "step-00000003"]  # keep_last is 2
    assert load_checkpoint(tmp_path / "step-00000003")[0]["model"]["w"].tolist() == [1, 1, 1]


def test_what_went_wrong_beside_training_is_raised_by_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = BackgroundWriter(tmp_path / "file", CheckpointConfig())
    writer.write(1, {"model": {"w": torch.ones(1)}}, meta=META)
    with pytest.raises(NotADirectoryError):
        writer.write(2, {"model": {"w": torch.ones(1)}}, meta=META)
    assert writer.wait() is None
    writer.close()
