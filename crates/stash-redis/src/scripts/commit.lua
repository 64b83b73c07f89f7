-- Applies a commit if every namespace has the expected head; else nothing of it. The answer is 1 or 0, and 2 where the store
-- is gone, which only one server alone can tell. Errors: NOPERM and FOREIGN, where nothing was written because the user may
-- not, or because a key is not the store's; TORN where something failed on the way. ARGV from the
-- fourth on: how many bytes may be set aside for snapshots; the number of heads, and for each its namespace, the head it must have (empty for none) and the one it gets; then for each namespace
-- that is written to, the numbers of values, of rests, of removals and of places in the index, and those.
local at = 3
local function arg()
  at = at + 1
  return ARGV[at]
end

if SCOPE == '' and call('EXISTS', name('', 'f')) == 0 then return 2 end
-- A script that fails is not undone. So whatever can fail is looked for before the first write.
local function refuse(code, why) return redis.error_reply(code .. ' ' .. why) end
local no = denied(name(SCOPE, 'h'), { 'SET', 'EXISTS', 'UNLINK', 'HSET', 'HDEL', 'HEXISTS', 'ZADD', 'ZREM' })
if no then return refuse('NOPERM', no) end

local most_aside = tonumber(arg())
local types, owners, heads = {}, {}, {}
for n = 1, tonumber(arg()) do
  local owner, expected, head = arg(), arg(), arg()
  local h = name(owner, 'h')
  local what = foreign({ [h] = 'string' })
  if what then return refuse('FOREIGN', what) end
  if (call('GET', h) or '') ~= expected then return 0 end
  owners[n], heads[n] = owner, head
end

