// The client from npm as test_node_client.py drives it: `node node_client.mjs URL TOKEN`. A line on stdin is a JSON list,
// [event, argument] to ask or ["leave"] and ["return"]; a line on stdout is [what, said].

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, token] = process.argv.slice(2);
const socket = io(`${url}/inbox`, { auth: token ? { token } : {}, transports: ["websocket"], reconnection: false });
const tell = (what, said) => console.log(JSON.stringify([what, said]));

socket.on("connect", () => tell("connect", null));
socket.on("connect_error", (error) => tell("refused", error.message));
socket.onAny((event, said) => tell(event, said));

for await (const line of createInterface({ input: process.stdin })) {
  const [event, argument] = JSON.parse(line);
  if (event === "leave") socket.disconnect();
  else if (event === "return") socket.connect();
  else tell("answer", await socket.timeout(10_000).emitWithAck(event, argument));
}
socket.disconnect();
