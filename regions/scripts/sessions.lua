-- Sessions: one for each process and group, renewed by a counter, buried once and for ever.
--
-- Why it is right: a dead session is never renewed, registered again or forgotten, so whoever was
-- declared dead here stays dead here. A renewal is refused until its holder shows that it knows of
-- every revocation. The counter only grows, so a delayed renewal changes nothing.

do
  local check = lp.check
  local NAMES = {'c', 'dead', 'rev', 'list', 'seen', 'node', 'region', 'url', 'process'}

  -- A session id is `process/number`; the last slash divides it.
  function lp.process_of(sid)
    return sid:match('^(.*)/') or sid
  end

  local function unpacked(sid, packed)
    local session = {sid = sid}
    for i, value in ipairs(cmsgpack.unpack(packed)) do
      session[NAMES[i]] = value
    end
    return session
  end

  -- The session of that id, nil when it was never registered. It is unpacked once: a mass failover
  -- names the same few sessions in each of its commands.
  function lp.session(group, sid)
    local session = group.sessions[sid]
    if session == nil then
      local packed = redis.call('HGET', group.key .. ':ss', sid)
      session = packed and unpacked(sid, packed)
      group.sessions[sid] = session
      group.known.count = group.known.count + 1
    end
    return session or nil
  end

  function lp.save_session(call, group, session)
    local fields = {}
    for i, name in ipairs(NAMES) do
      fields[i] = session[name]
    end
    lp.write(call)
    redis.call('HSET', group.key .. ':ss', session.sid, cmsgpack.pack(fields))
    group.sessions[session.sid] = session
  end

  function lp.bury(call, group, session)
    session.dead = 1
    lp.save_session(call, group, session)
    redis.call('ZREM', group.key .. ':live', session.sid)
    lp.list_change(call, group, 'd/' .. session.sid)
  end

  -- All that are not dead, by the bytes of their ids.
  function lp.live_sessions(group)
    local sids = redis.call('ZRANGE', group.key .. ':live', 0, -1)
    local sessions = {}
    for i, sid in ipairs(sids) do
      local s = lp.session(group, sid)
      sessions[i] = {sid, s.c, s.rev, s.node, s.region, s.url, s.seen}
    end
    return sessions
  end

  lp.command.register = {
    arguments = {check.text, check.any_text, check.any_text, check.any_text},
    run = function(call, group, arguments)
      local sid, node, region, url = unpack(arguments)
      if lp.session(group, sid) then
        return {'EXISTS'}
      end
      lp.save_session(call, group, {
        sid = sid, c = 0, dead = 0, rev = 0, list = {}, seen = 0,
        node = node, region = region, url = url, process = lp.process_of(sid),
      })
      redis.call('ZADD', group.key .. ':live', 0, sid)
      return {'OK'}
    end,
  }

  local function clear_sync(call, group, sid, shards)
    for _, shard in ipairs(shards) do
      local key = group.key .. ':sh:' .. shard
      local found = redis.call('HMGET', key, 'h', 'sync')
      if found[1] == sid and found[2] and found[2] ~= '0' then
        lp.write(call)
        redis.call('HSET', key, 'sync', '0')
        if group.shards[shard] then
          group.shards[shard].record.sync = 0
        end
      end
    end
  end

  lp.command.renew = {
    arguments = {check.text, check.count, check.count, check.count, check.texts},
    run = function(call, group, arguments)
      local sid, counter, revision, seen, unsync = unpack(arguments)
      local session = lp.session(group, sid)
      if not session then
        return {'UNKNOWN'}
      elseif session.dead == 1 then
        return {'DEAD'}
      elseif session.rev ~= revision then
        -- The holder no longer vouches for these shards; that must not wait.
        clear_sync(call, group, sid, unsync)
        return {'REVOKED', session.rev, session.list}
      elseif counter <= session.c then
        return {'STALE'}
      end
      session.c, session.seen, session.list = counter, math.max(seen, session.seen), {}
      lp.save_session(call, group, session)
      clear_sync(call, group, sid, unsync)
      return {'OK', session.rev}
    end,
  }

  lp.command.bury = {
    arguments = {check.text, check.count},
    run = function(call, group, arguments)
      local session = lp.session(group, arguments[1])
      if not session then
        return {'UNKNOWN'}
      elseif session.dead == 1 then
        return {'DEAD'}
      elseif session.c ~= arguments[2] then
        return {'STALE'}
      end
      lp.bury(call, group, session)
      return {'OK'}
    end,
  }
end
