-- Deletes some of the oldest entries of the journal, none that the snapshot does not cover.
--
-- KEYS[1] journal   stream
-- KEYS[2] meta      hash, trimmed = last position ever trimmed
-- KEYS[3] snapshot  hash, position = last position that it covers
-- ARGV[1] delete only entries before this position, '' = no such bound
-- ARGV[2] delete only while there are more entries than this, '' = no such bound
-- ARGV[3] entries to look at, which bounds the time that the server is busy
--
-- Returns how many were deleted; call again until it is 0.
if redis.replicate_commands then redis.replicate_commands() end

local function newer(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, a_seq, b_ms, b_seq = tonumber(a_ms), tonumber(a_seq), tonumber(b_ms), tonumber(b_seq)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

redis.call('HGET', KEYS[2], 'trimmed') -- stops here if the key is of a foreign type
local covered = redis.call('HGET', KEYS[3], 'position') or '0-0'
local excess = redis.call('XLEN', KEYS[1])
if ARGV[2] ~= '' then excess = excess - tonumber(ARGV[2]) end

local doomed = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[3])) do
  local id = entry[1]
  if #doomed >= excess or newer(id, covered) or (ARGV[1] ~= '' and not newer(ARGV[1], id)) then
    break
  end
  doomed[#doomed + 1] = id
end
if #doomed > 0 then
  redis.call('XDEL', KEYS[1], unpack(doomed))
  redis.call('HSET', KEYS[2], 'trimmed', doomed[#doomed])
end
return #doomed
