-- What all scripts share. ARGV[1] is the store's prefix, ARGV[2] the namespace in whose slot all of this happens, or empty
-- where one server has everything, ARGV[3] which run of the server the host has connected to.
-- No two strings are ever compared with '<' here: Lua does that by the server's locale. Sorted sets compare bytes.
local call = redis.call
local PREFIX, SCOPE, RUN = ARGV[1], ARGV[2], ARGV[3]
-- Bytes of a value that are kept in `v`; the rest is a string of its own, so that whoever wants to know only how a value
-- begins need not wait until the server has copied the whole of it, and what is set aside is only given another name. A
-- value has a rest, maybe an empty one, if it has so many bytes in `v`.
local WHOLE = 1024
-- Arguments of one call: Lua's stack has room for some 8000.
local PIECE = 4000

-- What belongs together has the same hash tag, which begins and ends with a brace.
local function name(owner, what)
  if owner == '' then
    owner = '-'
  elseif string.find(owner, '[{}]') then
    owner = string.gsub(owner, '[{}]', { ['{'] = '\1', ['}'] = '\2' })
  end
  return PREFIX .. ':{' .. owner .. '}:' .. what
end

-- The namespace of a key, as `stash_core::keyspace::owner` tells it.
local function owner_of(key)
  return string.match(key, '^.([^/%z\1-\31]*/[^/%z\1-\31]*/[^/%z\1-\31]*)[/%z\1-\31]') or ''
end

-- What keeps snapshots: `s` their numbers, `x` until when they live, `n` how many commits there were while there were
-- any; `u` what keys were before a commit, `w` by which commits each key was changed, `d` what can be dropped when, `b` how
-- many bytes all that is.
local HELD, ENDS, COUNT = name(SCOPE, 's'), name(SCOPE, 'x'), name(SCOPE, 'n')
local KEPT, CHANGED, DROPS = name(SCOPE, 'u'), name(SCOPE, 'w'), name(SCOPE, 'd')
local BYTES = name(SCOPE, 'b')

-- The first of some commands that the user may not run on a key or a channel, or that the server does not have.
local function denied(subject, commands)
  for _, command in ipairs(commands) do
    local is_known, may = pcall(redis.acl_check_cmd, command, subject, subject)
    if not (is_known and may) then return command end
  end
  return false
end

-- The first of some keys that is not of the type that a store has there.
local function foreign(keys)
  for key, wanted in pairs(keys) do
    local is = call('TYPE', key).ok
    if is ~= 'none' and is ~= wanted then return string.match(key, '[^:]*$') .. ' is a ' .. is .. ' and not a ' .. wanted end
  end
  return false
end

-- Nothing about snapshots is written to disk or to replicas: they end with the server that holds them.
local function unlogged() redis.set_repl(redis.REPL_NONE) end
local function logged() redis.set_repl(redis.REPL_ALL) end

-- A snapshot is of one run of a server: one that is restarted, or a replica that takes over, may have read from a file
-- that there is one, but does not have all that was kept for it.
local function held_name(id) return id .. '-' .. RUN end

-- Bytes of something that was set aside: its name is in `u`, `w` and `d`.
local function size_of(change)
  local begun = call('HSTRLEN', KEPT, change)
  return 3 * #change + begun + (begun > WHOLE and call('STRLEN', KEPT .. ':' .. change) or 0)
end

-- Drops something that was set aside, but for its number in `w`. Tells its bytes.
local function drop(change)
  local size = size_of(change)
  if call('HSTRLEN', KEPT, change) > WHOLE then call('UNLINK', KEPT .. ':' .. change) end
  call('HDEL', KEPT, change)
  call('ZREM', DROPS, change)
  return size
end

-- Forgets snapshots that have ended, and at most so many of the values that were kept for them. Tells the time, and how many
-- values that were.
local function tidy(most)
  unlogged()
  local time = call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local over = call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 1000)
  if #over > 0 then
    call('ZREM', ENDS, unpack(over))
    call('ZREM', HELD, unpack(over))
  end
  local oldest = call('ZRANGE', HELD, 0, 0, 'WITHSCORES')[2] or '+inf'
  local changes, bytes = call('ZRANGEBYSCORE', DROPS, '-inf', oldest, 'LIMIT', 0, most), 0
  for _, change in ipairs(changes) do
    local key = string.match(change, '^%d+:(.*)$')
    bytes = bytes + drop(change)
    -- The oldest comes first.
    local later = string.match(call('HGET', CHANGED, key) or '', '^%d+ (.+)$')
    if later then
      call('HSET', CHANGED, key, later)
    else
      call('HDEL', CHANGED, key)
      local owner = owner_of(key)
      if call('HEXISTS', name(owner, 'v'), key) == 0 then call('ZREM', name(owner, 'k'), key) end
    end
  end
  if #changes > 0 then
    if call('EXISTS', DROPS) == 1 then
      call('INCRBY', BYTES, string.format('%.0f', -bytes))
    else
      call('UNLINK', BYTES)
    end
  end
  logged()
  return now, #changes
end

-- Begins to keep the present state. Tells its number; nothing where there are too many snapshots.
local function hold(id, life, most)
  local now = tidy(1000)
  if call('ZCARD', HELD) >= most then return nil end
  local number = tonumber(call('GET', COUNT) or '0')
  unlogged()
  call('ZADD', HELD, number, held_name(id))
  call('ZADD', ENDS, now + life, held_name(id))
  logged()
  return number
end
