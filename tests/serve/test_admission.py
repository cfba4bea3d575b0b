import pytest

from pellucid.serve.admission import Admission
from pellucid.serve.errors import ApiError


def test_places_are_given_and_given_back():
    admission = Admission(slots=2, max_waiting=2, max_sequences=3)
    with admission.admit(3):
        with admission.admit(1):
            assert admission.inside == 4
            with pytest.raises(ApiError) as full, admission.admit(1):
                pass
            assert full.value.status == 429 and int(full.value.headers["Retry-After"]) >= 1
        with admission.admit(1):
            pass
    assert admission.inside == 0


def test_a_request_that_can_never_fit_is_told_so_and_not_to_come_again():
    with pytest.raises(ApiError) as error, Admission(2, 0, 128).admit(3):
        pass
    assert error.value.status == 400 and "at most 2" in str(error.value)


def test_places_come_back_after_an_error_and_nobody_enters_at_the_end():
    admission = Admission(1, 0, 1)
    with pytest.raises(ZeroDivisionError), admission.admit(1):
        raise ZeroDivisionError
    assert admission.inside == 0
    admission.draining = True
    with pytest.raises(ApiError) as error, admission.admit(1):
        pass
    assert error.value.status == 503
