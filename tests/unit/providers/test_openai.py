from __future__ import annotations

import pytest

from support.served import collect, request_for
from support.stub_http import reply
from support.stub_servers import OpenAiStub
from ullage.conversation.messages import SentMessage
from ullage.errors import ProviderError
from ullage.providers.openai import OpenAiProvider

KEY = "sk-0123456789-secret"


async def test_the_window_of_vllm_is_its_maximum_model_length() -> None:
    async with OpenAiStub(kind="vllm", window=3072) as stub:
        provider = OpenAiProvider(stub.url)
        assert await provider.window(stub.model) == 3072
        assert stub.sent("/api/v0/models") == []
        await provider.close()


async def test_the_window_of_lm_studio_is_the_loaded_length_not_the_nominal_one() -> None:
    async with OpenAiStub(kind="lmstudio", window=3072) as stub:
        provider = OpenAiProvider(stub.url)
        assert await provider.window(stub.model) == 3072
        assert [(info.context_length, info.allocated_context) for info in await provider.models()] == [(32768, 3072)]
        await provider.close()


async def test_the_window_of_another_server_is_unknown() -> None:
    async with OpenAiStub() as stub:
        provider = OpenAiProvider(stub.url)
        assert await provider.window(stub.model) is None
        assert await provider.window("another") is None
        await provider.close()


async def test_a_list_that_a_server_lacks_does_not_matter() -> None:
    async with OpenAiStub() as stub:
        provider = OpenAiProvider(stub.url)
        stub.fail("/api/v0/models", reply(500, "<html>"))
        assert [info.name for info in await provider.models()] == [stub.model]
        await provider.close()


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_in_the_version_or_not(suffix: str) -> None:
    async with OpenAiStub() as stub:
        provider = OpenAiProvider(stub.url + suffix)
        assert await provider.probe()
        assert provider.address == stub.url
        await provider.close()


async def test_vllm_counts_prompts_and_others_are_not_asked() -> None:
    messages = (SentMessage("user", "Hello there"),)
    async with OpenAiStub(kind="vllm") as stub, OpenAiStub() as plain:
        provider, other = OpenAiProvider(stub.url), OpenAiProvider(plain.url)
        _, _, finished = await collect(provider, request_for(stub))
        assert await provider.count_prompt(stub.model, messages, ()) == finished.prompt_tokens
        assert await other.count_prompt(plain.model, messages, ()) is None
        assert plain.sent("/tokenize") == []
        await provider.close()
        await other.close()


async def test_the_key_is_sent_and_asked_for_anew_each_time() -> None:
    keys = iter(["old", KEY])
    async with OpenAiStub(key=KEY) as stub:
        provider = OpenAiProvider(stub.url, api_key=lambda: next(keys))
        with pytest.raises(ProviderError, match="refused the API key"):
            await collect(provider, request_for(stub))
        assert (await collect(provider, request_for(stub)))[0] == "I heard you."
        await provider.close()


async def test_the_key_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with OpenAiStub(key="another") as stub:
        provider = OpenAiProvider(stub.url, api_key=lambda: KEY)
        with pytest.raises(ProviderError) as caught:
            await collect(provider, request_for(stub))
        stub.key = KEY
        await collect(provider, request_for(stub))
        await provider.close()
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.getrepr(chain=True))
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["clé-secrète", "two\nlines", "sk-\x00"])
async def test_a_key_that_can_not_be_sent_is_an_error_without_it(key: str) -> None:
    provider = OpenAiProvider("http://127.0.0.1:9", api_key=lambda: key)
    with pytest.raises(ProviderError) as caught:
        await provider.models()
    assert key not in str(caught.value)


async def test_credentials_of_the_address_are_used_but_not_shown() -> None:
    async with OpenAiStub() as stub:
        provider = OpenAiProvider(stub.url.replace("//", "//someone:pass-word@"))
        await provider.models()
        assert provider.address == stub.url
        assert stub.requests[0].headers["authorization"].startswith("Basic ")
        await stub.stop()
        with pytest.raises(Exception, match="does not answer") as caught:
            await provider.models()
        assert "pass-word" not in str(caught.value)
        await provider.close()
