// The npm package `openai`, asking for responses and for all that is no chat.

import OpenAI, { toFile } from "openai";
import { serve } from "./jobs.mjs";

const failure = (error, said) => {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  const { status = null, code = null, message } = error;
  return { name: error.constructor.name, status, code, message, said };
};

await serve((baseURL, apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 }), {
  models: async (client) => {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return ids;
  },

  chat: async (client, { request, stream }) => {
    if (!stream) {
      const response = await client.responses.create(request);
      return { response, text: response.output_text };
    }
    const running = client.responses.stream(request);
    let text = "";
    running.on("response.output_text.delta", (event) => (text += event.delta));
    const response = await running.finalResponse();
    if (text !== response.output_text) throw new Error("deltas and response differ");
    return { response, text };
  },

  fail: async (client, { request, stream }) => {
    let said = "";
    try {
      const answer = await client.responses.create({ ...request, stream });
      if (stream) {
        for await (const event of answer) {
          if (event.type === "response.output_text.delta") said += event.delta;
          if (event.type === "response.failed") {
            return { name: event.type, status: null, ...event.response.error, said };
          }
        }
      }
    } catch (error) {
      return failure(error, said);
    }
    throw new Error("no error came");
  },

  hang_up: async (client, { request }) => {
    const events = await client.responses.create({ ...request, stream: true });
    for await (const event of events) {
      if (event.type === "response.output_text.delta") return event.delta;
    }
    throw new Error("no content came");
  },

  completion: async (client, { request, stream }) => {
    if (!stream) return (await client.completions.create(request)).choices[0].text;
    let text = "";
    const chunks = await client.completions.create({ ...request, stream });
    for await (const chunk of chunks) text += chunk.choices[0]?.text ?? "";
    return text;
  },

  embedding: async (client, { request }) => {
    const { data, usage } = await client.embeddings.create(request);
    return { lengths: data.map((row) => row.embedding.length), usage };
  },

  image: async (client, { request }) => {
    const { data } = await client.images.generate(request);
    return data.map((row) => row.b64_json.length);
  },

  speech: async (client, { request }) =>
    (await (await client.audio.speech.create(request)).arrayBuffer()).byteLength,

  transcription: async (client, { request, data }) => {
    const file = await toFile(Buffer.from(data, "base64"), "sound.wav");
    return (await client.audio.transcriptions.create({ ...request, file })).text;
  },
});
