-- The script side of the soak: streams whose bytes are a function of stream and offset (see src/pattern.rs), sent to a peer
-- and received from it, with every byte checked. Arguments: WAY PORT PATIENCE STREAM:UP:DOWN:PIECE:MANNER...
-- It prints `at STREAM ACCEPTED RECEIVED` on the way and `end STREAM ACCEPTED RECEIVED HASH HASH ENDING` at the end.

local way, port, patience = arg[1], tonumber(arg[2]), tonumber(arg[3])
local socket = require "socket"
local v1 = way == "v1" and require "luasocketd.v1"
local floor, byte, concat = math.floor, string.byte, table.concat

local BLOCK, NOISE, PRIME, DOWN, SAMPLE = 1024, 65536, 2147483647, 5000000000, 61
-- How many bytes are accepted between two lines that say so, and how many of those that are wrong are shown.
local SAID, SHOWN = 131072, 4096

local base, state = {}, 20260101
for i = 1, NOISE do
    state = state * 16807 % PRIME
    base[i] = string.char(floor(state / 256) % 256)
end
base = concat(base)

local function bytes(lane, from, count)
    local first, last, all = floor(from / BLOCK), floor((from + count - 1) / BLOCK), {}
    for block = first, last do
        local at = (lane * 7919 + block * 389) % (NOISE - BLOCK)
        -- Whole numbers that a Lua without integers holds exactly, and some of them cannot format with %d.
        all[#all + 1] = ("%010.0f%014.0f"):format(lane, block) .. base:sub(at + 1, at + BLOCK - 24)
    end
    local skip = from - first * BLOCK
    return concat(all):sub(skip + 1, skip + count)
end

local function absorb(hash, offset, text)
    for i = -offset % SAMPLE + 1, #text, SAMPLE do
        hash = (hash * 257 + byte(text, i) + 1) % PRIME
    end
    return hash
end

local function say(...)
    io.stdout:write(concat({...}, " "), "\n")
    io.stdout:flush()
end

local function number(value)
    return ("%.0f"):format(value)
end

local streams = {}
for i = 4, #arg do
    local id, up, down, piece, manner = arg[i]:match("^(%d+):(%d+):(%d+):(%d+):(.+)$")
    streams[#streams + 1] = {
        id = tonumber(id), up = tonumber(up), down = tonumber(down), piece = tonumber(piece), manner = manner,
        accepted = 0, received = 0, said = 0, sent_hash = 0, received_hash = 0, chunk = "", from = 0, idle = 0,
    }
end

local function finish(stream, ending)
    if stream.ended then return end
    stream.ended = true
    say("end", number(stream.id), number(stream.accepted), number(stream.received), number(stream.sent_hash),
        number(stream.received_hash), ending)
    if stream.client then stream.client:close() end
end

local function fail(stream, call, why)
    finish(stream, "error " .. call .. ": " .. tostring(why))
end

-- The next bytes to send: what is left of a piece, or a new one.
local function next_piece(stream)
    if stream.accepted == stream.from + #stream.chunk then
        stream.from = stream.accepted
        stream.chunk = bytes(stream.id, stream.from, math.min(stream.piece, stream.up - stream.from))
    end
    return stream.chunk, stream.accepted - stream.from
end

local function accept(stream, count)
    local _, skip = next_piece(stream)
    stream.sent_hash = absorb(stream.sent_hash, stream.accepted, stream.chunk:sub(skip + 1, skip + count))
    stream.accepted = stream.accepted + count
    if stream.accepted - stream.said >= SAID then
        stream.said = stream.accepted
        say("at", number(stream.id), number(stream.accepted), number(stream.received))
    end
end

-- Takes what was received; false when it is wrong.
local function take(stream, text)
    if #text == 0 then return true end
    local lane = stream.id + DOWN
    local expected = bytes(lane, stream.received, #text)
    stream.received_hash = absorb(stream.received_hash, stream.received, text)
    if text == expected then
        stream.received = stream.received + #text
        return true
    end
    local at = 1
    while byte(text, at) == byte(expected, at) do at = at + 1 end
    local wrong = text:sub(at, at + SHOWN - 1):gsub(".", function(c) return ("%02x"):format(byte(c)) end)
    stream.received = stream.received + at - 1
    say("bad", number(stream.id), number(stream.received), wrong)
    finish(stream, "error receive: bytes that do not belong here")
    return false
end

-- Whether everything of both directions is done; an end before that is an error.
local function at_end(stream)
    if stream.received < stream.down then
        fail(stream, "receive", "closed")
    elseif stream.accepted == stream.up then
        finish(stream, "whole")
    else
        stream.peer_ended = true
    end
end

-- Sends the next piece, or a part of it; false when nothing more can be sent now.
local function send_some(stream)
    local chunk, skip = next_piece(stream)
    local why, count
    if v1 then
        why, count = stream.client:send(skip == 0 and chunk or chunk:sub(skip + 1))
    else
        local last, partial
        last, why, partial = stream.client:send(chunk, skip + 1)
        count = (last or partial) - skip
    end
    accept(stream, count)
    if why and why ~= "timeout" then
        fail(stream, "send", why)
    end
    return not why
end

-- Ends the script's direction when all of it is accepted.
local function end_sending(stream)
    if stream.accepted < stream.up or stream.sent_all then return end
    stream.sent_all = true
    if not v1 then
        local done, why = stream.client:shutdown("send")
        if not done then return fail(stream, "shutdown", why) end
    end
    if stream.peer_ended then at_end(stream) end
end

local function receive_some(stream)
    local text, why, partial
    if v1 then
        text, why = stream.client:receive(stream.piece)
    else
        text, why, partial = stream.client:receive(stream.piece)
        text = text or partial
    end
    if not take(stream, text) then return false end
    if why == "closed" then
        at_end(stream)
    elseif why and why ~= "timeout" then
        fail(stream, "receive", why)
    end
    return not why
end

local function order(stream)
    return ("stream %s %s %s %s\n"):format(number(stream.id), number(stream.up), number(stream.down), stream.manner)
end

-- A peer that does not read is given up soon; everything else only when something is broken.
local function patience_of(stream)
    return (stream.manner == "late" or stream.manner == "never") and patience or 150
end

local function dial(stream)
    if v1 then
        local client, why = v1.connect("127.0.0.1", port)
        if not client then return fail(stream, "connect", why) end
        stream.client = client
        client:timeout(patience_of(stream))
        why = client:send(order(stream))
        if why then return fail(stream, "send", why) end
        return true
    end
    local client, why = socket.connect("127.0.0.1", port)
    if not client then return fail(stream, "connect", why) end
    stream.client = client
    client:settimeout(patience_of(stream))
    local sent
    sent, why = client:send(order(stream))
    if not sent then return fail(stream, "send", why) end
    return true
end

-- Listens, asks the peer to connect, and gives it the same order.
local function serve(stream)
    local server, why = socket.bind("127.0.0.1", 0)
    if not server then return fail(stream, "bind", why) end
    local _, own = server:getsockname()
    local asking
    asking, why = socket.connect("127.0.0.1", port)
    if not asking then return fail(stream, "connect", why) end
    local asked
    asked, why = asking:send(("dial %s\n"):format(number(own)))
    if not asked then return fail(stream, "send", why) end
    server:settimeout(60)
    local client
    client, why = server:accept()
    asking:close()
    server:close()
    if not client then return fail(stream, "accept", why) end
    stream.client = client
    client:settimeout(patience_of(stream))
    local sent
    sent, why = client:send(order(stream))
    if not sent then return fail(stream, "send", why) end
    return true
end

-- Whether the script is tired of a peer that does not read.
local function give_up(stream)
    if stream.manner == "late" or stream.manner == "never" then
        finish(stream, "gave-up")
    else
        fail(stream, "wait", "timeout")
    end
end

local function block(stream, half)
    while not stream.ended and stream.accepted < stream.up do
        if half and stream.accepted >= stream.up / 2 then
            half()
            half = nil
        end
        if not send_some(stream) and not stream.ended then give_up(stream) end
    end
    if not stream.ended then end_sending(stream) end
    while not stream.ended do
        if not receive_some(stream) and not stream.ended then give_up(stream) end
    end
end

local function select_all()
    for _, stream in ipairs(streams) do
        if dial(stream) then stream.client:settimeout(0) end
    end
    while true do
        local reads, writes, of, left = {}, {}, {}, false
        for _, stream in ipairs(streams) do
            if not stream.ended then
                left = true
                of[stream.client] = stream
                if not stream.peer_ended then reads[#reads + 1] = stream.client end
                if stream.accepted < stream.up then writes[#writes + 1] = stream.client end
            end
        end
        if not left then return end
        local readable, writable = socket.select(reads, writes, 1)
        for _, client in ipairs(writable) do
            if not of[client].ended then
                send_some(of[client])
                of[client].moved = true
            end
        end
        for _, client in ipairs(readable) do
            if not of[client].ended then
                receive_some(of[client])
                of[client].moved = true
            end
        end
        for _, stream in ipairs(streams) do
            if not stream.ended then end_sending(stream) end
            -- A second of the script's own: one that is stopped does not grow impatient.
            local is_quiet = not stream.moved and #readable + #writable == 0
            stream.idle = stream.moved and 0 or stream.idle + (is_quiet and 1 or 0)
            stream.moved = false
            if not stream.ended and stream.idle >= patience_of(stream) then give_up(stream) end
        end
    end
end

-- In a host that forks: the child has a stream of its own, and its parent's goes on.
local function fork_half_way()
    local parent, own = streams[1], streams[2]
    if not dial(parent) then return finish(own, "error connect: not tried") end
    block(parent, function()
        if fork() == 0 then
            if dial(own) then block(own) end
            os.exit(0)
        end
    end)
    wait()
end

if way == "select" then
    select_all()
elseif way == "fork" then
    fork_half_way()
else
    local open = way == "serve" and serve or dial
    for _, stream in ipairs(streams) do
        if open(stream) then block(stream) end
    end
end
