-- Appends one entry to the journal unless all its members were seen before; the first one wins.
-- A member is an arm (of a report) or the word open or close (of an event).
--
-- KEYS[1] journal   stream, fields b = entry bytes, m = mask of accepted rows (only if not all)
-- KEYS[2] meta      hash: trimmed = last position ever trimmed, generation of the journal,
--                   removed:<position> = deleted by a repair, scans = members of KEYS[4]
-- KEYS[3] members   set of the members seen in this scan (reported arms, or events)
-- KEYS[4] scans     sorted set, scan id -> milliseconds of its first entry
-- KEYS[5] claims    hash, arm -> lease; an arm that has an outcome needs none
-- ARGV[1] scan id   ARGV[2] seconds to remember the scan   ARGV[3] entry bytes
-- ARGV[4] the position that this client last knew, '' = none; ARGV[6] its generation, ARGV[7]
--         a new one: the journal's from now on if that position is no longer there
-- ARGV[5] members, as a JSON list: packing 50 arguments in Python takes longer than all this
--
-- Returns 'position previous generation mask' as one string, which is quicker to read than a list:
-- position '-' if nothing was new, mask '' if all were new.

-- Redis before 7 replicates scripts by text unless asked to replicate their effects.
if redis.replicate_commands then redis.replicate_commands() end

local CHUNK = 1000 -- unpack() fits about 8000 values on Lua's stack

local function newer(a, b) -- whether position a > position b; numbers, because '10' < '9' as text
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, a_seq, b_ms, b_seq = tonumber(a_ms), tonumber(a_seq), tonumber(b_ms), tonumber(b_seq)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

-- Everything is read before the first write, so that a key of a foreign type stops us in time.
-- Asking the stream itself is cheaper than keeping its last position in a hash (5 against 23 us).
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local previous = newest and newest[1] or redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
local generation = redis.call('HGET', KEYS[2], 'generation') or ''
local is_lost = false
if ARGV[4] ~= '' and ARGV[4] ~= previous then
  local trimmed = redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
  is_lost = newer(ARGV[4], trimmed) and #redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4]) == 0
    and redis.call('HEXISTS', KEYS[2], 'removed:' .. ARGV[4]) == 0
end
local is_renewed = generation == '' or (is_lost and generation == ARGV[6])

local members = cjson.decode(ARGV[5])
local n = #members
local bits, fresh, n_fresh = {}, {}, 0
for first = 1, n, CHUNK do
  local last = math.min(first + CHUNK - 1, n)
  local seen = redis.call('SMISMEMBER', KEYS[3], unpack(members, first, last))
  for index = 1, last - first + 1 do
    if seen[index] == 0 then
      n_fresh = n_fresh + 1
      fresh[n_fresh] = members[first + index - 1]
      bits[first + index - 1] = '1'
    else
      bits[first + index - 1] = '0'
    end
  end
end
if n_fresh == 0 then
  if is_renewed then
    generation = ARGV[7]
    redis.call('HSET', KEYS[2], 'generation', generation)
  end
  return '- ' .. previous .. ' ' .. generation .. ' ' .. table.concat(bits)
end
local is_first = redis.call('EXISTS', KEYS[3]) == 0
if is_first then redis.call('ZSCORE', KEYS[4], ARGV[1]) end
local has_claims = redis.call('HLEN', KEYS[5]) > 0

-- The first write is one that a full server refuses; after it, the others are not refused.
local position
local mask = ''
if n_fresh == n then
  position = redis.call('XADD', KEYS[1], '*', 'b', ARGV[3])
else
  mask = table.concat(bits)
  local check = string.sub(redis.sha1hex(mask), 1, 8)
  position = redis.call('XADD', KEYS[1], '*', 'b', ARGV[3], 'm', mask .. ':' .. check)
end
if is_renewed then
  generation = ARGV[7]
  redis.call('HSET', KEYS[2], 'generation', generation)
end
for first = 1, n_fresh, CHUNK do
  local last = math.min(first + CHUNK - 1, n_fresh)
  redis.call('SADD', KEYS[3], unpack(fresh, first, last))
  if has_claims then redis.call('HDEL', KEYS[5], unpack(fresh, first, last)) end
end
if is_first then
  redis.call('EXPIRE', KEYS[3], ARGV[2])
  local now = tonumber(string.match(position, '^%d+'))
  local n = redis.call('ZADD', KEYS[4], 'NX', now, ARGV[1])
  n = n - redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 1000 * tonumber(ARGV[2]))
  redis.call('HINCRBY', KEYS[2], 'scans', n)
end
return position .. ' ' .. previous .. ' ' .. generation .. ' ' .. mask
