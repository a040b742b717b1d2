-- Reads entries after a position, if the journal is still the one in which that was read.
--
-- KEYS[1] journal   stream
-- KEYS[2] meta      hash: trimmed, generation, removed:<position> = deleted by a repair
-- ARGV[1] position   ARGV[2] its generation   ARGV[3] a new one   ARGV[4] entries at most
--
-- Returns false if the journal is another one (from now on of the new generation where that is
-- noticed here), else the entries.
if redis.replicate_commands then redis.replicate_commands() end

local found = redis.call('HGET', KEYS[2], 'generation') or ''
if found ~= ARGV[2] then return false end
local trimmed = redis.call('HGET', KEYS[2], 'trimmed') or '0-0'
if found ~= '' and ARGV[1] ~= trimmed
    and #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0
    and redis.call('HEXISTS', KEYS[2], 'removed:' .. ARGV[1]) == 0 then
  redis.call('HSET', KEYS[2], 'generation', ARGV[3])
  return false
end
if ARGV[4] == '0' then return {} end
return redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[4])
