"""How many tokens a request has, as Anthropic and Bedrock count them."""

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.counts import decode_converse_count, decode_messages_count
from proxy.upstream.fake.manner import Whole
from proxy.upstream.fake.manners.anthropic import Anthropic
from proxy.upstream.fake.manners.anthropic import Vertex as VertexAnthropic
from proxy.upstream.fake.manners.bedrock import Bedrock
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal


class AnthropicCount(Whole, Anthropic):
    """Anthropic's own."""

    name = "anthropic-count"
    contents = ("input_tokens",)
    usages = ("input_tokens",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_messages_count(request, seal)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        return {"input_tokens": reply.count.prompt}


class VertexAnthropicCount(AnthropicCount, VertexAnthropic):
    """The same on Vertex, where the request names the model."""

    name = "vertex-anthropic-count"


class BedrockCount(Whole, Bedrock):
    """Bedrock's own."""

    name = "bedrock-count"
    contents = ("inputTokens",)
    usages = ("inputTokens",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_converse_count(request, seal)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        return {"inputTokens": reply.count.prompt}
