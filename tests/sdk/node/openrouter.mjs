// The npm packages `@openrouter/sdk` and, for the AI SDK, `@openrouter/ai-sdk-provider`: one chat
// each, with whatever a caller wishes of its routing.

import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { OpenRouter } from "@openrouter/sdk";
import { generateText, streamText } from "ai";
import { serve } from "./jobs.mjs";

const clients = (base_url, key) => ({
  sdk: new OpenRouter({ serverURL: base_url, apiKey: key, retryConfig: { strategy: "none" } }),
  ai: createOpenRouter({ baseURL: base_url, apiKey: key }),
});

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

// What the SDK calls all fields of a request, as far as their names are its own.
const own = (value) => {
  if (Array.isArray(value)) return value.map(own);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [camel(name), own(one)]));
};

// All that a list has, page by page.
const all = async (asked) => {
  const found = [];
  for await (const page of await asked) found.push(...page.result.data);
  return found;
};

const refused = (error) => {
  const status = error.statusCode ?? error.status;
  if (!status) throw error;
  const body = error.body ?? error.responseBody;
  return { status, error: JSON.parse(body).error };
};

const verbs = {
  sdk: async ({ sdk }, { request, stream }) => {
    try {
      const answer = await sdk.chat.send({ chatRequest: { ...own(request), stream } });
      if (!stream) return { id: answer.id, text: answer.choices[0].message.content };
      let id;
      let text = "";
      for await (const chunk of answer) {
        id = chunk.id;
        text += chunk.choices[0].delta.content ?? "";
      }
      return { id, text };
    } catch (error) {
      return refused(error);
    }
  },

  ai: async ({ ai }, { request, stream }) => {
    const { model, messages, provider, ...more } = request;
    const asked = {
      model: ai.chat(model, { provider, extraBody: more }),
      prompt: messages[0].content,
      maxRetries: 0,
    };
    try {
      if (!stream) {
        const answer = await generateText(asked);
        return { id: answer.response.id, text: answer.text };
      }
      let failed;
      const answer = streamText({ ...asked, onError: ({ error }) => (failed = error) });
      let text = "";
      for await (const piece of answer.textStream) text += piece;
      if (failed) throw failed;
      return { id: (await answer.response).id, text };
    } catch (error) {
      return refused(error);
    }
  },

  catalogue: async ({ sdk }, { slug, secret }) => {
    const [author, name] = slug.split("/");
    const models = await all(sdk.models.list({ outputModalities: "all", limit: 2 }));
    const user = await all(sdk.models.listForUser({ bearer: secret }));
    const one = await sdk.models.get({ author, slug: name });
    return {
      models: models.map((one) => one.id),
      user: user.map((one) => one.id),
      count: (await sdk.models.count()).data.count,
      one: one.data.id,
      providers: (await sdk.providers.list()).data.map((one) => one.slug),
      tags: (await sdk.endpoints.list({ author, slug: name })).data.endpoints.map((one) => one.tag),
      zdr: (await sdk.endpoints.listZdrEndpoints()).data.map((one) => one.tag),
    };
  },
};

await serve(clients, verbs);
