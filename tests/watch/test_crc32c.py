import random

from pellucid.watch.crc32c import crc32c, masked


def test_the_checksums_of_the_standard() -> None:
    # RFC 3720, appendix B.4
    assert crc32c([bytes(32), b"\xff" * 32, bytes(range(32)), b"123456789", b""]) == [
        0x8A9136AA,
        0x62A8AB43,
        0x46DD794E,
        0xE3069283,
        0,
    ]


def test_many_at_once_are_what_each_is_by_itself() -> None:
    draw = random.Random(1)
    blobs = [draw.randbytes(draw.randrange(200)) for _ in range(300)]
    assert crc32c(blobs) == [crc32c([blob])[0] for blob in blobs]


def test_the_mask_can_be_taken_off_again() -> None:
    for crc in crc32c([b"a", b"b", b"123456789"]):
        turned = (masked(crc) - 0xA282EAD8) & 0xFFFFFFFF
        assert (turned >> 17 | turned << 15) & 0xFFFFFFFF == crc
