-- Marks an empty store with ARGV[4] where ARGV[5] is 1, and tells the mark that there is: an empty one where there is none,
-- nothing where there is data without a mark.
if foreign({ [name('', 'f')] = 'string' }) then return false end
local mark = call('GET', name('', 'f'))
if mark then return mark end
for _, what in ipairs({ 'v', 'k', 'h', 'i' }) do
  if call('EXISTS', name('', what)) == 1 then return false end
end
if ARGV[5] ~= '1' then return '' end
call('SET', name('', 'f'), ARGV[4])
return ARGV[4]