local groups = {}
while at < #ARGV do
  local group = { owner = arg() }
  local puts, rests, removals, places = tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
  group.put = at + 1
  group.rest = group.put + puts * 2
  group.removal = group.rest + rests * 2
  group.place = group.removal + removals
  at = group.place + places - 1
  group.last = at
  groups[#groups + 1] = group
  types[name(group.owner, 'v')], types[name(group.owner, 'k')] = 'hash', 'zset'
  types[name(group.owner, 't')] = 'string'
  if places > 0 then types[name('', 'i')] = 'zset' end
end

-- While there are snapshots, what they see is set aside before it changes.
local held = call('EXISTS', HELD, CHANGED) > 0
if held then
  no = denied(HELD, {
    'TIME', 'GET', 'STRLEN', 'RENAME', 'INCR', 'INCRBY', 'HGET', 'HSTRLEN', 'ZCOUNT', 'ZRANGE', 'ZREVRANGE',
    'ZRANGEBYSCORE',
  })
  if no then return refuse('NOPERM', no) end
  types[HELD], types[ENDS], types[DROPS] = 'zset', 'zset', 'zset'
  types[COUNT], types[BYTES], types[KEPT], types[CHANGED] = 'string', 'string', 'hash', 'hash'
end
local what = foreign(types)
if what then return refuse('FOREIGN', what) end
for _, key in ipairs(held and { COUNT, BYTES } or {}) do
  if not string.find(call('GET', key) or '0', '^%-?%d+$') then return refuse('FOREIGN', 'n or b is not a number') end
end

local newest, number
local bytes = 0

-- Changes of one key that are looked at: of those that are seen there are as many as snapshots.
local MOST_LOOKS = 32
-- Values that are dropped at once.
local DROPPED = 200

local function set_aside(key, values, rests)
  local before = call('HGET', CHANGED, key)
  -- It was set aside since the newest snapshot began, so nobody sees what it is now.
  if before and tonumber(string.match(before, '(%d+)$')) > newest then return end
  -- A change is seen by the snapshots between the one before it and itself. Where they have ended, it goes.
  local numbers, seen = {}, {}
  for earlier in string.gmatch(before or '', '%d+') do numbers[#numbers + 1] = earlier end
  for n, earlier in ipairs(numbers) do
    if n > #numbers - MOST_LOOKS and call('ZCOUNT', HELD, numbers[n - 1] or '-inf', '(' .. earlier) == 0 then
      bytes = bytes - drop(earlier .. ':' .. key)
    else
      seen[#seen + 1] = earlier
    end
  end
  seen[#seen + 1] = number
  local value = call('HGET', values, key)
  local change = number .. ':' .. key
  if value and #value == WHOLE then
    call('RENAME', rests .. key, KEPT .. ':' .. change)
    -- On disk and on replicas it still has its old name, and is removed or replaced there.
    logged()
    call('SET', rests .. key, '')
    unlogged()
  end
  call('HSET', KEPT, change, value and '1' .. value or '0')
  call('HSET', CHANGED, key, table.concat(seen, ' '))
  call('ZADD', DROPS, number, change)
  bytes = bytes + size_of(change)
end

-- Ends the oldest snapshots until no more is set aside than may be.
local function keep_to_bytes()
  while tonumber(call('GET', BYTES) or '0') > most_aside do
    local _, dropped = tidy(DROPPED)
    if dropped == 0 then
      local oldest = call('ZRANGE', HELD, 0, 0, 'WITHSCORES')[2]
      if not oldest then return end
      unlogged()
      local over = call('ZRANGEBYSCORE', HELD, oldest, oldest, 'LIMIT', 0, 1000)
      call('ZREM', HELD, unpack(over))
      call('ZREM', ENDS, unpack(over))
      logged()
    end
  end
end

-- Calls with the arguments from `first` to `last`, in pieces; adds up what that answers.
local function pieces(command, key, first, last)
  local sum = 0
  for from = first, last, PIECE do
    sum = sum + call(command, key, unpack(ARGV, from, math.min(from + PIECE - 1, last)))
  end
  return sum
end

-- Every `step`th argument with something before it, in pieces.
local function keys_of(first, last, step, before, each)
  local piece = PIECE / 2 * step
  for from = first, last, piece do
    local keys = {}
    for n = from, math.min(from + piece - 1, last), step do keys[#keys + 1] = before .. ARGV[n] end
    each(keys)
  end
end

local function write(group)
  local owner, put, rest, removal, place = group.owner, group.put, group.rest, group.removal, group.place
  local v, k, t = name(owner, 'v'), name(owner, 'k'), name(owner, 't')
  local rests_of = t .. ':'

  if newest then
    unlogged()
    for n = put, rest - 2, 2 do set_aside(ARGV[n], v, rests_of) end
    for n = removal, place - 1 do set_aside(ARGV[n], v, rests_of) end
    logged()
  end
  if held then
    -- A key that is gone may still be in `k`, for a snapshot: on disk and on replicas it is not.
    unlogged()
    for n = put, rest - 2, 2 do
      if call('HEXISTS', v, ARGV[n]) == 0 then call('ZREM', k, ARGV[n]) end
    end
    logged()
  end
  -- It says that there are rests, which most namespaces do not have.
  if call('EXISTS', t) == 1 then
    local function remove(names) call('UNLINK', unpack(names)) end
    keys_of(put, rest - 1, 2, rests_of, remove)
    keys_of(removal, place - 1, 1, rests_of, remove)
  end
  if pieces('HSET', v, put, rest - 1) > 0 then
    keys_of(put, rest - 1, 2, '', function(keys)
      local members = {}
      for n, key in ipairs(keys) do
        members[n * 2 - 1], members[n * 2] = 0, key
      end
      call('ZADD', k, unpack(members))
    end)
    for n = place, group.last do call('ZADD', name('', 'i'), 0, ARGV[n]) end
  end
  if rest < removal then
    call('SET', t, 1)
    for n = rest, removal - 1, 2 do call('SET', rests_of .. ARGV[n], ARGV[n + 1]) end
  end
  if removal < place then
    pieces('HDEL', v, removal, place - 1)
    pieces('ZREM', k, removal, place - 1)
    if newest then
      unlogged()
      for n = removal, place - 1 do call('ZADD', k, 0, ARGV[n]) end
      logged()
    end
  end
end

local is_begun = false
local function apply()
  -- First, because Redis refuses a script that has no memory left only at its first write.
  for n, owner in ipairs(owners) do
    call('SET', name(owner, 'h'), heads[n])
    is_begun = true
  end
  is_begun = true
  if held then
    tidy(DROPPED)
    newest = call('ZREVRANGE', HELD, 0, 0, 'WITHSCORES')[2]
    if newest then
      newest = tonumber(newest)
      unlogged()
      number = string.format('%.0f', call('INCR', COUNT))
      logged()
    end
  end
  for _, group in ipairs(groups) do write(group) end
  if bytes ~= 0 then
    unlogged()
    call('INCRBY', BYTES, string.format('%.0f', bytes))
    logged()
    keep_to_bytes()
  end
end

local is_whole, failed = pcall(apply)
if is_whole then return 1 end
failed = type(failed) == 'table' and failed.err or tostring(failed)
if not is_begun then return redis.error_reply(failed) end
-- What was written stays written. The text of Redis may have the name of a key, but its first word does not.
return refuse('TORN', string.match(failed, '^%-?(%u+)') or failed)
