"""OpenAI's answers of the Responses API and their items, with the recorded keys in their order."""

from proxy.upstream.fake.ask import JSONObject, child, rows
from proxy.upstream.fake.reply import Reply, Token


class Item:
    """One item of the output, before, while and after it is said."""

    def __init__(self, reply: Reply, kind: str, first: Token) -> None:
        self.reply = reply
        self._kind = kind
        self._first = first
        digits = reply.letters.encode().hex()[:48]
        self.summed = bool(child(reply.ask.body, "reasoning").get("summary"))
        self._sealed = "reasoning.encrypted_content" in (reply.ask.body.get("include") or ())
        self.id = {"reasoning": f"rs_{digits}", "text": f"msg_{digits}"}.get(
            kind, f"fc_{'rs' if reply.thinks else ''}{digits}{first.call:02}"
        )

    def added(self) -> JSONObject:
        """As it is announced."""
        return self._item("in_progress", "", opened=False)

    def done(self, text: str, status: str = "completed") -> JSONObject:
        """As it is in the end."""
        return self._item(status, text, opened=True)

    def _item(self, status: str, text: str, *, opened: bool) -> JSONObject:
        item: JSONObject = {"id": self.id}
        match self._kind:
            case "reasoning":
                shown = text if self.summed else ""
                item |= {"type": "reasoning", "content": []}
                if self._sealed:  # what is announced is not yet what has to come back
                    parts = (self.id, shown) if opened else (self.id, "", "announced")
                    item["encrypted_content"] = self.reply.seal.sign(*parts)
                return item | {"summary": [summary(shown)] if shown else []}
            case "call":
                item |= {"type": "function_call", "status": status, "arguments": text}
                return item | {"call_id": f"call_{self._first.text}", "name": self._first.name}
            case _:
                content = [part(text)] if opened else []
                item |= {"type": "message", "status": status, "content": content}
                return item | {"phase": "final_answer", "role": "assistant"}


def part(text: str) -> JSONObject:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary(text: str) -> JSONObject:
    return {"type": "summary_text", "text": text}


def _usage(reply: Reply) -> JSONObject:
    count = reply.count
    return {
        "input_tokens": count.prompt,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": count.completion,
        "output_tokens_details": {"reasoning_tokens": count.reasoning},
        "total_tokens": count.prompt + count.completion,
    }


def response(reply: Reply, output: list[JSONObject], *, ended: bool) -> JSONObject:
    body = reply.ask.body
    cut = ended and reply.spoken[0].finish_reason == "length"
    image = {"image_tokens": 0, "text_tokens": 0}
    images = {"input_tokens": 0, "input_tokens_details": image, "output_tokens": 0}
    images |= {"output_tokens_details": image, "total_tokens": 0}
    format_ = child(child(body, "text"), "format") or {"type": "text"}
    reasoning: JSONObject = {"context": "all_turns", "effort": "low", "mode": "standard"}
    return {
        "id": f"resp_{reply.letters.encode().hex()[:48]}",
        "object": "response",
        "created_at": reply.created,
        "status": ("incomplete" if cut else "completed") if ended else "in_progress",
        "background": False,
        "completed_at": reply.created if ended and not cut else None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": reply.ask.model,
        "moderation": None,
        "output": output,
        "parallel_tool_calls": reply.ask.parallel,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": "24h",
        "reasoning": reasoning | {"summary": child(body, "reasoning").get("summary")},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": format_, "verbosity": "medium"},
        "tool_choice": body.get("tool_choice", "auto"),
        "tool_usage": {"image_gen": images, "web_search": {"num_requests": 0}},
        "tools": rows(body.get("tools")),
        "top_logprobs": 0,
        "top_p": 0.98,
        "truncation": "disabled",
        "usage": _usage(reply) if ended else None,
        "user": None,
        "metadata": {},
    }
