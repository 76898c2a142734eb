"""The items of the Responses API, before and after they are said."""

from proxy.upstream.fake.items import Item, part, response, summary
from proxy.upstream.fake.reply import Token
from tests.upstream.fake.speaking import SEAL, Wish, reply


def test_a_thought_is_sealed_anew_when_it_is_done() -> None:
    thought = Item(reply("responses", Wish(model="reason")), "reasoning", Token("reasoning", "a"))
    added, done = thought.added(), thought.done("a b")
    assert list(added) == list(done)
    assert added["encrypted_content"] != done["encrypted_content"]
    assert SEAL.holds(done["encrypted_content"], done["id"], "a b")
    assert (added["summary"], done["summary"]) == ([], [summary("a b")])


def test_it_is_sealed_and_summed_up_only_where_asked() -> None:
    plain = Wish(model="reason", more={"include": [], "reasoning": {}})
    thought = Item(reply("responses", plain), "reasoning", Token("reasoning", "a"))
    assert "encrypted_content" not in thought.done("a")
    assert thought.done("a")["summary"] == []


def test_calls_and_texts() -> None:
    said = reply("responses", Wish())
    call = Item(said, "call", Token("call", "letters", 1, "add"))
    assert call.added() == {
        "id": call.id,
        "type": "function_call",
        "status": "in_progress",
        "arguments": "",
        "call_id": "call_letters",
        "name": "add",
    }
    assert call.id.endswith("01")
    text = Item(said, "text", Token("text", "a"))
    assert text.done("a", "incomplete")["content"] == [part("a")]
    assert text.added()["content"] == []


def test_an_answer_that_was_cut_is_incomplete() -> None:
    said = reply("responses", Wish(limit=16))
    assert response(said, [], ended=False)["status"] == "in_progress"
    list(said.spoken[0])
    cut = response(said, [], ended=True)
    assert (cut["status"], cut["completed_at"]) == ("incomplete", None)
    assert cut["incomplete_details"] == {"reason": "max_output_tokens"}
    assert cut["usage"]["output_tokens"] == 16
