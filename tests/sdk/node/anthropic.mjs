// The npm package `@anthropic-ai/sdk`, asking for messages.

import Anthropic from "@anthropic-ai/sdk";
import { serve } from "./jobs.mjs";

const GENERATION = "x-generation-id";

const failure = (error, said) => {
  if (!(error instanceof Anthropic.APIError)) throw error;
  return {
    name: error.constructor.name,
    status: error.status ?? null,
    type: error.type,
    message: error.message,
    said,
  };
};

await serve(
  (base_url, apiKey) =>
    new Anthropic({
      baseURL: base_url.replace(/\/v1$/, ""), // which it adds itself
      apiKey,
      authToken: null,
      maxRetries: 0,
      timeout: 20_000,
    }),
  {
    models: async (client) => {
      const ids = [];
      for await (const model of client.models.list()) ids.push(model.id);
      return ids;
    },

    chat: async (client, { request, stream }) => {
      if (!stream) {
        const { data, response } = await client.messages.create(request).withResponse();
        return { id: response.headers.get(GENERATION), message: data, usage: data.usage };
      }
      const running = client.messages.stream(request);
      let text = "";
      let last;
      running.on("text", (piece) => (text += piece));
      running.on("streamEvent", (event) => {
        if (event.type === "message_delta") last = event.usage;
      });
      const message = await running.finalMessage();
      const told = message.content.filter((block) => block.type === "text");
      if (text !== told.map((block) => block.text).join("")) throw new Error("deltas differ");
      const id = running.response.headers.get(GENERATION);
      // The message's own has only what the SDK knows, and the last what changed.
      return { id, message, usage: { ...message.usage, ...last } };
    },

    fail: async (client, { request, stream }) => {
      let said = "";
      try {
        const answer = await client.messages.create({ ...request, stream });
        if (stream) for await (const event of answer) said += event.delta?.text ?? "";
      } catch (error) {
        return failure(error, said);
      }
      throw new Error("no error came");
    },

    hang_up: async (client, { request }) => {
      const events = await client.messages.create({ ...request, stream: true });
      for await (const event of events) {
        if (event.delta?.text) return event.delta.text; // leaving the loop closes the connection
      }
      throw new Error("no content came");
    },

    count: async (client, { request }) => (await client.messages.countTokens(request)).input_tokens,
  },
);
