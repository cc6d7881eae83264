-- Values: how numbers are written, and what an argument must be.
--
-- Why it is right: a Lua number is a double. Integers below 2^53 are exact, anything else is
-- refused here, before a command begins. Numbers leave through `dec`, since Lua would write 1e+15.
-- Strings are never ordered with `<`, which would follow the locale of the server's environment:
-- whatever must come in byte order is ordered by a sorted set, or by `lp.before`.
--
-- A check returns what its command works with, or nil when the argument is not what it must be.

local lp = {command = {}, check = {}}

do
  local BOUND = 9007199254740992
  local check = lp.check

  function lp.dec(number)
    return string.format('%d', number)
  end

  -- Whether the bytes of a come before those of b.
  function lp.before(a, b)
    for i = 1, math.min(#a, #b) do
      local x, y = a:byte(i), b:byte(i)
      if x ~= y then
        return x < y
      end
    end
    return #a < #b
  end

  function check.any_text(value)
    if type(value) == 'string' then
      return value
    end
  end
  check.binary = check.any_text

  function check.text(value)
    if value ~= '' then
      return check.any_text(value)
    end
  end

  function check.count(value)
    if type(value) == 'number' and value >= 0 and value < BOUND and value % 1 == 0 then
      return value
    end
  end

  function check.positive(value)
    if value ~= 0 then
      return check.count(value)
    end
  end

  function check.flag(value)
    if value == 0 or value == 1 then
      return value
    end
  end

  local function parse_epoch(value)
    if type(value) == 'string' and #value <= 16 and value:find('^%d+$') then
      if value == '0' or value:byte(1) ~= 48 then
        return check.count(tonumber(value))
      end
    end
  end

  -- A call names the same epoch over and over.
  local last_text, last_epoch
  function check.epoch_or_none(value)
    if value ~= last_text then
      last_text, last_epoch = value, parse_epoch(value)
    end
    return last_epoch
  end

  function check.epoch(value)
    if value ~= '0' then
      return check.epoch_or_none(value)
    end
  end

  -- "" is a reader that does not lead; no epoch is 0.
  function check.epoch_or_follower(value)
    if value == '' then
      return 0
    end
    return check.epoch(value)
  end

  function check.listed(value)
    if type(value) == 'table' and (value[1] ~= nil or next(value) == nil) then
      return value
    end
  end

  function check.listed_with(value, each)
    if not check.listed(value) then
      return nil
    end
    for i = 1, #value do
      if each(value[i]) == nil then
        return nil
      end
    end
    return value
  end

  function check.texts(value)
    return check.listed_with(value, check.text)
  end

  function check.any_texts(value)
    return check.listed_with(value, check.any_text)
  end

  -- The values words[first ..] after their checks; nil when one fails, is missing or too many.
  function lp.check_all(checks, words, first)
    if #words - first + 1 ~= #checks then
      return nil
    end
    local arguments = {}
    for i = 1, #checks do
      local value = checks[i](words[first + i - 1])
      if value == nil then
        return nil
      end
      arguments[i] = value
    end
    return arguments
  end

  -- Lua passes at most a few thousand arguments, so long lists go in pieces of an even number.
  local PIECE = 1000
  function lp.in_pieces(operation, key, list)
    for first = 1, #list, PIECE do
      redis.call(operation, key, unpack(list, first, math.min(first + PIECE - 1, #list)))
    end
  end
end
