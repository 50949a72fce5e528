"""Rendering chat templates, taking prompts apart, and what a hostile template may not do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.tokens import template_sandbox
from ullage.tokens.chat_template import ChatTemplate, ChatTemplateError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_TOOLS = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}({{ c.function.name }} {{ c.function.arguments | tojson }}){% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM, USER, ANSWER = SentMessage("system", "rule"), SentMessage("user", "ask"), SentMessage("assistant", "say")
CALL = SentMessage("assistant", "", tool_calls=(ToolCall("c1", "look", '{"x":1.50}'),))
RESULT = SentMessage("tool", "seen", name="look", tool_call_id="c1")
TOOL = ToolDefinition("look", "Looks <up>", {"type": "object"})


def render(source: str, *messages: SentMessage, tools: tuple[ToolDefinition, ...] = ()) -> str:
    return ChatTemplate(source, "<s>", "</s>").render(messages or (USER,), tools)


def test_a_conversation_is_rendered() -> None:
    assert render(CHATML, SYSTEM, USER) == (
        "<|im_start|>system\nrule<|im_end|>\n<|im_start|>user\nask<|im_end|>\n<|im_start|>assistant\n"
    )


def test_token_texts_and_the_date_are_there() -> None:
    template = ChatTemplate(
        "{{ bos_token }}{{ eos_token }}{{ strftime_now('%Y') }} {{ date_string }}{{ messages[0].content }}",
        "<s>",
        "</s>",
        now=lambda: datetime(2031, 2, 3, tzinfo=UTC),
    )
    assert template.render([USER]) == "<s></s>2031 03 Feb 2031ask"


def test_blocks_are_trimmed_as_llama_cpp_does() -> None:
    source = (
        "{%- for m in messages %}\n  {% if true %}\n    {{ m.role }}: {{ m.content }}\n  {% endif %}\n{% endfor %}\n"
    )
    assert render(source, USER, ANSWER) == "    user: ask\n    assistant: say\n"


@pytest.mark.parametrize("strip", ["{{ messages[0].content | trim }}", "{{ messages[0]['content'].strip() }}"])
def test_only_ascii_blanks_are_stripped(strip: str) -> None:
    assert render(strip, SentMessage("user", " \n\u00a0x\u3000\t")) == "\u00a0x\u3000"


def test_json_is_written_without_escapes_for_html() -> None:
    assert '"description": "Looks <up>"' in render(WITH_TOOLS, USER, tools=(TOOL,))


def test_arguments_are_parsed_where_the_template_writes_json() -> None:
    assert '(look {"x": 1.5})' in render(WITH_TOOLS, USER, CALL, RESULT)


def test_arguments_stay_text_where_the_template_writes_them_as_they_are() -> None:
    assert '(look {"x":1.50})' in render(WITH_TOOLS.replace("arguments | tojson", "arguments"), USER, CALL, RESULT)


def test_arguments_that_are_no_json_are_rendered_all_the_same() -> None:
    call = SentMessage("assistant", "", tool_calls=(ToolCall("c1", "look", "{x"),))
    assert '(look "{x")' in render(WITH_TOOLS, USER, call, RESULT)


def test_generation_blocks_and_loop_controls_are_understood() -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert render(source, USER, ANSWER) == "ask"


def test_what_a_template_accepts_is_found_out() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    silent = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    accepting = ChatTemplate(WITH_TOOLS)
    assert (accepting.accepts_system, accepting.accepts_tools) == (True, True)
    assert not ChatTemplate(CHATML).accepts_tools
    assert not ChatTemplate(refusing).accepts_system
    assert not ChatTemplate(silent).accepts_system


def test_a_system_message_becomes_the_first_turns_beginning_where_it_is_refused() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    assert render(refusing, SYSTEM, USER) == render(CHATML, SentMessage("user", "rule\nask"))


@pytest.mark.parametrize("source", [CHATML, WITH_TOOLS, "{{ bos_token }}" + CHATML])
def test_an_additive_template_is_the_sum_of_its_pieces(source: str) -> None:
    template = ChatTemplate(source, "<s>")
    assert template.additive
    messages = (SYSTEM, USER, ANSWER, USER, CALL, RESULT)
    pieces = [template.piece(message, leading=number == 0) for number, message in enumerate(messages)]
    assert "".join(pieces) + template.generation_prompt == template.render(messages)


@pytest.mark.parametrize(
    "source",
    [
        CHATML.replace("{{ m.content }}", "{{ m.content }}{% if loop.last %}!{% endif %}"),
        CHATML.replace("{{ m.content }}", "{{ m.content }}{{ loop.index }}"),
        CHATML.replace("{{ m.role }}", "{{ messages | length }}"),
        "{{ raise_exception('never') }}",
    ],
)
def test_a_template_whose_messages_depend_on_others_is_not_additive(source: str) -> None:
    assert not ChatTemplate(source).additive


@pytest.mark.parametrize("source", ["{{", "{% if %}", "{{ x | nonesuch }}", "{{ messages[9].content }}", "{{ 1 / 0 }}"])
def test_a_broken_template_is_an_error_that_quotes_nothing(source: str) -> None:
    with pytest.raises(ChatTemplateError, match="chat template") as caught:
        render(source)
    assert "ask" not in str(caught.value)


def test_a_template_longer_than_any_is_refused() -> None:
    with pytest.raises(ChatTemplateError, match="longer"):
        render(" " * (1 << 20) + "x")


GROWING = "{{% set ns = namespace(x='a', n=3, l=[1]) %}}{{% for i in range(99) %}}{}{{% endfor %}}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ 'a' * 10**10 }}",
        "{{ [0] * 10**9 }}",
        "{{ 10 ** 10000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.center(10**9) }}",
        "{{ 'a' | center(10**9) }}",
        "{{ lipsum(n=10**6) }}",
        "{{ range(10**9) | list }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        GROWING.format("{% set ns.x = ns.x ~ ns.x %}"),
        GROWING.format("{% set ns.x = ns.x + ns.x %}"),
        GROWING.format("{% set ns.x = ns.x | replace('a', 'aaaaaaaa') %}"),
        GROWING.format("{% set ns.x = [ns.x, ns.x] | join %}"),
        GROWING.format("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        GROWING.format("{% set ns.n = ns.n * ns.n %}"),
        GROWING.format("{% set ns.l = ns.l + ns.l %}"),
    ],
)
def test_a_hostile_template_is_stopped(source: str) -> None:
    with pytest.raises(ChatTemplateError):
        render(source)


def test_a_template_that_goes_on_for_ever_is_stopped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sandbox, "RENDER_S", 0.05)
    template = ChatTemplate("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")
    with pytest.raises(ChatTemplateError):
        template.render([USER])
    monkeypatch.setattr(template_sandbox, "RENDER_S", 60.0)
    with pytest.raises(ChatTemplateError):
        template.render([USER])
