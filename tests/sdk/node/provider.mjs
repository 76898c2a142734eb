// aimock as a provider: `node provider.mjs fixtures.json` prints its URL and serves until its
// standard input ends. `GET /hangups` counts the answers whose connection closed before their end.

import { subscribe } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import { LLMock } from "@copilotkit/aimock";

let hangups = 0;
subscribe("http.server.request.start", ({ response }) => {
  response.on("close", () => (hangups += response.writableFinished ? 0 : 1));
});

const mock = new LLMock({ port: 0, logLevel: "silent" });
mock.addFixturesFromJSON(readFileSync(process.argv[2], "utf8"));
mock.mount("/hangups", {
  handleRequest: async (_request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ hangups }));
    return true;
  },
});
console.log(await mock.start());
process.stdin.resume().on("end", () => process.exit(0));
