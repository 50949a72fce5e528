"""Conversations on their way out of the store and into it: as JSON, and as Markdown that people read."""
