from pellucid.generate.engine import Finished, GenerationRequest, PromptScored, Token
from pellucid.generate.sampling import Sampling


def test_a_request_asks_for_no_log_probabilities_unless_it_says_so() -> None:
    request = GenerationRequest((1, 2), 3, Sampling())
    assert (request.top_logprobs, request.prompt_logprobs, request.stop_ids) == (None, False, frozenset())


def test_events_are_told_apart_by_their_types() -> None:
    events = [PromptScored((Token(1),)), Token(5, -0.5, ((5, -0.5), (6, -1.0))), Finished("stop_id", 1, 1, stopped_by=9)]
    assert [type(event) for event in events] == [PromptScored, Token, Finished]
    assert not any(isinstance(event, Token) for event in (events[0], events[2]))
