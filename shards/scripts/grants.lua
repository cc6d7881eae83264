-- Authority: who may lead a shard, under which epoch, and how that ends.
--
-- Why it is right: the promise `pe` and the floor `pf` only grow, and nothing is granted unless
-- the epoch is above both. What a candidate expects of the present grant is judged here, at the
-- moment of granting; an expectation that this library does not know is refused. Whoever takes
-- over from a silent session buries it first, so it can never renew here again.

do
  local check = lp.check
  local SUFFIX_BYTES_MAX = 65536

  local CONDITIONS = {
    free = {{}, function(on)
      return on:state() == 'free'
    end},
    mine = {{}, function(on, sid)
      local r = on.record
      return on:is_held() and lp.process_of(r.h) == lp.process_of(sid) and r.rvk == 0
    end},
    handover = {{}, function(on, sid)
      return on:state() == 'handover' and on.record.tgt == sid
    end},
    revoked = {{check.text, check.epoch}, function(on, _, details)
      local r = on.record
      return on:is_held() and r.h == details[1] and r.he == details[2] and r.rvk == 1
    end},
    -- The holder is dead here already, or its counter is the one that was watched.
    dead = {{check.text, check.epoch, check.count}, function(on, _, details)
      local r = on.record
      if not (on:is_held() and r.h == details[1] and r.he == details[2]) then
        return false
      end
      local holder = lp.session(on.group, r.h)
      return holder ~= nil and (holder.dead == 1 or holder.c == details[3])
    end},
    -- What the process held in an earlier version of the group, for as long as its lease of that
    -- lasts; it has looked at its clock as it sent this.
    carry = {{check.text, check.epoch}, function(on, sid, details)
      local r = on.record
      return on:state() == 'inherited' and r.h == details[1] and r.he == details[2]
        and lp.process_of(r.h) == lp.process_of(sid) and r.rvk == 0
    end},
    -- Whoever held it then has no lease any more: the candidate has waited for that.
    waited = {{}, function(on)
      return on:state() == 'inherited'
    end},
  }

  local function parse_condition(condition)
    local known = type(condition[1]) == 'string' and CONDITIONS[condition[1]]
    local details = known and lp.check_all(known[1], condition, 2)
    if details then
      return condition[1], details, known[2]
    end
  end

  local function suffix(on)
    local entries, room = {}, SUFFIX_BYTES_MAX
    lp.each_blob(on, on.record.cm + 1, on.record.ts, function(sequence, blob)
      entries[#entries + 1] = {sequence, blob}
      room = room - #blob
      return room >= 0
    end)
    return room >= 0 and entries or {}
  end

  lp.command.place = {
    arguments = {check.text, check.count, check.binary},
    run = function(call, group, arguments)
      local on = lp.on_shard(call, group, arguments[1])
      if arguments[2] <= on.record.prev then
        return on:refused('STALE')
      end
      on:set({prev = arguments[2], pref = arguments[3]})
      on:moved()
      return {'OK'}
    end,
  }

  lp.command.prepare = {
    arguments = {check.text, check.epoch, check.text, check.listed},
    run = function(call, group, arguments)
      local name, epoch, sid, condition = unpack(arguments)
      local tag, details, holds = parse_condition(condition)
      if not tag then
        return nil
      end
      local on = lp.on_shard(call, group, name)
      local refusal = on:refused_session(sid)
      if refusal then
        return on:refused(refusal)
      elseif epoch <= on.record.pe or epoch <= on.record.pf then
        return on:refused('FENCED')
      elseif not holds(on, sid, details) then
        return on:refused('HELD')
      end
      if tag == 'dead' then
        local holder = lp.session(group, details[1])
        if holder.dead == 0 then
          lp.bury(call, group, holder)
        end
      end
      on:give_to(sid, epoch)
      local payload = on:add({'OK'}, 'te', 'ts', 'tc', 'cm', 'ap', 'be', 'bs', 'bc', 'bytes')
      payload[#payload + 1] = suffix(on)
      local closed, born = on:told(lp.CLOSED), on:told(lp.BORN)
      -- Who does not know of these must not lead such a shard, and cannot read this.
      if closed > 0 or born > 0 then
        payload[#payload + 1] = closed
        payload[#payload + 1] = born
      end
      return payload
    end,
  }

  lp.command.release = {
    arguments = {check.text, check.epoch, check.text},
    run = function(call, group, arguments)
      local name, epoch, sid = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      local r = on.record
      if r.pe > epoch then
        return on:refused('FENCED')
      end
      local frees = r.h == sid and r.he == epoch and on:state() ~= 'inherited'
      -- Not the promise: that would fence a healthy holder of a smaller epoch.
      on:set({pf = math.max(r.pf, epoch)})
      if frees then
        on:set({st = 'free', h = '', tgt = '', rvk = 0, sync = 0})
        on:moved()
      end
      return {'OK', frees and 1 or 0}
    end,
  }

  lp.command.handover = {
    arguments = {check.text, check.epoch, check.text, check.text},
    run = function(call, group, arguments)
      local name, epoch, sid, target = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      if not (on:leads(sid, epoch) and on:is_held()) then
        return on:refused('HELD')
      end
      on:set({st = 'handover', tgt = target, sync = 0})
      on:moved()
      return {'OK'}
    end,
  }

  local function is_listed(session, shard, epoch)
    for _, known in ipairs(session.list) do
      if known[1] == shard and known[2] == epoch then
        return true
      end
    end
    return false
  end

  lp.command.revoke = {
    arguments = {check.text, check.text, check.epoch, check.any_text, check.any_text},
    run = function(call, group, arguments)
      local name, holder, epoch = unpack(arguments)
      local on = lp.on_shard(call, group, name)
      if not (on:is_held() and on.record.h == holder and on.record.he == epoch) then
        return on:refused('HELD')
      end
      on:set({rvk = 1, sync = 0})
      on:moved()
      local session = lp.session(group, holder)
      if not session then
        return {'OK', 0}
      end
      if not is_listed(session, name, lp.dec(epoch)) then
        local list = {} -- an answer of this call may show the one before
        for i, known in ipairs(session.list) do
          list[i] = known
        end
        list[#list + 1] = {name, lp.dec(epoch)}
        session.list = list
        session.rev = session.rev + 1
        lp.save_session(call, group, session)
      end
      return {'OK', session.rev}
    end,
  }
end
