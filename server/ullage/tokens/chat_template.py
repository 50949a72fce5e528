"""A model's chat template: the text that a conversation becomes before it is tokenised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition

if TYPE_CHECKING:
    from jinja2 import Template

    from ullage.tokens.template_sandbox import TemplateSandbox

MAX_SOURCE = 1 << 20

_USER = SentMessage("user", "Ullage asks")
_ASSISTANT = SentMessage("assistant", "Ullage answers")
_CALL = SentMessage("assistant", "", tool_calls=(ToolCall("call00001", "ullage_probe", '{"depth": 1}'),))
_RESULT = SentMessage("tool", "Ullage found", name="ullage_probe", tool_call_id="call00001")
_TOOL = ToolDefinition("ullage_probe", "Ullage looks", {"type": "object", "properties": {}})


class ChatTemplateError(ValueError):
    """The template can't be read, refuses this conversation, or does more than a template may."""


class ChatTemplate:
    """``source`` is Jinja as it stands in a model file; ``bos`` and ``eos`` are the texts of those tokens.

    Renders as llama.cpp does, prompts of its ``/apply-template`` being the measure; but the BOS token that llama.cpp
    takes off again is left to the caller. ``enable_thinking`` is what llama.cpp passes under that name: true where it
    finds that the model can think. One thread at a time. The source is compiled at the first render.
    """

    def __init__(
        self,
        source: str,
        bos: str = "",
        eos: str = "",
        *,
        enable_thinking: bool = True,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.source = source
        self.bos = bos
        self.eos = eos
        self.enable_thinking = enable_thinking
        self._now = now
        self._failure: ChatTemplateError | None = None

    @cached_property
    def digest(self) -> str:
        """The same for templates that render alike."""
        identity = json.dumps([self.source, self.bos, self.eos, self.enable_thinking])
        return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]

    def render(
        self,
        messages: Sequence[SentMessage],
        tools: Sequence[ToolDefinition] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt's text. Raises ChatTemplateError where the template does not take this conversation."""
        if messages and messages[0].role == "system" and not self.accepts_system:
            messages = _system_merged(messages)
        arguments = _parsed_arguments if self._wants_parsed_arguments else _plain_arguments
        return self._render(messages, tools, arguments, add_generation_prompt=add_generation_prompt)

    @cached_property
    def accepts_system(self) -> bool:
        system = SentMessage("system", "Ullage rules")
        return self._shows(system.content, [system, _USER])

    @cached_property
    def accepts_tools(self) -> bool:
        """Whether tool definitions, calls and results all reach the model."""
        return (
            self._shows(_TOOL.description, [_USER], [_TOOL])
            and self._shows(_CALL.tool_calls[0].name, [_USER, _CALL, _RESULT])
            and self._shows(_RESULT.content, [_USER, _CALL, _RESULT])
        )

    @cached_property
    def additive(self) -> bool:
        """Whether a prompt is the pieces of its messages one after another and then the generation prompt, a piece
        depending on nothing but its message and whether that opens the conversation. Found by rendering conversations.
        """
        try:
            return all(self._is_sum(conversation) for conversation in _probes(self))
        except ChatTemplateError:
            return False

    @cached_property
    def generation_prompt(self) -> str:
        """What stands behind the last message to make the model answer."""
        bare = self.render([_USER], add_generation_prompt=False)
        return _behind(bare, self.render([_USER]))

    @cached_property
    def openings(self) -> tuple[str, ...]:
        """The generation prompt and a piece of every kind, for whoever must know how pieces begin. The piece that opens
        a conversation is not among them: nothing is before it."""
        conversations = _probes(self)
        followers = {message for conversation in conversations for message in conversation[1:]}
        return (self.generation_prompt, *sorted(self.piece(message, leading=False) for message in followers))

    def piece(self, message: SentMessage, *, leading: bool) -> str:
        """The part of a prompt that stands for ``message``; of use only where the template is ``additive``."""
        if message.role == "system":
            if not self.accepts_system:
                return self.piece(attrs.evolve(message, role="user"), leading=leading)
            whole, rest = self._bare(message, _USER), self._after_answer(_USER)
            if not whole.endswith(rest):
                raise ChatTemplateError("The chat template does not set the system message apart.")
            return whole.removesuffix(rest)
        if message.role == "user":
            return self._bare(message) if leading else self._after_answer(message)
        if message.role == "tool":
            call = ToolCall(message.tool_call_id or "call00001", message.name or "ullage_probe", "{}")
            before = (_USER, SentMessage("assistant", "", tool_calls=(call,)))
            return _behind(self._bare(*before), self._bare(*before, message))
        return _behind(self._question, self._bare(_USER, message))

    def _after_answer(self, message: SentMessage) -> str:
        return _behind(self._exchange, self._bare(_USER, _ASSISTANT, message))

    @cached_property
    def _question(self) -> str:
        return self._bare(_USER)

    @cached_property
    def _exchange(self) -> str:
        return self._bare(_USER, _ASSISTANT)

    def _bare(self, *messages: SentMessage) -> str:
        return self.render(messages, add_generation_prompt=False)

    def _is_sum(self, conversation: Sequence[SentMessage]) -> bool:
        pieces = [self.piece(message, leading=number == 0) for number, message in enumerate(conversation)]
        return "".join((*pieces, self.generation_prompt)) == self.render(conversation)

    def _shows(self, text: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition] = ()) -> bool:
        try:
            return text in self._render(messages, tools, _parsed_arguments)
        except ChatTemplateError:
            return False

    @cached_property
    def _wants_parsed_arguments(self) -> bool:
        """Whether the template writes a call's arguments as JSON itself; if not, it is given them as text."""
        try:
            rendered = self._render([_USER, _CALL, _RESULT], (), _parsed_arguments)
        except ChatTemplateError:
            return False
        return str({"depth": 1}) not in rendered

    def _render(
        self,
        messages: Sequence[SentMessage],
        tools: Sequence[ToolDefinition],
        arguments: Callable[[str], object],
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        if self._failure is not None:
            raise self._failure
        sandbox, template = self._compiled
        values = self._values([_as_json(message, arguments) for message in messages])
        if tools:
            values["tools"] = [_tool_as_json(tool) for tool in tools]
        sandbox.begin()
        try:
            return template.render(values, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # a template is a program from elsewhere: it may raise whatever a program may
            failure = ChatTemplateError(f"The model's chat template fails with {type(error).__name__}.")
            if type(error).__name__ == "SecurityError":
                self._failure = failure  # what a template may not do once, it is not asked to do again
            raise failure from error

    def _values(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        now = self._now()
        return {
            "messages": messages,
            "bos_token": self.bos,
            "eos_token": self.eos,
            "enable_thinking": self.enable_thinking,
            "date_string": now.strftime("%d %b %Y"),
            "datetime": now.strftime("%b %d %Y"),
            "strftime_now": lambda form: now.strftime(str(form)[:64]),
        }

    @cached_property
    def _compiled(self) -> tuple[TemplateSandbox, Template]:
        from ullage.tokens.template_sandbox import TemplateSandbox  # noqa: PLC0415  # loads Jinja2

        if len(self.source) > MAX_SOURCE:
            raise ChatTemplateError("The model's chat template is longer than any template.")
        sandbox = TemplateSandbox()
        try:
            return sandbox, sandbox.from_string(self.source)
        except Exception as error:  # the compiler meets whatever a file may hold
            raise ChatTemplateError(f"The model's chat template can't be read: {type(error).__name__}.") from error


def _behind(beginning: str, whole: str) -> str:
    if not whole.startswith(beginning):
        raise ChatTemplateError("The chat template writes a message differently when another follows it.")
    return whole[len(beginning) :]


def _probes(template: ChatTemplate) -> list[tuple[SentMessage, ...]]:
    """Conversations that tell additive templates from others: odd blanks, several turns, with and without a system
    message, and with tools where the template has them."""
    odd = [SentMessage("user", text) for text in ("", " \n\tasks\n\n", "\n", "ünï 中 ", "{{ a }}<b>")]
    answers = [
        SentMessage("assistant", text) for text in ("answers ", "\n\nanswers\n", "", "<think>\nwhy\n</think>\n\nso")
    ]
    plain = (_USER, _ASSISTANT, odd[1], answers[0], odd[3])
    probes = [
        plain[:1],
        plain[:2],
        plain[:3],
        plain,
        (odd[0], answers[1], odd[2], answers[2], odd[4], answers[3], _USER),
    ]
    if template.accepts_tools:
        thinking = attrs.evolve(_CALL, content="looks ", reasoning="because\n")
        probes += [(_USER, _CALL, _RESULT), (_USER, thinking, _RESULT), (_USER, _CALL, _RESULT, _ASSISTANT, odd[1])]
        probes += [(_USER, _CALL, _RESULT, attrs.evolve(_RESULT, content=" more\n"), _ASSISTANT, _USER, _CALL, _RESULT)]
    if template.accepts_system:
        systems = [SentMessage("system", text) for text in ("Ullage rules", " \nrules\n ", "")]
        probes += [(systems[number % 3], *probe) for number, probe in enumerate(list(probes))]
    return probes


def _system_merged(messages: Sequence[SentMessage]) -> Sequence[SentMessage]:
    """What llama.cpp does for a template without system messages: the first turn begins with its words."""
    system, *others = messages
    if not others:
        return others
    return [attrs.evolve(others[0], content=f"{system.content}\n{others[0].content}"), *others[1:]]


def _as_json(message: SentMessage, arguments: Callable[[str], object]) -> dict[str, Any]:
    value: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        value["reasoning_content"] = message.reasoning
    if message.name is not None:
        value["name"] = message.name
    if message.tool_call_id is not None:
        value["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        value["tool_calls"] = [
            {"type": "function", "function": {"name": c.name, "arguments": arguments(c.arguments)}, "id": c.id}
            for c in message.tool_calls
        ]
    return value


def _tool_as_json(tool: ToolDefinition) -> Mapping[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _plain_arguments(text: str) -> object:
    return text


def _parsed_arguments(text: str) -> object:
    """The value that a call's arguments spell; the text itself where they are no JSON, which llama.cpp refuses."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
