-- The load of the rows: one head, sent again and again, or one of several heads and targets in turn.
-- Arguments: Host, method, path, number of targets, number of cookies, "small", "browser" or "large" head,
-- octets of content, "keep" or "close" (a new connection per request). Prints one line of JSON at the end.
local line, fields, targets, cookies, content
local number = 0

local function head_of(kind, host)
  local lines = { "Host: " .. host }
  if kind ~= "small" then
    lines[#lines + 1] = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    lines[#lines + 1] = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    lines[#lines + 1] = "Accept-Language: en-GB,en;q=0.7,de;q=0.3"
    lines[#lines + 1] = "Accept-Encoding: gzip, deflate, br, zstd"
    lines[#lines + 1] = "Referer: https://" .. host .. "/"
  end
  if kind == "large" then
    for extra = 1, 30 do
      lines[#lines + 1] = string.format("X-Feature-%d: %s", extra, string.rep("v", 90))
    end
  end
  return table.concat(lines, "\r\n") .. "\r\n"
end

function init(args)
  targets, cookies = tonumber(args[4]), tonumber(args[5])
  line = args[2] .. " " .. args[3]
  fields = " HTTP/1.1\r\n" .. head_of(args[6], args[1])
  if args[8] == "close" then
    fields = fields .. "Connection: close\r\n"
  end
  content = string.rep("x", tonumber(args[7]))
  if #content > 0 then
    fields = fields .. "Content-Length: " .. #content .. "\r\n"
  end
  if args[6] ~= "small" then
    fields = fields .. "Cookie: theme=dark; session=0123456789abcdef0123456789"
  else
    cookies = 0
  end
  if targets == 1 and cookies <= 1 then
    line = request()
    request = function() return line end
  end
end

function request()
  number = number + 1
  local target = targets == 1 and "" or "/" .. number % targets
  local cookie = cookies == 0 and "" or string.format("%06d\r\n", number % cookies)
  return line .. target .. fields .. cookie .. "\r\n" .. content
end

function done(summary, latency, requests)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "bytes": %d, "statuses": %d, "socket_errors": %d, '
      .. '"p50": %d, "p99": %d, "p999": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
