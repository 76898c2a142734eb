"""How providers that speak alike differ: flags of a provider's row, which `dialects/` reads."""

import re
from typing import Any, Literal, get_args

import msgspec

from proxy.wire.request import Effort

Attachment = Literal["image", "file", "audio", "video"]


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a provider of dialect `openai` departs from OpenAI's own API. The defaults are the
    behaviour that most compatible servers share.
    """

    usage_option: bool = True
    """Takes `stream_options {include_usage}`; without it usage comes unasked or never."""

    obfuscation_option: bool = False
    """Takes `stream_options {include_obfuscation: false}`, which saves padding on every event."""

    max_tokens: Literal["max_tokens", "max_completion_tokens", "as_sent"] = "as_sent"
    """The only name it knows for the limit on the completion; both are the caller's to use."""

    reasoning_control: Literal["none", "effort", "object"] = "none"
    """How a wish for reasoning is said: `reasoning_effort`, OpenRouter's `reasoning` object, or
    not at all."""

    efforts: tuple[Effort, ...] = get_args(Effort)
    """The efforts that it knows; the nearest of them is said. One of its models may know fewer."""

    efforts_of: dict[str, tuple[Effort, ...]] = {}
    """The same for models whose names begin with a regular expression; the first that fits holds.
    A model with no efforts is not told how much to think."""

    thinkers: str | None = None
    """Which of its models think without being told to, as such a regular expression."""

    thinking_omits: tuple[str, ...] = ()
    """Parameters that a model refuses while it thinks, which are left out then."""

    reasoning_switch: Literal["none", "thinking", "template", "reasoning"] = "none"
    """How thinking is switched on and off, beside the effort: by `thinking {type}`, by
    `chat_template_kwargs {enable_thinking, thinking}`, by `reasoning {enabled}`, or not at all."""

    thinks_when_forced: bool = True
    """Takes a `tool_choice` that forces a call while it thinks. Otherwise it refuses, and thinking
    is switched off for such a request."""

    reasoning_replay: Literal["none", "reasoning", "reasoning_content", "thinking", "details"] = (
        "none"
    )
    """Where it takes its own reasoning back on the next turn: under that key, as a part of type
    `thinking` in the content, or as OpenRouter's `reasoning_details`; most refuse it."""

    replay_required: bool = False
    """Refuses tool calls of an earlier turn without reasoning; those of others get a blank."""

    details_format: str = "openai-responses-v1"
    """What OpenRouter calls the form of its `reasoning_details` over Responses; only reasoning of
    the same form is sent back to it."""

    reasoning_apart: bool = False
    """`completion_tokens` leave `reasoning_tokens` out, though the total has them."""

    audio_apart: bool = False
    """`prompt_tokens` leave the tokens of audio out, though the total has them."""

    developer_role: bool = False
    """Knows the role `developer`; others are told it as `system`."""

    names: bool = True
    """Takes the `name` of who speaks; otherwise it stands before the text."""

    alternates: bool = False
    """Refuses two messages of the user, or of the model, one after the other: they are joined."""

    call_ids: Literal["any", "nine"] = "any"
    """`nine`: refuses the id of a call that has not nine letters and digits (Mistral)."""

    cache_marks: bool = False
    """Takes `cache_control` on parts of the content; most refuse it."""

    text_parts: bool = True
    """Takes text as a list of parts; otherwise they are joined to one string."""

    attachments: tuple[Attachment, ...] | None = None
    """The kinds of attachments that it takes; None where that depends on the model alone."""

    tool_attachments: bool = False
    """Takes attachments in the results of tools; otherwise the user shows them after the last."""

    fetches: tuple[Attachment, ...] | None = None
    """The kinds of attachments whose URL it fetches itself; None where as its dialect says, and
    none where it is local: it would reach what callers must not."""

    storage: tuple[str, ...] = ()
    """Beginnings of URLs of its cloud's storage (`gs://bucket/`, `s3://bucket/`) that callers may
    name; it reads them with the gateway's rights."""

    reads_pdf: bool | None = None
    """Whether it reads PDFs; None where as its dialect says."""

    files: Literal["file", "document_url", "file_url"] = "file"
    """The type of the part that a file is: OpenAI's, Mistral's or Perplexity's."""

    json_schema: bool = True
    """Takes a `response_format` with a schema; otherwise it is asked for JSON, and the schema is
    told in words."""

    logprobs_count: bool = False
    """Wants the number of alternatives as `logprobs`, and knows no `top_logprobs`."""

    speech_formats: dict[str, dict[str, Any]] = {}
    """What its requests for speech say for each format that it has, by OpenAI's name; without any
    it takes OpenAI's. Out of `wav` the gateway makes `pcm`."""

    speech_events: str | None = None
    """Which of its models, as a regular expression that their names begin with, tell what they
    used when their speech is asked for as events."""

    speech_voice: str = "voice"
    """Its name for the voice of a speech."""

    speech_sample: str | None = None
    """Its name for a recording whose voice is to be spoken with; otherwise it takes none."""

    list_brackets: bool = True
    """Wants `[]` after the name of a list in a form."""

    images_path: str = "/images/generations"
    """Where it is asked for images."""

    image_shape: Literal["size", "ratio", "pixels", "said"] = "size"
    """How large an image is to be, in its words: `size`, `aspect_ratio` and `resolution`, `width`
    and `height`, or as OpenRouter's callers say it."""

    image_format: Literal["b64_json", "base64", "none"] = "b64_json"
    """The `response_format` with which it gives images themselves, not their URLs; none where it
    does so unasked. OpenAI's own models are known by name."""

    image_edits: Literal["form", "json", "image_url", "references", "none"] = "form"
    """How it takes images to go by: OpenAI's form, xAI's JSON, one as an `image_url`, as
    OpenRouter's `input_references`, or not at all."""

    image_omits: tuple[str, ...] = ()
    """Parameters of images that it refuses, which are left out."""

    seed: Literal["seed", "random_seed"] = "seed"
    """Its name for the seed."""

    omits: tuple[str, ...] = ()
    """Parameters that it refuses, which are left out."""

    completes: bool | str = True
    """Which of its models continue a text (`/completions`): all, none, or those whose names begin
    with a regular expression. The others are asked for it as a chat."""

    completions_path: str = "/completions"
    """Where it is asked to."""

    suffix: bool = False
    """Continues a text up to a `suffix`; otherwise such a request is not for it."""

    prompt_lists: bool = True
    """Continues several texts at once, and texts told as tokens."""

    models_query: str | None = None
    """What its list of models is asked with, so that all of them are in it."""

    embeddings_path: str = "/embeddings"
    """Where it is asked for embeddings."""

    embeds_media: bool = False
    """Takes images, sound and files to embed, and images to rank, in OpenRouter's form."""

    input_types: dict[str, str] | None = None
    """What an input is embedded for, in its words by those of callers, in lower case; a word that
    is not among them is sent as it is. None where it is not to be told."""

    input_type: str | None = None
    """The same where the caller does not say; None where that may be left out."""

    dimensions: Literal["dimensions", "output_dimension"] = "dimensions"
    """Its name for the length of a vector."""

    base64_vectors: bool = False
    """Gives vectors as base64 where it is asked to; others are brought into it."""

    vectors: Literal["float32", "int8"] = "float32"
    """The numbers that a vector in base64 is made of."""

    top_n: Literal["top_n", "top_k"] = "top_n"
    """Its name for how many documents of a ranking are wanted."""

    def efforts_for(self, model: str) -> tuple[Effort, ...]:
        """The efforts that `model` knows; none where it is not to be told of any."""
        found = (known for name, known in self.efforts_of.items() if re.match(name, model))
        return next(found, self.efforts)

    def always_thinks(self, model: str) -> bool:
        """Whether `model` is known by its name as one that can not be told not to think."""
        named = any(re.match(name, model) for name in self.efforts_of)
        known = self.efforts_for(model) if named and self.reasoning_switch == "none" else ()
        return bool(known) and "none" not in known

    def continues(self, model: str) -> bool:
        """Whether `model` continues a text by itself."""
        named = self.completes
        return re.match(named, model) is not None if isinstance(named, str) else named

    def refused(self, model: str, effort: Effort | None) -> tuple[str, ...]:
        """The parameters that `model` refuses when it is told to think with `effort`, or is told
        nothing of it.
        """
        unasked = self.thinkers is not None and re.match(self.thinkers, model) is not None
        thinks = unasked if effort is None else effort != "none"
        return self.omits + (self.thinking_omits if thinks else ())
