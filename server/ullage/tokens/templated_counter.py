"""Counts for a model whose chat template is known: what is counted is the text that the server will tokenise."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs
from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolDefinition, speaks_of_tools
from ullage.conversation.usage import CountSource
from ullage.errors import UllageError
from ullage.tokens import overhead
from ullage.tokens.calibration import Calibration
from ullage.tokens.chat_template import ChatTemplate, ChatTemplateError
from ullage.tokens.special_text import COMMON_MARKERS
from ullage.tokens.text_counters import RemoteTexts, RemoteTokenizer, TextCounter, VocabularyTexts
from ullage.tokens.vocabulary import Vocabulary

_PROBES: tuple[tuple[SentMessage, ...], ...] = (
    (SentMessage("user", "\nAsk this.\n"), SentMessage("assistant", " Answer that. "), SentMessage("user", "\n\n")),
    (SentMessage("user", "Ask that."),),
    (
        SentMessage("system", " Rule.\n"),
        SentMessage("user", "\tAsk"),
        SentMessage("assistant", ""),
        SentMessage("user", "1"),
    ),
)
"""Conversations on which this side's count and the server's must agree; the last one only where system is accepted."""


@frozen
class TemplatedCounter:
    """``frame_tokens`` and ``additive`` were found when it was made, see `vocabulary_counter` and `remote_counter`.
    A ``calibration`` other than 1 is for a template that may not be the one in use."""

    tokenizer_name: str
    source: CountSource
    counts: TextCounter
    template: ChatTemplate
    additive: bool
    frame_tokens: int
    markers: Collection[str]
    bos: str = ""
    eos: str = ""
    remote: RemoteTokenizer | None = None
    model: str = ""
    calibration: Calibration = Calibration()

    @property
    def tokenizer(self) -> str:
        return f"{self.tokenizer_name}:{self.template.digest}:{self.calibration.factor:g}"

    @property
    def additive_with_tools(self) -> bool:
        return self.additive and self.template.accepts_tools

    @property
    def frame(self) -> int:
        return self.calibration.apply(self.frame_tokens)

    @property
    def accepts_system(self) -> bool:
        return self.template.accepts_system

    async def texts(self, texts: Sequence[str]) -> list[int]:
        return await self.counts.count(texts)

    async def pieces(self, messages: Sequence[SentMessage], *, leading: bool) -> list[int]:
        if not self.template.accepts_tools and any(map(speaks_of_tools, messages)):
            return await self._rough_pieces(messages)
        try:
            texts = [self.template.piece(m, leading=leading and n == 0) for n, m in enumerate(messages)]
        except ChatTemplateError:
            return await self._rough_pieces(messages)
        return [self.calibration.apply(tokens) for tokens in await self.counts.count(texts, rendered=True)]

    async def prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition] = ()) -> int:
        foreign = not self.template.accepts_tools and (bool(tools) or any(map(speaks_of_tools, messages)))
        if self.source == "provider" or foreign:
            tokens = await self._remote_prompt(messages, tools)
            if tokens is not None:
                return tokens
        if foreign:
            return await self._rough_prompt(messages, tools)
        try:
            text = self.template.render(messages, tools)
        except ChatTemplateError:
            return await self._rough_prompt(messages, tools)
        [tokens] = await self.counts.count([text], rendered=True)
        return self.calibration.apply(tokens + _added(text, self.bos, self.eos))

    def calibrated(self, calibration: Calibration) -> TemplatedCounter:
        return self if self.source != "estimate" else attrs.evolve(self, calibration=calibration)

    async def _remote_prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]) -> int | None:
        return await self.remote.count_prompt(self.model, messages, tools) if self.remote is not None else None

    async def _rough_prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]) -> int:
        """Where neither template nor server can say."""
        definitions = sum(await self.counts.count(overhead.tool_texts(tools))) + overhead.tools_overhead(tools)
        return self.calibration.apply(sum(await self._rough_pieces(messages)) + self.frame_tokens + definitions)

    async def _rough_pieces(self, messages: Sequence[SentMessage]) -> list[int]:
        """Texts and a documented overhead, for messages that the template refuses or leaves out."""
        return [
            sum(await self.counts.count(overhead.message_texts(message))) + overhead.message_overhead(message)
            for message in messages
        ]


def vocabulary_counter(
    vocabulary: Vocabulary,
    template: ChatTemplate,
    remote: RemoteTokenizer | None = None,
    model: str = "",
    *,
    source: CountSource = "vocabulary",
    calibration: Calibration = Calibration(),  # noqa: B008  # a frozen value
) -> TemplatedCounter:
    """Raises ChatTemplateError for a template that does not render a plain question.

    Tokens that the vocabulary reads even in plain text are among the markers where they set turns apart.
    """
    question, *_ = _PROBES[1]
    opening, turns = template.piece(question, leading=True), template.render([question])
    bos = vocabulary.bos if vocabulary.adds_bos else ""
    eos = vocabulary.eos if vocabulary.adds_eos else ""
    apart = template.additive and all(map(vocabulary.begins_special, template.openings))
    ending = template.generation_prompt
    frame = vocabulary.count_rendered(ending) + _added(opening, bos) + _added(ending, eos=eos)
    return TemplatedCounter(
        f"vocabulary:{vocabulary.fingerprint}",
        source,
        VocabularyTexts(vocabulary),
        template,
        apart,
        frame,
        vocabulary.special_texts | {text for text in vocabulary.always_read if text in turns},
        bos,
        eos,
        remote,
        model,
        calibration,
    )


def _added(text: str, bos: str = "", eos: str = "") -> int:
    """How many of the tokens that the engine puts around a prompt are not in its text already; empty: none is put."""
    return (bool(bos) and not text.startswith(bos)) + (bool(eos) and not text.endswith(eos))


async def agrees(counter: TemplatedCounter) -> bool:
    """Whether the server counts the same for a few conversations; True where it can't be asked."""
    try:
        for messages in _probes(counter):
            told = await counter._remote_prompt(messages, ())
            if told is None:
                return True
            if told != await counter.prompt(messages):
                return False
    except UllageError:
        return True
    return True


async def remote_counter(remote: RemoteTokenizer, model: str, template: ChatTemplate) -> TemplatedCounter | None:
    """A counter by the server's own tokenizer, its frame measured; None where the server does not count prompts and the
    template can't be taken apart. Pieces are added up only if that gave the server's own figure for every probe."""
    texts = RemoteTexts(remote, model)
    counter = TemplatedCounter(
        f"provider:{model}", "provider", texts, template, False, 0, COMMON_MARKERS, remote=remote, model=model
    )
    frames = set()
    for messages in _probes(counter):
        told = await remote.count_prompt(model, messages, ())
        if told is None:
            return None
        if template.additive:
            frames.add(told - sum(await counter.pieces(messages, leading=True)))
    if len(frames) != 1:
        return counter
    return attrs.evolve(counter, additive=True, frame_tokens=frames.pop())


def _probes(counter: TemplatedCounter) -> Sequence[tuple[SentMessage, ...]]:
    return _PROBES if counter.accepts_system else _PROBES[:2]
