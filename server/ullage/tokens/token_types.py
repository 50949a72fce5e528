"""What each token of a vocabulary is, after the corrections that llama.cpp makes by name when it loads the file.

The corrections: ``llama_vocab::impl::load`` in llama.cpp's ``src/llama-vocab.cpp``. They matter because text is
searched for user-defined tokens always, and for control tokens only where special text is meant to be read as such.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4

_END_OF_GENERATION = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
        "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
        "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    }
)  # fmt: skip  # one token a line would be a page

_FILL_IN_MIDDLE: dict[str, tuple[str, ...]] = {
    "fim_pre": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}  # fmt: skip  # as above
"""Tokens that are control tokens where the file does not itself name a token for the purpose."""

_HARMONY = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


@frozen
class SpecialTokens:
    """Texts and ids of tokens that text is searched for: ``always``, or only where special text is read (``control``,
    unknown tokens included). ``markers`` are those that set turns apart and nobody but a template may write."""

    always: Mapping[str, int]
    control: Mapping[str, int]
    markers: frozenset[str]


def special_tokens(
    ids: Mapping[str, int], types: Sequence[int] | None, named_purposes: Collection[str] = ()
) -> SpecialTokens:
    """``types`` are the file's own, by id, None where it has none; ``named_purposes`` are the keys of
    fill-in-the-middle that it sets itself."""
    known = {text: types[id_] for text, id_ in ids.items()} if types is not None else {}
    found = {text: type_ for text, type_ in known.items() if type_ in (UNKNOWN, CONTROL, USER_DEFINED)}
    _correct(found, ids, named_purposes)
    always = {text: ids[text] for text, type_ in found.items() if type_ == USER_DEFINED}
    control = {text: ids[text] for text, type_ in found.items() if type_ in (UNKNOWN, CONTROL)}
    return SpecialTokens(always, control, frozenset(control).union(always.keys() & {*_HARMONY, "<|end|>"}))


def _correct(found: dict[str, int], ids: Mapping[str, int], named_purposes: Collection[str]) -> None:
    for purpose, texts in _FILL_IN_MIDDLE.items():
        if purpose not in named_purposes:
            found.update({text: CONTROL for text in texts if text in ids})
    found.update({text: CONTROL for text in _END_OF_GENERATION if text in ids})
    found.update({text: USER_DEFINED for text in _HARMONY if text in ids})
    calls = "<|call|>" in ids or "<|calls|>" in ids
    if "<|end|>" in ids and calls and ("<|return|>" in ids or "<|flush|>" in ids):
        found["<|end|>"] = USER_DEFINED
    if "<|tool_response>" in ids:
        found.pop("</s>", None)
