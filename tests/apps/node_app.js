// A plain Node http server as users write it; it listens on the descriptor that LISTEN_FD names.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const FILES = process.env.APP_FILES;
const channels = new Map();

class Channel {
  constructor() {
    this.messages = [];
    this.waiting = null;
  }

  put(message) {
    if (this.waiting) {
      const deliver = this.waiting;
      this.waiting = null;
      deliver(message);
    } else {
      this.messages.push(message);
    }
  }

  next() {
    if (this.messages.length) return Promise.resolve(this.messages.shift());
    return new Promise((resolve) => { this.waiting = resolve; });
  }
}

function channel(name) {
  if (!channels.has(name)) channels.set(name, new Channel());
  return channels.get(name);
}

function json(response, value) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(value));
}

function cookies(request, response) {
  const found = {};
  for (const pair of (request.headers.cookie || "").split("; ").filter(Boolean)) {
    const at = pair.indexOf("=");
    found[pair.slice(0, at)] = pair.slice(at + 1);
  }
  json(response, found);
}

function setCookies(request, response, query) {
  const fields = [...query].map(([name, value]) => `${name}=${value}; HttpOnly; Path=/`);
  response.writeHead(204, { "Set-Cookie": fields }).end();
}

function upload(request, response) {
  const digest = crypto.createHash("sha256");
  let length = 0;
  request.on("data", (piece) => { digest.update(piece); length += piece.length; });
  request.on("end", () => json(response, {
    length, sha256: digest.digest("hex"), content_type: request.headers["content-type"] || "",
  }));
}

function file(request, response, name) {
  const full = path.join(FILES, path.basename(name));
  const size = fs.statSync(full).size;
  const type = { "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": `"${size}"` };
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range || "");
  let start = 0;
  let end = size - 1;
  if (range) {
    start = range[1] ? Number(range[1]) : Math.max(size - Number(range[2]), 0);
    end = range[1] && range[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    if (start >= size) {
      response.writeHead(416, { "Content-Range": `bytes */${size}` }).end();
      return;
    }
  }
  const part = range ? { "Content-Range": `bytes ${start}-${end}/${size}` } : {};
  response.writeHead(range ? 206 : 200, { ...type, ...part, "Content-Length": end - start + 1 });
  if (request.method === "HEAD" || size === 0) response.end();
  else fs.createReadStream(full, { start, end }).pipe(response);
}

async function stream(request, response, query) {
  response.setHeader("Content-Type", "text/plain");
  for (let number = 0; number < Number(query.get("lines")); number += 1) {
    if (!response.write(`line ${number}\n`)) await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
}

async function events(request, response, query) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.write(": welcome\n\n");
  for (;;) {
    const message = await channel(query.get("channel")).next();
    if (!message) break;
    response.write(`data: ${message}\n\n`);
  }
  response.end();
}

function publish(request, response, query) {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (piece) => { text += piece; });
  request.on("end", () => { channel(query.get("channel")).put(text); response.writeHead(204).end(); });
}

function echo(request, response) {
  const fields = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    fields.push([request.rawHeaders[at].toLowerCase(), request.rawHeaders[at + 1]]);
  }
  json(response, { method: request.method, target: request.url, fields });
}

function hints(request, response) {
  response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" }, () => response.end("after the hints\n"));
}

function trailers(request, response) {
  response.writeHead(200, { "Content-Type": "text/plain", "Trailer": "X-Digest" });
  response.write("with a trailer\n");
  response.addTrailers({ "X-Digest": "abc" });
  response.end();
}

function handle(request, response) {
  const url = new URL(request.url, "http://app");
  const query = url.searchParams;
  const pathname = decodeURIComponent(url.pathname);
  const route = `${request.method} ${pathname}`;
  if (pathname === "/") response.setHeader("Content-Type", "text/plain").end("node");
  else if (pathname === "/cookies") cookies(request, response);
  else if (pathname === "/cookies/set") setCookies(request, response, query);
  else if (pathname === "/redirect") {
    response.writeHead(Number(query.get("status")), { Location: query.get("to") }).end();
  } else if (pathname === "/upload") upload(request, response);
  else if (pathname.startsWith("/files/")) file(request, response, pathname.slice(7));
  else if (pathname === "/stream") stream(request, response, query);
  else if (route === "GET /events") events(request, response, query);
  else if (route === "POST /events") publish(request, response, query);
  else if (pathname === "/echo") echo(request, response);
  else if (pathname === "/hints") hints(request, response);
  else if (pathname === "/trailers") trailers(request, response);
  else if (pathname.startsWith("/status/")) {
    const code = Number(pathname.slice(8));
    response.writeHead(code).end(code === 204 || code === 304 ? "" : `status ${code}\n`);
  } else response.writeHead(404).end();
}

http.createServer({ keepAliveTimeout: 60_000 }, handle).listen({ fd: Number(process.env.LISTEN_FD) });
