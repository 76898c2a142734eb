// The npm package `openai`, asking for chats.

import OpenAI from "openai";
import { serve } from "./jobs.mjs";

const outcome = (completion) => {
  const { message, finish_reason } = completion.choices[0];
  return {
    id: completion.id,
    model: completion.model,
    provider: completion.provider,
    text: message.content ?? "",
    reasoning: message.reasoning ?? "",
    calls: (message.tool_calls ?? []).map((call) => [
      call.id,
      call.function.name,
      JSON.parse(call.function.arguments),
    ]),
    finish_reason,
    usage: completion.usage,
    message,
  };
};

const failure = (error, said) => {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  return {
    name: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    message: error.message,
    said,
  };
};

const verbs = {
  models: async (client) => {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return ids;
  },

  chat: async (client, { request, stream }) => {
    const { completions } = client.chat;
    if (!stream) return outcome(await completions.create(request));
    const running = completions.stream(request);
    let text = "";
    let reasoning = "";
    running.on("content", (delta) => (text += delta));
    // The helper's message has only the last piece of a field it does not know.
    running.on("chunk", (chunk) => (reasoning += chunk.choices[0].delta.reasoning ?? ""));
    const completion = outcome(await running.finalChatCompletion());
    if (text !== completion.text) throw new Error("deltas and message differ");
    return { ...completion, reasoning };
  },

  fail: async (client, { request, stream }) => {
    let said = "";
    try {
      const answer = await client.chat.completions.create({ ...request, stream });
      if (stream) for await (const chunk of answer) said += chunk.choices[0].delta.content ?? "";
    } catch (error) {
      return failure(error, said);
    }
    throw new Error("no error came");
  },

  hang_up: async (client, { request }) => {
    const events = await client.chat.completions.create({ ...request, stream: true });
    for await (const chunk of events) {
      const said = chunk.choices[0].delta.content;
      if (said) return said; // leaving the loop closes the connection
    }
    throw new Error("no content came");
  },

  parse: async (client, { request }) => {
    const completion = await client.chat.completions.parse(request);
    return completion.choices[0].message.parsed;
  },

  events: async (client, { request }) => {
    const chunks = [];
    const events = await client.chat.completions.create({ ...request, stream: true });
    for await (const chunk of events) chunks.push(chunk);
    return chunks;
  },

  run_tools: async (client, { request, results }) => {
    const tools = request.tools.map((tool) => ({
      ...tool,
      function: { ...tool.function, parse: JSON.parse, function: () => results[tool.function.name] },
    }));
    const running = client.chat.completions.runTools({ ...request, tools });
    return running.finalContent();
  },
};

await serve(
  (baseURL, apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 }),
  verbs,
);
