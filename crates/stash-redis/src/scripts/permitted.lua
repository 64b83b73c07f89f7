-- Tells the first command that the user may not run of those that the host sends and the scripts call; nothing where all
-- are permitted. ARGV[4] is the channel.
return denied(ARGV[4], { 'PUBLISH', 'SUBSCRIBE' }) or denied(name('', '-'), {
  'PING', 'TIME', 'TYPE', 'EXISTS', 'UNLINK', 'RENAME', 'GET', 'SET', 'STRLEN', 'GETRANGE', 'INCR', 'INCRBY', 'HGET',
  'HMGET', 'HSET', 'HDEL', 'HEXISTS', 'HSTRLEN', 'ZADD', 'ZREM', 'ZCARD', 'ZCOUNT', 'ZSCORE', 'ZRANGE', 'ZREVRANGE',
  'ZRANGEBYSCORE', 'ZRANGEBYLEX', 'ZREVRANGEBYLEX',
})
