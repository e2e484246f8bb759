"""Words of any script; on plain English they are LaMP's."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer

from pplug.data.words import has_other_letters, unicode_words


@given(st.text(st.characters(max_codepoint=127)))
def test_on_ascii_text_the_words_are_lamps(text):
    assert unicode_words(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)
    assert not has_other_letters(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Bär, Bör!", ["bär", "bör"]),
        ("Мир и труд", ["мир", "и", "труд"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("東京 2020年", ["東", "京", "2020", "年"]),
        ("ＡＢＣ abc", ["abc", "abc"]),
        ("don’t—stop…", ["don", "t", "stop"]),
        ("한국어 제목", ["한국어", "제목"]),
        ("", []),
    ],
)
def test_words_by_hand(text, words):
    assert unicode_words(text) == words
    assert unicode_words(unicodedata.normalize("NFD", text)) == words, "the same text, its marks apart"


@given(st.text())
def test_a_word_is_never_empty_and_case_does_not_matter(text):
    assert all(unicode_words(text))
    assert all(not word.isspace() and word == word.strip() for word in unicode_words(text))


@pytest.mark.parametrize(("text", "has"), [("don’t — “stop” 😀", False), ("Beyoncé", True), ("٣", True), ("東", True)])
def test_punctuation_is_no_letter(text, has):
    assert has_other_letters(text) == has
