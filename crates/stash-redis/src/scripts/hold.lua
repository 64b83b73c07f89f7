-- A snapshot of the present state: ARGV[4] is its id, ARGV[5] how many milliseconds it lives, ARGV[6] how many there may be.
local number = hold(ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]))
return number and string.format('%.0f', number)
