from collections.abc import Callable
from pathlib import Path
from typing import Any

from pellucid.verify.certificates import check_certificates
from pellucid.verify.evidence import Evidence


def faults_of(run: Path) -> list[str]:
    return check_certificates(Evidence(run)).faults


def test_every_export_is_the_one_that_was_certified(finished_run: Path) -> None:
    findings = check_certificates(Evidence(finished_run))
    certified = [path for path in (finished_run / "exports").rglob("*") if path.is_file() and path.parent.name in ("hf", "gguf")]
    assert findings.faults == [] and findings.looked == len(certified)


def test_a_file_that_is_altered_gone_or_new_is_named_with_its_export(run_copy: Path) -> None:
    exports = run_copy / "exports"
    model, config, gguf = exports / "hf" / "model.safetensors", exports / "hf" / "config.json", exports / "gguf" / "model-Q8_0.gguf"
    model.write_bytes(model.read_bytes()[:-1] + b"\x7f")
    config.unlink()
    (exports / "hf" / "modeling.py").touch()
    gguf.unlink()
    said = {line.split(" ")[0]: line for line in faults_of(run_copy)}
    assert said.keys() == {str(config), str(model), str(exports / "hf" / "modeling.py"), str(gguf)}
    assert "was not there when hf was certified" in said[str(exports / "hf" / "modeling.py")]
    assert "the certificate of gguf-Q8_0 is of it" in said[str(gguf)]


def test_a_certificate_that_did_not_pass_or_is_of_another_step_is_a_fault(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def spoil(told: dict[str, Any]) -> None:
        told["formats"]["hf"]["certificate"]["passed"] = False
        told["checkpoint_step"] = 1
        told["formats"]["gguf-F16"]["place"] = "../../elsewhere"

    rewrite(run_copy / "exports" / "export.json", spoil)
    said = "\n".join(faults_of(run_copy))
    assert "the certificate of hf did not pass" in said
    assert "checkpoint_step: the last stage ended at 4; got 1" in said
    assert "'../../elsewhere'; must be a folder or a file inside exports" in said


def test_what_is_no_certificate_is_a_fault(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(run_copy / "exports" / "export.json", lambda told: told.update(formats=[3]))
    assert any("export.json" in line for line in faults_of(run_copy))


def test_weights_that_a_release_leaves_out_are_no_fault(run_copy: Path, release: Callable[..., Path]) -> None:
    assert faults_of(release(run_copy, ["exports/hf/model.safetensors", "exports/gguf/model-F16.gguf"])) == []
