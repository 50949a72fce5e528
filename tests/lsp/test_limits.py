"""What a client may not do to the server's memory, nor the server's log to a person's words."""

from __future__ import annotations

import psutil

from support.raw_client import RawClient, RpcError, frame


async def test_a_frame_over_the_limit_is_refused_without_growth(client: RawClient) -> None:
    await client.request("toy/echo", {"value": {}})
    process = psutil.Process(client.process.pid)
    before = process.memory_info().rss
    size, piece = 65 * 2**20, b" " * 2**20
    await client.send_bytes(b"Content-Length: %d\r\n\r\n" % size)
    most = before
    for _ in range(size // len(piece)):
        await client.send_bytes(piece)
        most = max(most, process.memory_info().rss)
    assert (await client.unaddressed_error()).code == -32600
    assert await client.request("toy/echo", {"value": {"still": "here"}}) == {"still": "here"}
    assert max(most, process.memory_info().rss) - before < 10 * 2**20


async def test_an_announced_gigabyte_reserves_nothing(client: RawClient) -> None:
    process = psutil.Process(client.process.pid)
    before = process.memory_info().rss
    for length in (60 * 2**20, 2**30, 20 * 10**9):
        await client.send_bytes(frame(b"{}", length))
    assert await client.request("toy/echo", {"value": {}}) == {}
    assert process.memory_info().rss - before < 5 * 2**20


async def test_nothing_that_is_said_gets_into_the_log_or_an_error(client: RawClient) -> None:
    """Fifty secrets in fifty places, with the log at its most talkative."""
    secrets = [f"Secret-{number}-Word" for number in range(50)]
    told = []
    for number, secret in enumerate(secrets):
        texts = [
            ("toy/fail", {"text": secret}),
            ("toy/echo", {"value": secret}),
            ("context/append", {"contextId": "c", "messages": [{"role": secret, "content": secret}]}),
            ("context/chat", {"contextId": "c", "text": [secret]}),
            (secret, {secret: secret}),
            ("workspace/executeCommand", {"command": secret, "arguments": [secret]}),
        ]
        method, params = texts[number % len(texts)]
        try:
            await client.request(method, params)
        except RpcError as error:
            told.append(str(error))
        await client.notify(f"$/{secret}", {"text": secret})
        await client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": secret}})
        await client.notify("window/workDoneProgress/cancel", {"token": secret})
        await client.notify("$/setTrace", {"value": [secret]})
        await client.send_bytes(frame(secret.encode()))
        told.append(str(await client.unaddressed_error()))
    asking = await client.begin("toy/ask", {"timeoutS": 10})
    await client.reply(await client.server_request("workspace/configuration"), secrets[0])
    try:
        await client.answer(asking)
    except RpcError as error:
        told.append(str(error))
    await client.shut_down()
    log = client.stderr.decode()
    assert "ValueError at" in log
    for text in (log, *told):
        assert "Secret-" not in text
        assert "Traceback" not in text
        assert "/home/" not in text
