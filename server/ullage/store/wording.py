"""What was said and what a person types, in the form in which the search index knows them.

FTS5's tokenizer takes what stands between spaces and punctuation for a word. Chinese, Japanese, Thai and their like are
written without spaces, so there every character is made a word of its own, and what is typed becomes a phrase of them:
any piece of a sentence is found, however short. FTS5's own means, the trigram tokenizer, finds nothing of fewer than
three characters, where most Chinese words have two. Hangul is treated alike, since its particles cling to the words.
"""

from __future__ import annotations

import re
import unicodedata

from ullage.errors import InvalidArgument

LONGEST_QUERY = 1000
"""In characters: far more than anybody types, and few enough for FTS5's parser."""

# Marks belong to the words: without them a Hindi word would fall to pieces at each of its vowels.
TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"

_SEPARATOR = "\x1f"
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_QUOTES = re.compile("[\u201c\u201d\u201e]")
_PIECE = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')
_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u1100-\u11ff\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3040-\u31ff\uff66-\uff9f"  # Hiragana, Katakana, Bopomofo, Hangul letters
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
    "]"
)


def separated(text: str) -> str:
    """With separators around characters that are words of their own; other control characters become spaces."""
    text = _CONTROLS.sub(" ", text)
    if text.isascii():
        return text
    return _UNSPACED.sub(rf"{_SEPARATOR}\g<0>{_SEPARATOR}", unicodedata.normalize("NFC", text))


def joined(text: str) -> str:
    """The text that was separated."""
    return text.replace(_SEPARATOR, "")


def match_expression(query: str) -> str | None:
    """FTS5's expression for: every word occurs, what stands in quotes as a phrase, what ends with * as a beginning.

    Every word is quoted, so that nothing in it is FTS5's own syntax. None where there is no word to look for.
    InvalidArgument where the query is longer than LONGEST_QUERY.
    """
    if len(query) > LONGEST_QUERY:
        raise InvalidArgument(f"Search for at most {LONGEST_QUERY:,} characters at a time.", "query")
    # No message holds half of a surrogate pair.
    well_formed = query.encode("utf-8", "replace").decode()
    pieces = _PIECE.findall(_QUOTES.sub('"', well_formed))
    terms = [_term(phrase or word, star) for phrase, star, word in pieces if _has_words(phrase or word)]
    return " ".join(dict.fromkeys(terms)) or None


def _term(text: str, star: str) -> str:
    return f'"{separated(text)}"' + (" *" if star or text.endswith("*") else "")


def _has_words(text: str) -> bool:
    return any(category[0] in "LNM" or category == "Co" for category in map(unicodedata.category, text))
