-- What the next version of a group is: decided by ballots of its voters, shown by who is sealed.
--
-- Why it is right: a register is of one version, promises only greater ballots, and accepts
-- nothing below its promise, so that whoever wins a later ballot finds what an earlier one
-- decided. A seal is never taken back: from then on the group refuses everything of its version
-- but what reads it out, and each refusal shows what comes next. What comes next gives way to a
-- greater version alone, which somebody has forced. That a description was decided is known to the
-- caller alone; two of them for one version show that a rule was broken.

do
  local check = lp.check

  -- An attempt is named after its coordinator's ballot: the number, a slash, the process.
  local function parse_attempt(value)
    local digits, process = value:match('^(%d+)/(.+)$')
    return digits and check.epoch(digits), process
  end

  function check.attempt(value)
    if type(value) == 'string' and parse_attempt(value) then
      return value
    end
  end

  -- Whether ballot (n, p) is greater than ballot (m, q).
  local function is_greater(n, p, m, q)
    return n > m or (n == m and lp.before(q, p))
  end

  function lp.is_later_attempt(attempt, other)
    local n, p = parse_attempt(attempt)
    return is_greater(n, p, parse_attempt(other))
  end

  -- The ballots of this version: promised (n, p), accepted (an, ap, ad); numbers from 1.
  local function register_of(group)
    local f = redis.call('HMGET', 'lp:reg:' .. group.name, 'v', 'n', 'p', 'an', 'ap', 'ad')
    if tonumber(f[1] or 0) ~= group.version then
      return {n = 0, p = '', an = 0, ap = '', ad = ''}
    end
    return {n = tonumber(f[2]), p = f[3], an = tonumber(f[4]), ap = f[5], ad = f[6]}
  end

  local function save_register(call, group, r)
    lp.write(call)
    redis.call('HSET', 'lp:reg:' .. group.name, 'v', lp.dec(group.version), 'n', lp.dec(r.n),
      'p', r.p, 'an', lp.dec(r.an), 'ap', r.ap, 'ad', r.ad)
  end

  lp.command.ballot = {
    arguments = {check.positive, check.text},
    run = function(call, group, arguments)
      local n, process = unpack(arguments)
      local r = register_of(group)
      if not is_greater(n, process, r.n, r.p) then
        return {'STALE', r.n, r.p}
      end
      r.n, r.p = n, process
      save_register(call, group, r)
      return {'OK', r.an, r.ap, r.an > 0 and r.ad}
    end,
  }

  lp.command.accept = {
    arguments = {check.positive, check.text, check.text},
    run = function(call, group, arguments)
      local n, process, description = unpack(arguments)
      local r = register_of(group)
      if is_greater(r.n, r.p, n, process) then
        return {'STALE', r.n, r.p}
      elseif r.an == n and r.ap == process then
        return {r.ad == description and 'OK' or 'CONFLICT'} -- one ballot, one description
      end
      save_register(call, group, {n = n, p = process, an = n, ap = process, ad = description})
      return {'OK'}
    end,
  }

  lp.command.seal = {
    arguments = {check.text, check.positive}, works_sealed = true,
    run = function(call, group, arguments)
      local description, to = unpack(arguments)
      local next_version = lp.next_version(group)
      if to <= group.version then
        return nil
      elseif group.state == 'sealed' and to < next_version then
        return {'STALE', next_version}
      elseif group.state == 'sealed' and to == next_version then
        return {lp.description(group) == description and 'OK' or 'CONFLICT'}
      end
      lp.write(call)
      group.state, group.to = 'sealed', to
      redis.call('HSET', group.key, 'state', 'sealed', 'next', description, 'to', lp.dec(to))
      return {'OK'}
    end,
  }
end
