-- Learners: a store copies the committed data of a group that it does not belong to yet.
--
-- Why it is right: a learner promises nothing, grants nothing and counts for nothing, and what it
-- copies is committed where it comes from. A copy belongs to one attempt; a greater one takes over,
-- begins with nothing staged, and the one before is refused from then on. What was adopted stays.
-- A sealed store counts for nothing either, and can be copied to: what it loses of its log by that
-- is not committed, and what it had acknowledged is.
--
-- What is staged for a change of the group is listed by name, so that it can be found and deleted.

do
  local check = lp.check
  local LISTED_MAX = 500
  local STAGED = 1 -- the number of a learner's stage, where there is one

  local function stage_key(group, name)
    return 'lp:stage:' .. group.name .. ':' .. name
  end
  lp.stage_key = stage_key

  -- List what is about to be staged: 'merged:..', 'log:..', or the pages of a shard, 'pages:..'.
  function lp.list_staged(call, group, name)
    lp.write(call)
    redis.call('SADD', stage_key(group, 'attempts'), name)
  end

  -- Whether pages of the shard are staged for this copy. What a leader had staged here, while the
  -- store belonged to it, is not listed.
  local function has_pages(group, on)
    local listed = stage_key(group, 'attempts')
    return redis.call('SISMEMBER', listed, 'pages:' .. on.name) == 1
  end

  local function drop_pages(call, group, on)
    if has_pages(group, on) then
      lp.write(call)
      on:stage_from(0)
      redis.call('SREM', stage_key(group, 'attempts'), 'pages:' .. on.name)
    end
  end

  -- Delete all that is staged for a change, whatever the attempt.
  function lp.sweep(call, group)
    local listed = stage_key(group, 'attempts')
    for _, name in ipairs(redis.call('SMEMBERS', listed)) do
      lp.write(call)
      local shard = name:match('^pages:(.*)$')
      if shard then
        lp.on_shard(call, group, shard):stage_from(0)
      else
        redis.call('UNLINK', stage_key(group, name))
      end
    end
    redis.call('UNLINK', listed)
  end

  -- Names of shards after a name, in byte order; one more than `limit` when there are.
  function lp.shards_after(group, after, limit)
    local names = redis.call('ZRANGEBYLEX', group.key .. ':all', after == '' and '-'
      or '(s/' .. after, '+', 'LIMIT', 0, limit + 1)
    for i, name in ipairs(names) do
      names[i] = name:sub(3)
    end
    return names
  end

  local function is_copied_to(group)
    return group.state == 'learner' or group.state == 'sealed'
  end

  -- Why the group is not made a learner by this attempt, nil if it is; false if it is already.
  local function refused_to_learn(group, version, attempt, description)
    if group.version < version then
      return nil
    elseif not is_copied_to(group) or group.version ~= version
      or lp.description(group) ~= description then
      return 'EXISTS'
    elseif group.by == attempt then
      return false
    end
    return group.by ~= '' and lp.is_later_attempt(group.by, attempt) and 'STALE' or nil
  end

  lp.command.learn = {
    arguments = {check.attempt, check.text}, no_group = true,
    run = function(call, group, arguments, version)
      local attempt, description = unpack(arguments)
      if group.name == '' or version == 0 then
        return nil
      end
      local refusal = refused_to_learn(group, version, attempt, description)
      if refusal == 'STALE' then
        return {'STALE', group.by}
      elseif refusal ~= nil then
        return {refusal or 'OK'}
      end
      lp.write(call)
      lp.sweep(call, group)
      group.by = attempt
      redis.call('HSET', group.key, 'by', attempt)
      if group.version < version then
        group.version, group.state = version, 'learner'
        redis.call('HSET', group.key, 'version', lp.dec(version), 'state', 'learner',
          'desc', description)
        group.to = 0
        redis.call('HDEL', group.key, 'next', 'to')
      end
      redis.call('ZADD', 'lp:groups', 0, group.name)
      return {'OK'}
    end,
  }

  -- Why this attempt may not go on, nil if it may.
  local function refused_attempt(group, attempt)
    if not is_copied_to(group) then
      return 'EXISTS'
    elseif group.by ~= attempt then
      return 'STALE'
    end
  end

  -- The chain of the log at the commit index.
  local function chain_at_commit(on)
    local r = on.record
    if r.cm == r.ts then
      return r.tc
    elseif r.cm == r.bs then
      return r.bc
    end
    return lp.stored_entry(on, r.cm)[4]
  end

  lp.command.learned = {
    arguments = {check.attempt, check.any_text, check.positive}, only_reads = true,
    of_learner = true, works_sealed = true,
    run = function(call, group, arguments)
      local attempt, after, limit = unpack(arguments)
      local refusal = refused_attempt(group, attempt)
      if refusal then
        return {refusal}
      end
      limit = math.min(limit, LISTED_MAX)
      local names, shards = lp.shards_after(group, after, limit), {}
      for i = 1, math.min(#names, limit) do
        local on = lp.on_shard(call, group, names[i])
        shards[i] = {names[i], on.record.cm, chain_at_commit(on)}
      end
      return {'OK', shards, #names > limit and 1 or 0}
    end,
  }

  -- A part "" without records drops what is staged, for a copy that begins again.
  lp.command.learn_page = {
    arguments = {check.text, check.attempt, check.any_text, check.listed},
    of_learner = true, works_sealed = true,
    run = function(call, group, arguments)
      local name, attempt, part, pairs_of = unpack(arguments)
      local drops = part == '' and #pairs_of == 0
      local parsed = not drops and lp.parse_page(part, pairs_of)
      if not drops and not parsed then
        return nil
      end
      local refusal = refused_attempt(group, attempt)
      if refusal then
        return {refusal}
      end
      local on = lp.on_shard(call, group, name)
      if drops then
        drop_pages(call, group, on)
        return {'OK'}
      elseif not has_pages(group, on) then
        lp.list_staged(call, group, 'pages:' .. name)
        on:undraft() -- else its data would be taken for that of the shard that is made here
        on:stage_from(0)
        on:stage_from(STAGED)
      end
      lp.stage_page(on, part, parsed)
      return {'OK'}
    end,
  }

  lp.command.learn_data = {
    arguments = {
      check.text, check.attempt, check.epoch_or_none, check.count, check.count, check.count,
    },
    of_learner = true, works_sealed = true,
    run = function(call, group, arguments)
      local name, attempt, be, bs, bc, upto = unpack(arguments)
      local refusal = refused_attempt(group, attempt)
      if refusal then
        return {refusal}
      end
      local on = lp.on_shard(call, group, name)
      if bs <= on.record.ap then
        drop_pages(call, group, on)
        return {'LAGGING'}
      elseif not has_pages(group, on) then
        return {'STALE'} -- no page has come: this would empty the shard
      end
      on:undraft()
      lp.adopt_stage(on, be, bs, bc, upto, 0)
      redis.call('SREM', stage_key(group, 'attempts'), 'pages:' .. name)
      return {'OK'}
    end,
  }

  -- Whether the log here goes on after that place.
  local function joins(on, sequence, chain)
    local r = on.record
    if sequence <= r.cm or sequence <= r.bs then
      return true
    elseif sequence == r.ts then
      return chain == r.tc
    end
    local entry = lp.stored_entry(on, sequence)
    return entry ~= nil and entry[4] == chain
  end

  lp.command.learn_log = {
    arguments = {check.text, check.attempt, check.count, check.count, check.listed},
    of_learner = true, works_sealed = true,
    run = function(call, group, arguments)
      local name, attempt, before, before_chain, blobs = unpack(arguments)
      local entries = lp.parse_entries(blobs)
      if not entries then
        return nil
      end
      local refusal = refused_attempt(group, attempt)
      if refusal then
        return {refusal}
      end
      local on = lp.on_shard(call, group, name)
      if not joins(on, before, before_chain) then
        return {'GAP', on.record.cm}
      end
      local first = lp.first_new(on, nil, before, entries)
      if not first then
        return {'CONFLICT'}
      end
      on:undraft()
      if first <= before + #entries then
        lp.store_entries(on, first, before, entries, blobs)
      end
      lp.commit(on, before + #entries)
      return {'OK', on.record.cm}
    end,
  }
end
