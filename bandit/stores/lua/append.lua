-- Appends one entry to the journal unless all its members were seen before; the first one wins.
-- A member is an arm (of a report) or the word open or close (of an event).
--
-- KEYS[1] journal   stream, fields b = entry bytes, m = mask of accepted rows (only if not all)
-- KEYS[2] meta      hash, last = position of the last entry, trimmed = last position ever trimmed
-- KEYS[3] members   set of the members seen in this scan (reported arms, or events)
-- KEYS[4] scans     sorted set, scan id -> milliseconds of its first entry
-- ARGV[1] scan id   ARGV[2] seconds to remember the members   ARGV[3] entry bytes
-- ARGV[4] the position that this client was last told, '' = none   ARGV[5...] members
--
-- Returns {position or '', previous position, mask or '' if all are new, 1 if ARGV[4] got lost}.

-- Redis before 7 replicates scripts by text unless told to replicate their effects.
if redis.replicate_commands then redis.replicate_commands() end

local FIRST = 5
local CHUNK = 1000 -- unpack() fits about 8000 values on Lua's stack

local function newer(a, b) -- whether position a > position b; numbers, because '10' < '9' as text
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, a_seq, b_ms, b_seq = tonumber(a_ms), tonumber(a_seq), tonumber(b_ms), tonumber(b_seq)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

-- Every key is read before the first write, so that a key of a foreign type stops us in time.
local previous = redis.call('HGET', KEYS[2], 'last') or '0-0'
local known_scan = redis.call('ZSCORE', KEYS[4], ARGV[1])
local lost = 0
if ARGV[4] ~= '' and ARGV[4] ~= previous then
  local trimmed = redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
  if newer(ARGV[4], trimmed) and #redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4]) == 0 then
    lost = 1
  end
end

local bits, fresh = {}, {}
for first = FIRST, #ARGV, CHUNK do
  local last = math.min(first + CHUNK - 1, #ARGV)
  local seen = redis.call('SMISMEMBER', KEYS[3], unpack(ARGV, first, last))
  for index, is_seen in ipairs(seen) do
    if is_seen == 1 then
      bits[#bits + 1] = '0'
    else
      bits[#bits + 1] = '1'
      fresh[#fresh + 1] = ARGV[first + index - 1]
    end
  end
end
local mask = table.concat(bits)
if #fresh == 0 then
  return {'', previous, mask, lost}
end

-- The first write is one that a full server refuses; after it, the others are not refused.
local position
if #fresh == #bits then
  position = redis.call('XADD', KEYS[1], '*', 'b', ARGV[3])
  mask = ''
else
  local check = string.sub(redis.sha1hex(mask), 1, 8)
  position = redis.call('XADD', KEYS[1], '*', 'b', ARGV[3], 'm', mask .. ':' .. check)
end
for first = 1, #fresh, CHUNK do
  redis.call('SADD', KEYS[3], unpack(fresh, first, math.min(first + CHUNK - 1, #fresh)))
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('HSET', KEYS[2], 'last', position)
if not known_scan then
  local now = tonumber(string.match(position, '^%d+'))
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 1000 * tonumber(ARGV[2]))
  redis.call('ZADD', KEYS[4], now, ARGV[1])
end
return {position, previous, mask, lost}
