"""The contract with editors: wire, types, handlers, notifications. The only place that knows JSON-RPC."""
