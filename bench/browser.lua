-- The load of the rows: one browser-like head of seven fields, sent again and again.
-- Arguments: Host, path, and "close" for a new connection per request. Prints one line of JSON at the end.
local head

function init(args)
  local fields = {
    "GET " .. args[2] .. " HTTP/1.1",
    "Host: " .. args[1],
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://" .. args[1] .. "/",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
  }
  if args[3] == "close" then
    fields[#fields + 1] = "Connection: close"
  end
  head = table.concat(fields, "\r\n") .. "\r\n\r\n"
end

function request()
  return head
end

function done(summary, latency, requests)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "bytes": %d, "statuses": %d, "socket_errors": %d, '
      .. '"p50": %d, "p99": %d, "p999": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
