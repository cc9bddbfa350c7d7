// Without the network the page is what it was at the last visit.
const CACHE = "picolink @VERSION@";
const PARTS = ["newest", "objects", "files", "key", "timer", "websocket"].map((part) => `picolink-${part}.js`);
const PAGE = ["./", "page.css", "config.json", "icon.svg", "manifest.webmanifest"];
const SCRIPTS = ["page", "panel", "controls", "plot"].map((part) => `${part}.js`);
const FILES = [...PAGE, ...SCRIPTS, "picolink.js", "picolink.wasm", ...PARTS];

self.addEventListener("install", (event) => event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES))));

self.addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name.startsWith("picolink ") && name !== CACHE);
  event.waitUntil(caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))));
});

async function fresh(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request, answer.clone());
    return answer;
  } catch (error) {
    return (await cache.match(request)) ?? Promise.reject(error);
  }
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && new URL(event.request.url).origin === location.origin) {
    event.respondWith(fresh(event.request));
  }
});
