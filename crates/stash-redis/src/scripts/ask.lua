-- Answers questions from one state. ARGV[4] says of which: 'now' the present one; 'held' that of the snapshot with the id
-- ARGV[5] and the number ARGV[6]; 'hold' the present one, which becomes such a snapshot and lives ARGV[6] milliseconds, if
-- there are fewer than ARGV[7]. Then come the questions. The answer is the snapshot's number and an answer to each;
-- nothing where the snapshot has ended, and 0 where there are too many.
local at = 7
local function arg()
  at = at + 1
  return ARGV[at]
end

local number
if ARGV[4] == 'held' then
  if not call('ZSCORE', HELD, held_name(ARGV[5])) then return false end
  number = tonumber(ARGV[6])
elseif ARGV[4] == 'hold' then
  number = hold(ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
  if not number then return 0 end
end
-- Only then are there keys in `k` that are not there.
local is_aside = call('EXISTS', CHANGED) == 1

-- What a key was at the snapshot, if it was changed since: true, how its value began or false, and the name of its rest.
local function earlier(key, changes)
  for change in string.gmatch(changes, '%d+') do
    if tonumber(change) > number then
      local kept = call('HGET', KEPT, change .. ':' .. key)
      if string.sub(kept, 1, 1) == '0' then return true, false end
      return true, string.sub(kept, 2), KEPT .. ':' .. change .. ':' .. key
    end
  end
  return false
end

-- How the values of some keys begin, false where there is none; and the names of their rests where there are any.
local function beginnings(owner, keys, from, to)
  local begun, rests = call('HMGET', name(owner, 'v'), unpack(keys, from, to)), {}
  local changes = number and is_aside and call('HMGET', CHANGED, unpack(keys, from, to))
  for n = 1, to - from + 1 do
    local key, was, rest = keys[from + n - 1], false, nil
    if changes and changes[n] then
      local is_earlier
      is_earlier, was, rest = earlier(key, changes[n])
      if is_earlier then begun[n] = was end
    end
    if begun[n] and #begun[n] == WHOLE then rests[n] = rest or name(owner, 't') .. ':' .. key end
  end
  return begun, rests
end

-- The values of some keys of a namespace; nothing where they, and those that were asked for before them, have more bytes
-- than `most`.
local bytes = 0
local function values(owner, keys, most)
  local found = {}
  for from = 1, #keys, PIECE do
    local to = math.min(from + PIECE - 1, #keys)
    local begun, rests = beginnings(owner, keys, from, to)
    for n = 1, to - from + 1 do
      local value, rest = begun[n], rests[n]
      if value and most then
        bytes = bytes + #value + (rest and call('STRLEN', rest) or 0)
        if bytes > most then return false end
      end
      -- In two pieces: to put them together would be one copy more.
      if rest then value = { value, call('GET', rest) } end
      found[#found + 1] = value
    end
  end
  return found
end

-- Adds the entries of a namespace between two bounds to a page. Tells whether the page is full, and whether there was
-- anything.
local function take(page, owner, low, high)
  local k = name(owner, 'k')
  local looks = page.bytes > 0 or is_aside
  local piece, any = 128, false
  while true do
    local most = math.min(piece, page.limit - page.count + 1)
    local keys
    if page.reverse then
      keys = call('ZREVRANGEBYLEX', k, high, low, 'LIMIT', 0, most)
    else
      keys = call('ZRANGEBYLEX', k, low, high, 'LIMIT', 0, most)
    end
    if #keys == 0 then return false, any end
    any = true
    local begun, rests
    if looks then begun, rests = beginnings(owner, keys, 1, #keys) end
    for n, key in ipairs(keys) do
      local value, rest = '', nil
      if looks then value, rest = begun[n], rests[n] end
      if value then
        if page.count >= page.limit or (page.count > 0 and page.size >= page.most) then
          page[1] = 1
          return true, any
        end
        if #value > page.bytes then value = string.sub(value, 1, page.bytes) end
        local size = #value
        if rest and page.bytes > WHOLE then
          local more
          if page.bytes < 2 ^ 40 then
            more = call('GETRANGE', rest, 0, page.bytes - WHOLE - 1)
          else
            more = call('GET', rest)
          end
          size = size + #more
          value = { value, more }
        end
        page.size = page.size + math.max(0, #key - page.key_bytes) + math.max(0, size - page.value_bytes)
        page.count = page.count + 1
        page[#page + 1] = key
        page[#page + 1] = value
      end
    end
    if #keys < most then return false, any end
    if page.reverse then high = '(' .. keys[#keys] else low = '(' .. keys[#keys] end
    piece = math.min(piece * 2, PIECE / 4)
  end
end

-- In the index is where the keys of each namespace are, by the byte in front of it and what follows it: no other's keys
-- are between a place and its end. The keys of no namespace are between the places.
local INDEX = name('', 'i')
local function place_owner(place) return string.sub(place, 2, -2) end
local function place_end(place)
  return string.sub(place, 1, -2) .. (string.sub(place, -1) == '/' and '0' or ' ')
end

-- Adds what is at a place, and forgets the place if there is nothing.
local function take_place(page, place, low, high, is_whole)
  local full, any = take(page, place_owner(place), low, high)
  if is_whole and not any and not number then redis.pcall('ZREM', INDEX, place) end
  return full
end

-- Adds the entries of all namespaces and of none between two bounds, which are at the places `first` and `last`, or at none.
local function take_all(page, low, high, first, last)
  local from = low
  if first ~= '' then
    local to = first == last and high or '(' .. place_end(first)
    if take_place(page, first, low, to, false) or first == last then return end
    from = '[' .. place_end(first)
  end
  local upto = last ~= '' and '[' .. last or high
  while true do
    local place = call('ZRANGEBYLEX', INDEX, from, upto, 'LIMIT', 0, 1)[1]
    if take(page, '', from, place and '(' .. place or high) or not place then return end
    local to = place == last and high or '(' .. place_end(place)
    if take_place(page, place, '[' .. place, to, place ~= last) or place == last then return end
    from = '[' .. place_end(place)
  end
end

local function take_all_reverse(page, low, high, first, last)
  local to = high
  if last ~= '' then
    local from = first == last and low or '[' .. last
    if take_place(page, last, from, high, false) or first == last then return end
    to = '(' .. last
  end
  local down = first ~= '' and '[' .. first or low
  while true do
    local place = call('ZREVRANGEBYLEX', INDEX, to, down, 'LIMIT', 0, 1)[1]
    if take(page, '', place and '[' .. place_end(place) or low, to) or not place then return end
    local from = place == first and low or '[' .. place
    if take_place(page, place, from, '(' .. place_end(place), place ~= first) or place == first then return end
    to = '(' .. place
  end
end

local answers = { number and string.format('%.0f', number) or '' }
while at < #ARGV do
  local question, answer = arg(), nil
  if question == 'values' then
    local owner, most, count = arg(), tonumber(arg()), tonumber(arg())
    local keys = {}
    for n = 1, count do keys[n] = arg() end
    answer = values(owner, keys, most)
  elseif question == 'head' then
    answer = call('GET', name(arg(), 'h'))
  elseif question == 'places' then
    local from, to, reverse, most = arg(), arg(), arg() == '1', arg()
    if reverse then
      answer = call('ZREVRANGEBYLEX', INDEX, to, from, 'LIMIT', 0, most)
    else
      answer = call('ZRANGEBYLEX', INDEX, from, to, 'LIMIT', 0, most)
    end
  else
    local owner, low, high = arg(), arg(), arg()
    local page = { 0, count = 0, size = 0 }
    page.reverse, page.limit, page.most, page.bytes = arg() == '1', tonumber(arg()), tonumber(arg()), tonumber(arg())
    page.key_bytes, page.value_bytes = tonumber(arg()), tonumber(arg())
    if question == 'range' then
      take(page, owner, low, high)
    else
      local first, last = arg(), arg()
      if page.reverse then
        take_all_reverse(page, low, high, first, last)
      else
        take_all(page, low, high, first, last)
      end
    end
    answer = page
  end
  answers[#answers + 1] = answer
end
return answers
