// Jobs for an SDK by JSON lines on standard input: each is `{verb, base_url, key, ...}`, each gets
// one line `{ok}` or `{bug}` on standard output.

import { createInterface } from "node:readline";

// Node keeps connections, and has been seen to open one more to a gateway that was just stopping.
// Each job gets a pool of its own, which is closed in good order before the job's answer is given.
const POOL = Symbol.for("undici.globalDispatcher.1");

/** Does all jobs: `open(base_url, key)` makes the SDK's client, `verbs` are what can be done. */
export const serve = async (open, verbs) => {
  await fetch("data:,"); // makes the pool
  const Pool = globalThis[POOL].constructor;
  for await (const line of createInterface({ input: process.stdin })) {
    const { verb, base_url, key, ...job } = JSON.parse(line);
    globalThis[POOL] = new Pool();
    let answer;
    try {
      answer = { ok: await verbs[verb](open(base_url, key), job) };
    } catch (error) {
      answer = { bug: error.stack };
    }
    await globalThis[POOL].close();
    console.log(JSON.stringify(answer));
  }
};
