// The page's one connection to the console's namespace of Socket.IO, once `live.js` wants it. The server decides who may have one, by the cookie.

import { io } from "socket.io-client";

export const socket = io("/admin", { autoConnect: false, transports: ["websocket"], reconnectionDelayMax: 5000 });
