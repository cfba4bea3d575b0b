import pytest

from pellucid.cli.main import build_parser


def test_one_way_of_watching_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    found = parser.parse_args(["watch", "runs/a", "runs/b", "--web", "--port", "0"])
    assert found.runs == ["runs/a", "runs/b"]
    assert (found.web, found.port, found.every_s, found.to, found.once) == (True, 0, 2.0, None, False)
    for wrong in (["--web", "--once"], ["--to", "mlflow"], ["--to", "wandb", "--json"]):
        with pytest.raises(SystemExit):
            parser.parse_args(["watch", "runs/a", *wrong])
    assert "not allowed with" in capsys.readouterr().err
