"""Which counter a model gets: the most exact that can be had, and never a request to anything but its own server.

1. The vocabulary in the model's GGUF file, where it can be read on this machine: as exact as asking the server, ten
   times as fast, and no request at all unless the two are to be compared.
2. The server's own tokenizer, or at least its count of whole prompts.
3. tiktoken's o200k vocabulary, with a factor learned from what the server reports.
4. A token for every four characters, likewise.

Where the server's chat template is not known, what it adds to messages is estimated, and the count claims no more.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import attrs

from ullage.conversation.messages import SentMessage
from ullage.errors import UllageError
from ullage.tokens.calibration import Calibration
from ullage.tokens.chat_template import ChatTemplate, ChatTemplateError
from ullage.tokens.counter import PromptCounter, scaled
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.gguf import GgufError
from ullage.tokens.pretokenizers import UnsupportedVocabulary
from ullage.tokens.special_text import COMMON_MARKERS
from ullage.tokens.templated_counter import agrees, remote_counter, vocabulary_counter
from ullage.tokens.text_counters import CharacterTexts, EncoderTexts, RemoteTexts, RemoteTokenizer, VocabularyTexts
from ullage.tokens.tiktoken_vocabulary import o200k
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

logger = logging.getLogger(__name__)


async def choose_counter(
    remote: RemoteTokenizer | None,
    model: str,
    *,
    model_file: Path | None = None,
    chat_template: str | None = None,
    own_template: bool = False,
    verified: bool = True,
    calibration: Calibration = Calibration(),  # noqa: B008  # a frozen value
    multiplier: float = 1.0,
) -> PromptCounter:
    """The counter for ``model``. ``chat_template`` is the Jinja source that the server says it uses, None where it does
    not say; ``own_template``: it is the one in the file. ``verified``: a vocabulary is used only if the server agrees
    on a few conversations; without, the server is not asked. ``multiplier`` is the person's own. Never raises for a
    server that fails or a file that can't be read."""
    counter: PromptCounter | None = None
    vocabulary = await _vocabulary(model_file)
    if vocabulary is not None:
        source = vocabulary.chat_template if own_template else chat_template
        if source is None:
            counter = _with_own_template(vocabulary, calibration)
        else:
            counter = await _with_template(vocabulary, source, remote, model, verified=verified)
    counter = counter or await _by_server(remote, model, chat_template, calibration)
    return scaled(counter or await fallback_counter(calibration), multiplier)


async def fallback_counter(calibration: Calibration = Calibration()) -> EstimatingCounter:  # noqa: B008  # a frozen value
    """For a model of which nothing is known, or none at all: tiktoken, else characters."""
    encoder = await asyncio.to_thread(o200k)
    if encoder is None:
        return EstimatingCounter("characters", "estimate", CharacterTexts(), calibration)
    return EstimatingCounter("o200k", "tiktoken", EncoderTexts(encoder), calibration, scales_texts=True)


async def _vocabulary(model_file: Path | None) -> Vocabulary | None:
    if model_file is None:
        return None
    try:
        return await asyncio.to_thread(_ready_vocabulary, model_file)
    except (GgufError, UnsupportedVocabulary) as error:
        logger.info("Tokens are not counted by the model's own vocabulary: %s", error)
        return None


def _ready_vocabulary(model_file: Path) -> Vocabulary:
    """Counts once, so that what is built at the first count is built here and not on the event loop."""
    vocabulary = read_vocabulary(model_file)
    vocabulary.count(" ")
    return vocabulary


async def _with_template(
    vocabulary: Vocabulary, source: str, remote: RemoteTokenizer | None, model: str, *, verified: bool
) -> PromptCounter | None:
    """llama.cpp tells templates that a model can think only if it finds out so itself: both are tried."""
    for enable_thinking in (True, False):
        template = ChatTemplate(source, vocabulary.bos, vocabulary.eos, enable_thinking=enable_thinking)
        try:
            counter = vocabulary_counter(vocabulary, template, remote, model)
        except ChatTemplateError as error:
            logger.info("The chat template can't be used for counting: %s", error)
            return None
        if not verified or await agrees(counter):
            return counter
    logger.info("The server counts otherwise than the model's own vocabulary: it is asked from now on.")
    return None


def _with_own_template(vocabulary: Vocabulary, calibration: Calibration) -> PromptCounter:
    """The file's template is a good guess at what a server with another template adds, and no more than that."""
    if vocabulary.chat_template is not None:
        template = ChatTemplate(vocabulary.chat_template, vocabulary.bos, vocabulary.eos)
        try:
            return vocabulary_counter(vocabulary, template, source="estimate", calibration=calibration)
        except ChatTemplateError as error:
            logger.info("The file's chat template can't be used for counting: %s", error)
    name = f"vocabulary:{vocabulary.fingerprint}"
    markers = vocabulary.special_texts
    return EstimatingCounter(name, "estimate", VocabularyTexts(vocabulary), calibration, markers=markers)


async def _by_server(
    remote: RemoteTokenizer | None, model: str, chat_template: str | None, calibration: Calibration
) -> PromptCounter | None:
    if remote is None:
        return None
    try:
        if await remote.count_texts(model, ["Count this."]) is None:
            return await _by_prompts(remote, model, calibration)
        if chat_template is not None and (counter := await _by_server_with(remote, model, chat_template)) is not None:
            return counter
        return await _by_server_alone(remote, model, calibration)
    except UllageError as error:
        logger.info("The server does not count tokens now: %s", error.kind)
        return None


async def _by_prompts(remote: RemoteTokenizer, model: str, calibration: Calibration) -> PromptCounter | None:
    """Whole prompts by the server, and single texts by what stands in for its tokenizer."""
    if await remote.count_prompt(model, [SentMessage("user", "Count this.")], ()) is None:
        return None
    texts = await fallback_counter(calibration)
    name = f"provider:{model}:{texts.name}"
    return attrs.evolve(texts, name=name, source="provider", remote=remote, model=model)


async def _by_server_with(remote: RemoteTokenizer, model: str, source: str) -> PromptCounter | None:
    try:
        return await remote_counter(remote, model, ChatTemplate(source))
    except ChatTemplateError:
        return None


async def _by_server_alone(remote: RemoteTokenizer, model: str, calibration: Calibration) -> PromptCounter:
    texts = RemoteTexts(remote, model)
    if await remote.count_prompt(model, [SentMessage("user", "Count this.")], ()) is None:
        return EstimatingCounter(f"provider:{model}", "estimate", texts, calibration)
    return EstimatingCounter(f"provider:{model}", "provider", texts, markers=COMMON_MARKERS, remote=remote, model=model)
