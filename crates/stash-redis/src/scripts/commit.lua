-- Applies a commit if every namespace has the expected head; else nothing of it. The answer is 1 or 0, and 2 where the store
-- is gone, which only one server alone can tell. ARGV from the fourth on: the number of
-- heads, and for each its namespace, the head it must have (empty for none) and the one it gets; then for each namespace
-- that is written to, the numbers of values, of rests, of removals and of places in the index, and those.
local at = 3
local function arg()
  at = at + 1
  return ARGV[at]
end

if SCOPE == '' and call('EXISTS', name('', 'f')) == 0 then return 2 end
local owners, heads = {}, {}
for n = 1, tonumber(arg()) do
  local owner, expected, head = arg(), arg(), arg()
  if (call('GET', name(owner, 'h')) or '') ~= expected then return 0 end
  owners[n], heads[n] = owner, head
end
-- First, because Redis refuses a script that has no memory left only at its first write.
for n, owner in ipairs(owners) do call('SET', name(owner, 'h'), heads[n]) end

-- While there are snapshots, what they see is set aside before it changes.
local held = call('EXISTS', HELD, CHANGED) > 0
local newest, number
if held then
  tidy(200)
  newest = call('ZREVRANGE', HELD, 0, 0, 'WITHSCORES')[2]
  if newest then
    newest = tonumber(newest)
    unlogged()
    number = string.format('%.0f', call('INCR', COUNT))
    logged()
  end
end

local function set_aside(key, values, rests)
  local before = call('HGET', CHANGED, key)
  -- It was set aside since the newest snapshot began, so nobody sees what it is now.
  if before and tonumber(string.match(before, '(%d+)$')) > newest then return end
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
  call('HSET', CHANGED, key, before and before .. ' ' .. number or number)
  call('ZADD', DROPS, number, change)
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

while at < #ARGV do
  local owner = arg()
  local puts, rests, removals, places = tonumber(arg()), tonumber(arg()), tonumber(arg()), tonumber(arg())
  local v, k, t = name(owner, 'v'), name(owner, 'k'), name(owner, 't')
  local rests_of = t .. ':'
  local put, rest = at + 1, at + 1 + puts * 2
  local removal = rest + rests * 2
  local place = removal + removals
  at = place + places - 1

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
    for n = place, at do call('ZADD', name('', 'i'), 0, ARGV[n]) end
  end
  if rests > 0 then
    call('SET', t, 1)
    for n = rest, removal - 1, 2 do call('SET', rests_of .. ARGV[n], ARGV[n + 1]) end
  end
  if removals > 0 then
    pieces('HDEL', v, removal, place - 1)
    pieces('ZREM', k, removal, place - 1)
    if newest then
      unlogged()
      for n = removal, place - 1 do call('ZADD', k, 0, ARGV[n]) end
      logged()
    end
  end
end
return 1
