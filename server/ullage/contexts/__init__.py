"""The use cases: what a person can do with a context, put together from the layers below."""
