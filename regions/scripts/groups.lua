-- Groups: which the store is a member of, and the index of what changed in them.
--
-- Why it is right: a group is read once for each call, and its record changes by `install` and by
-- the commands of membership alone. The index of changes holds each shard and each death once,
-- under the opseq of its latest change; all changes of a call share one opseq. A reader goes on
-- from an opseq only when it has seen all of it, and never from further than where the call began,
-- because that call may still be writing.

do
  local check = lp.check

  -- The group; absent when the store is no member. `sessions` and `shards` are what is known of it.
  function lp.group(call, name)
    local group = call.groups[name]
    if not group then
      local key = 'lp:g:' .. name
      local found = redis.call('HMGET', key, 'version', 'state', 'by', 'to')
      group = {
        name = name, key = key, version = tonumber(found[1] or 0), state = found[2] or 'absent',
        by = found[3] or '', to = tonumber(found[4] or 0), sessions = {}, shards = {},
        known = call.known,
      }
      call.groups[name] = group
      call.known.count = call.known.count + 1
    end
    return group
  end

  -- What the group is, and of a sealed one what it becomes; false when it was never told.
  function lp.description(group)
    return redis.call('HGET', group.key, group.state == 'sealed' and 'next' or 'desc')
  end

  -- The version that is made of this one: the one after it, if no seal named another.
  function lp.next_version(group)
    return group.to > 0 and group.to or group.version + 1
  end

  -- The same for what makes the next version of a group that is sealed or a learner. `switches`:
  -- it may come again when that version is in use.
  local function refused_as_next(command, group, version)
    if version > lp.next_version(group) then
      return 'NEW_VERSION'
    elseif version == lp.next_version(group) then
      return group.state == 'open' and 'UNDECIDED' or nil
    elseif version ~= group.version or group.state ~= 'open' or not command.switches then
      return 'OLD_VERSION'
    end
  end

  -- Why the group refuses a command of this version, nil if it does not.
  function lp.refused_by_group(command, group, version)
    if group.state == 'absent' then
      return 'NOT_MEMBER'
    elseif command.of_next then
      return refused_as_next(command, group, version)
    elseif group.state == 'learner' and not command.of_learner then
      return 'NOT_MEMBER'
    elseif group.state == 'sealed' and not command.works_sealed then
      return 'SEALED'
    elseif version < group.version then
      return 'OLD_VERSION'
    elseif version > group.version then
      return 'NEW_VERSION'
    end
  end

  -- What a grant of that state reads as: it licenses nothing if an earlier version gave it.
  function lp.grant_state(group, promised, version, state)
    if promised > 0 and math.max(version, 1) < group.version then
      return 'inherited'
    end
    return state
  end

  -- Move a shard ('s/...') or a death ('d/...') to the end of the index.
  function lp.list_change(call, group, name)
    redis.call('ZADD', group.key .. ':chg', lp.dec(lp.write(call)), name)
  end

  -- Only bootstrap makes a member at once; every later version is made of the one before.
  lp.command.install = {
    arguments = {check.binary}, no_group = true,
    run = function(call, group, arguments, version)
      local description = arguments[1]
      if group.name == '' or version ~= 1 then
        return nil
      end
      if group.state ~= 'absent' then
        local same = group.state == 'open' and group.version == version
          and lp.description(group) == description
        return {same and 'OK' or 'EXISTS'}
      end
      lp.write(call)
      group.version, group.state = version, 'open'
      redis.call('HSET', group.key, 'version', lp.dec(version), 'state', 'open',
        'desc', description)
      redis.call('ZADD', 'lp:groups', 0, group.name)
      return {'OK'}
    end,
  }

  local function changes_between(group, min, max, limit)
    local call = {'ZRANGEBYSCORE', group.key .. ':chg', min, max, 'WITHSCORES'}
    if limit then
      call[6], call[7], call[8] = 'LIMIT', 0, lp.dec(limit)
    end
    local flat = redis.call(unpack(call))
    local changes = {}
    for i = 1, #flat, 2 do
      changes[#changes + 1] = {name = flat[i], opseq = tonumber(flat[i + 1])}
    end
    return changes
  end

  -- Changes after `since`, at most `limit`, but all or none of each opseq; and where to go on.
  local function page_of_changes(call, group, since, limit)
    local changes = changes_between(group, '(' .. lp.dec(since), '+inf', limit + 1)
    if #changes <= limit then
      return changes, call.began_at
    end
    local cut = changes[#changes].opseq
    if changes[1].opseq == cut then
      changes = changes_between(group, lp.dec(cut), lp.dec(cut))
    else
      while changes[#changes].opseq == cut do
        changes[#changes] = nil
      end
    end
    return changes, math.min(call.began_at, changes[#changes].opseq)
  end

  local function shown_shard(group, shard)
    local f = redis.call('HMGET', group.key .. ':sh:' .. shard,
      'pe', 'pf', 'he', 'h', 'st', 'tgt', 'rvk', 'prev', 'pref', 'ver')
    local promised, version = tonumber(f[1] or 0), tonumber(f[10] or 0)
    return {
      shard, f[1] or '0', f[2] or '0', f[3] or '0', f[4] or '',
      lp.grant_state(group, promised, version, f[5] or 'free'), f[6] or '',
      tonumber(f[7] or 0), tonumber(f[8] or 0), f[9] or '',
    }
  end

  lp.command.observe = {
    arguments = {check.count, check.positive}, only_reads = true,
    run = function(call, group, arguments)
      local changes, upto = page_of_changes(call, group, arguments[1], arguments[2])
      local dead, shards = {}, {}
      for _, change in ipairs(changes) do
        local name = change.name:sub(3)
        if change.name:sub(1, 1) == 'd' then
          dead[#dead + 1] = name
        else
          shards[#shards + 1] = shown_shard(group, name)
        end
      end
      return {'OK', lp.live_sessions(group), dead, shards, upto}
    end,
  }
end
