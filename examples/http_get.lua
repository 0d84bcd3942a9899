-- http_get.lua: an HTTP/1.1 GET written on a plain socket.
--
-- Run:    luasocketd run --allow example.com:80 examples/http_get.lua http://example.com/
-- Prints: the body of the page. What goes wrong is said on standard error, and the exit code is 1.

local socket = require "socket"

local function fail(...)
  io.stderr:write("http_get: ", table.concat({...}, " "), "\n")
  os.exit(1)
end

-- Splits http://host[:port][/path]; an IPv6 address stands in brackets.
local function parse_url(url)
  local authority, path = (url or ""):match("^http://([^/?#]+)([^#]*)")
  if not authority then return nil end
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
  local host, port = authority:match("^%[(.-)%]:?(%d*)$")
  if not host then host, port = authority:match("^([^:]+):?(%d*)$") end
  return host, port ~= "" and port or "80", path, authority
end

local url = arg[1] or fail("usage: http_get.lua URL")
local host, port, path, authority = parse_url(url)
if not host then fail("not an http URL:", url) end

local server, err = socket.connect(host, port)
if not server then fail("cannot connect to", authority .. ":", err) end
server:settimeout(30)

local function receive(pattern)
  local data, err = server:receive(pattern)
  return data or fail("the answer broke off:", err)
end

-- Copies exactly `count` bytes of the answer to standard output.
local function copy(count)
  while count > 0 do
    local piece = receive(math.min(count, 65536))
    io.write(piece)
    count = count - #piece
  end
end

-- A chunked body: each chunk has its length in hexadecimal before it and an empty line behind it.
local function copy_chunks()
  while true do
    local line = receive("*l")
    local size = tonumber(line:match("^%x+"), 16) or fail("bad chunk size:", line)
    if size == 0 then break end
    copy(size)
    receive("*l")
  end
  repeat until receive("*l") == ""
end

-- A body without a length: it ends where the connection ends.
local function copy_to_close()
  while true do
    local data, err, partial = server:receive(65536)
    io.write(data or partial)
    if err == "closed" then return end
    if err then fail("the answer broke off:", err) end
  end
end

local sent, err = server:send(table.concat({
  "GET " .. path .. " HTTP/1.1",
  "Host: " .. authority,
  "Connection: close",
  "", "",
}, "\r\n"))
if not sent then fail("cannot send the request:", err) end

local status, reason, headers
repeat -- 1xx answers only announce the real one
  local line = receive("*l")
  status, reason = line:match("^HTTP/1%.%d (%d%d%d) ?(.*)$")
  if not status then fail("not an HTTP answer:", line) end
  headers = {}
  for header in function() return receive("*l") end do
    if header == "" then break end
    local name, value = header:match("^([^:]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value end
  end
until not status:match("^1")

if (headers["transfer-encoding"] or ""):lower():match("chunked") then
  copy_chunks()
elseif headers["content-length"] then
  copy(tonumber(headers["content-length"]) or fail("bad Content-Length:", headers["content-length"]))
elseif status ~= "204" and status ~= "304" then
  copy_to_close()
end
server:close()
if not status:match("^2") then fail(status, reason) end
