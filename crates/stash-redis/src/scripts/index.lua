-- Adds places to the index of a cluster, which is in another slot than most namespaces: ARGV[4] and what follows.
for n = 4, #ARGV do call('ZADD', name('', 'i'), 0, ARGV[n]) end
return 1
