from pellucid.evals.subject import Decoding, Setting, Usage


def test_by_default_an_answer_is_greedy_and_no_code_is_run() -> None:
    assert Decoding().temperature == 0
    assert not Setting().allow_code_execution
    assert Usage().cost_usd is None
