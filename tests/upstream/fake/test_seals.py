"""What is remembered between two requests: signatures and cached prompts."""

from proxy.upstream.fake.ask import Ask
from proxy.upstream.fake.seals import Larder, Seal


def asked(*texts: str, marks: tuple[int, ...] = (), model: str = "m") -> Ask:
    return Ask(model=model, texts=texts, marks=marks)


def test_a_signature_holds_for_what_was_signed_and_nothing_else() -> None:
    seal = Seal(1)
    signature = seal.sign("a thought", "of two parts")
    assert seal.holds(signature, "a thought", "of two parts")
    assert Seal(1).holds(signature, "a thought", "of two parts")
    assert not Seal(2).holds(signature, "a thought", "of two parts")
    assert not seal.holds(signature, "a thought of two parts")
    assert not seal.holds(None, "a thought", "of two parts")
    assert seal.sign("lone \ud800 surrogate")


def test_what_is_marked_is_written_and_then_read() -> None:
    larder = Larder()
    assert larder.use(asked("a b c", "d")) == (0, 0)
    assert larder.use(asked("a b c", "d", marks=(1,))) == (0, 3)
    assert larder.use(asked("a b c", "e f", marks=(1,))) == (3, 0)
    assert larder.use(asked("a b c", "e f", marks=(1, 2))) == (3, 2)
    assert larder.use(asked("a b c", "e f", "g", marks=(1, 2))) == (5, 0)
    assert larder.use(asked("a b c", marks=(1,), model="other")) == (0, 3)


def test_the_oldest_prompts_are_forgotten() -> None:
    larder = Larder()
    larder.use(asked("first", marks=(1,)))
    for number in range(1000):
        larder.use(asked(str(number), marks=(1,)))
    assert larder.use(asked("first", marks=(1,))) == (0, 1)
    assert larder.use(asked("999", marks=(1,))) == (1, 0)
