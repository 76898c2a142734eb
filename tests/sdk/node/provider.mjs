// aimock as a provider: `node provider.mjs fixtures.json` prints its URL and serves until its
// standard input ends. `GET /witness` tells which requests came (`asked`, as they were sent) and how
// many answers' connections closed before their end (`hangups`); `DELETE /witness` forgets both.

import { subscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import { LLMock } from "@copilotkit/aimock";

let asked = [];
let hangups = 0;
subscribe("http.server.request.start", ({ request, response }) => {
  if (request.url === "/witness") return;
  response.on("close", () => (hangups += response.writableFinished ? 0 : 1));
  if (request.method !== "POST") return;
  const row = { path: request.url, body: "" };
  asked.push(row);
  // aimock reads the body; whoever listens to the stream, too, may take it away from it.
  const push = request.push.bind(request);
  request.push = (chunk, encoding) => {
    if (chunk) row.body += chunk.toString("latin1");
    return push(chunk, encoding);
  };
});

const mock = new LLMock({ port: 0, logLevel: "silent" });
mock.addFixturesFromJSON(readFileSync(process.argv[2], "utf8"));
mock.mount("/witness", {
  handleRequest: async (request, response) => {
    if (request.method === "DELETE") [asked, hangups] = [[], 0];
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ asked, hangups }));
    return true;
  },
});
console.log(await mock.start());
process.stdin.resume().on("end", () => process.exit(0));
