"""What replies wrap around several values, or around a single one. They travel as `ullage.contexts.values` do."""

from __future__ import annotations

from attrs import frozen

from ullage.contexts.values import Context, MessageView, Model, SearchHit
from ullage.conversation.operations import Operation
from ullage.conversation.usage import Usage


@frozen
class ContextList:
    contexts: list[Context]


@frozen
class MessagePage:
    """Ascending; ``has_more`` says that older ones exist."""

    messages: list[MessageView]
    has_more: bool


@frozen
class Cleared:
    usage: Usage


@frozen
class OperationPage:
    operations: list[Operation]


@frozen
class ModelList:
    models: list[Model]


@frozen
class Exported:
    text: str


@frozen
class SearchResult:
    hits: list[SearchHit]
