import lzma

from pellucid.evals.compression import compress_groups, xz_compress
from pellucid.evals.records import HeldoutDocument

GERMAN = "Der Schnee lag hoch vor den Türen, und niemand ging hinaus. "
FRENCH = "La neige était haute devant les portes, et personne ne sortait. "


def test_the_size_is_that_of_the_file_xz_would_write():
    found = xz_compress([GERMAN, GERMAN, FRENCH])
    data = (GERMAN + GERMAN + FRENCH).encode()
    assert found.text_bytes == len(data)
    assert found.compressed_bytes == len(lzma.compress(data, preset=9))
    assert found.bits_per_byte == 8 * found.compressed_bytes / len(data)


def test_the_documents_of_a_group_are_compressed_as_one_file():
    documents = [
        HeldoutDocument("a", "letters", "de", GERMAN),
        HeldoutDocument("b", "books", "fr", FRENCH),
        HeldoutDocument("c", "books", "de", GERMAN),
    ]
    by_language = compress_groups(documents, lambda document: document.language)
    assert by_language == {"de": xz_compress([GERMAN, GERMAN]), "fr": xz_compress([FRENCH])}
    assert sorted(compress_groups(documents, lambda document: document.source)) == ["books", "letters"]


def test_a_group_without_text_has_no_figure():
    assert compress_groups([HeldoutDocument("a", "empty", "en", "")], lambda document: document.source) == {}
