-- Ends snapshots: their ids are ARGV[4] and what follows.
unlogged()
for n = 4, #ARGV do
  local held = held_name(ARGV[n])
  call('ZREM', HELD, held)
  call('ZREM', ENDS, held)
end
logged()
tidy(5000)
return 1
