// The worker of whileHidden() in runtime.js.
setInterval(() => postMessage(0), 250);
