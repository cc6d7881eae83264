-- A store fills a draft from a shard of its own; and what else is asked of a draft is refused.
--
-- Why it is right: pages of ids come first, then history, then keys. Ids that the parent forgets
-- while they are read would be missed by what is applied over them: the least of them tells, since
-- forgetting begins with it. Then the walk begins anew. What is read is committed, so versions and
-- states of the parent's group do not matter.

do
  local check = lp.check
  local NEXT_PART = {id = 'hi', hi = 'kv', kv = ''}
  local FIRST_PART = 'id'

  function check.group_name(value)
    if check.text(value) and not value:find(':', 1, true) then
      return value
    end
  end

  -- Why nothing can be copied from there, nil if it can.
  local function refused_source(source)
    local r = source.record
    if r.ts == 0 then
      return {'UNKNOWN'}
    elseif r.fz > r.ap then
      return {'BUSY'}
    end
    local wiped = source:told(lp.WIPED)
    return wiped > 0 and {'CLOSED', wiped} or nil
  end

  -- The id that would be forgotten first, as a page names it; empty without any.
  local function least_id(source)
    local records = lp.read_page(source, 'id', '', 0)
    return records[1] and records[1][1] or ''
  end

  local function has_forgotten(walk, source)
    return walk and walk[1] == 'id' and walk[6] ~= '' and walk[6] ~= least_id(source)
  end

  -- Where a walk that begins now must be gone on from: what is applied, the end at most.
  local function start_of(source)
    local r = source.record
    local closed, closed_at = source:told(lp.CLOSED)
    local sequence = closed > 0 and math.min(r.ap, closed_at) or r.ap
    if sequence == r.bs then
      return {r.be, sequence, r.bc}
    end
    local entry = lp.stored_entry(source, sequence)
    return entry and {entry[1], sequence, entry[4]}
  end

  -- Copy the next page.
  local function walk_on(on, draft, p, source, room)
    local parent = draft.parents[p + 1]
    local walk = parent.walk
    local part = walk[1]
    local records, more = lp.read_page(source, part, walk[2], room)
    lp.take_page(on, draft, p, part, lp.parse_page(part, records))
    if more == 1 then
      walk[2] = records[#records][1]
    else
      walk[1], walk[2] = NEXT_PART[part], ''
    end
    if walk[1] == '' then
      lp.reach(parent, tonumber(walk[3]), walk[4], walk[5])
    end
  end

  local function begin_walk(on, p, attempt, start, source)
    local parent = lp.begin_parent(on, p, attempt, 'walk')
    parent.walk = {FIRST_PART, '', lp.dec(start[1]), start[2], start[3], least_id(source)}
  end

  -- Apply the entries behind the cursor that are committed where they come from.
  local function follow(on, draft, p, attempt, source, room)
    local r, parent, entries = source.record, draft.parents[p + 1], {}
    if parent.seq < r.bs then
      return {'GAP', parent.seq}
    end
    lp.each_blob(source, parent.seq + 1, r.cm, function(_, blob)
      room = room - #blob - lp.RECORD_COSTS
      if #entries > 0 and room < 0 then
        return false
      end
      entries[#entries + 1] = lp.parse_entry(blob)
      return true
    end)
    for _, entry in ipairs(entries) do
      if lp.closes_otherwise(entry, draft.n) then
        return {'CONFLICT'}
      end
    end
    lp.take_over(on, parent, attempt)
    if #entries > 0 then
      lp.take_entries_of(on, draft, p, parent.seq + 1, entries)
    end
    local more = parent.phase ~= 'final' and parent.seq < r.cm
    local answer = lp.answer_draft(on, draft)
    answer[4] = more and 1 or 0
    return answer
  end

  local function copy_on(call, on, draft, p, arguments)
    local attempt, room = arguments[4], arguments[7]
    local source = lp.on_shard(call, lp.group(call, arguments[5]), arguments[6])
    local refusal = refused_source(source)
    local parent = draft.parents[p + 1]
    if refusal then
      return refusal
    end
    local is_behind = parent.seq < source.record.bs and parent.by ~= attempt
    if parent.phase == 'log' and not is_behind then
      return follow(on, draft, p, attempt, source, room)
    end
    local begins = parent.by ~= attempt or has_forgotten(parent.walk, source)
    local start, closed = begins and start_of(source), source:told(lp.CLOSED)
    if begins and not start then
      return {'GAP', source.record.ap}
    elseif closed ~= 0 and closed ~= draft.n then
      return {'CONFLICT'}
    end
    if begins then
      begin_walk(on, p, attempt, start, source)
    end
    walk_on(on, draft, p, source, room)
    local answer = lp.answer_draft(on, draft)
    answer[4] = 1 - answer[2]
    return answer
  end

  lp.command.draft_local = {
    arguments = {
      check.text, check.positive, check.flag, check.attempt, check.group_name, check.text,
      check.count,
    },
    run = function(call, group, arguments)
      local name, number, p, attempt = unpack(arguments)
      local on, draft, refusal = lp.on_draft(call, group, name, number)
      local parent = draft and draft.parents[p + 1]
      if refusal and refusal[1] == 'OK' then
        refusal[4] = 0
      end
      if not parent then
        return refusal
      elseif lp.is_over(parent, attempt) or (parent.by == attempt and parent.phase == 'pages') then
        return {'STALE', draft.n, parent.by}
      elseif parent.phase == 'final' then
        local answer = lp.answer_draft(on, draft)
        answer[4] = 0
        return answer
      end
      return copy_on(call, on, draft, p, arguments)
    end,
  }

  local REFUSED = {
    'place', 'prepare', 'release', 'handover', 'revoke', 'read', 'scan', 'range', 'history',
    'trim', 'page', 'digest', 'stage', 'unstage', 'adopt', 'draft_read',
  }

  -- An append is not among them: what is decided takes the place of a draft.
  for i = 1, #REFUSED do
    local command = lp.command[REFUSED[i]]
    local run = command.run
    command.run = function(call, group, arguments, version)
      local on = lp.on_shard(call, group, arguments[1])
      if lp.draft(on).n > 0 then
        return on:refused('UNRIPE')
      end
      return run(call, group, arguments, version)
    end
  end
end
