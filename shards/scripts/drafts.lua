-- Drafts: what a shard begins with, brought from those that end.
--
-- Why it is right: a draft has no authority, and no other command sees a shard in it. What comes is
-- applied state, and behind it committed entries in order, each up to the closing entry and no
-- further. When that of every parent is applied, the shard is made, in the same command: its log
-- begins where the last of them ended, above all that they promised. So whoever was granted the
-- shard by a majority, of which one is ripe, begins with all that was acknowledged.

do
  local check = lp.check
  local SLOTS = 16777216
  local PARENTS_MAX = 2

  function check.parents(value)
    if not check.listed(value) or #value < 1 or #value > PARENTS_MAX then
      return nil
    end
    for _, slots in ipairs(value) do
      local is_right = type(slots) == 'table' and #slots == 2 and check.count(slots[1])
        and check.count(slots[2]) and slots[1] < slots[2] and slots[2] <= SLOTS
      if not is_right then
        return nil
      end
    end
    return value
  end

  -- The shard and its draft of that resharding; or no draft, and the answer that ends the command.
  function lp.on_draft(call, group, name, number)
    local on = lp.on_shard(call, group, name)
    if not on.is_new then
      return on, nil, on:told(lp.BORN) == number and {'OK', 1, {}} or {'EXISTS'}
    end
    local draft = lp.draft(on)
    if draft.n == number then
      return on, draft
    end
    local known = math.max(draft.n, draft.und)
    return on, nil, number <= known and {'STALE', known, ''} or {'UNKNOWN'}
  end

  -- The greatest of these fields of the parents.
  local function greatest(draft, field)
    local found = 0
    for _, parent in ipairs(draft.parents) do
      found = math.max(found, tonumber(parent[field]))
    end
    return found
  end

  local function ripen(on, draft)
    local epoch, last = greatest(draft, 'epoch'), greatest(draft, 'seq')
    local chain = draft.parents[1].chain
    if #draft.parents > 1 then
      chain = lp.crc32(lp.dec(chain) .. ' ' .. lp.dec(draft.parents[2].chain))
    end
    lp.write(on.call)
    local data = lp.data(lp.data_keys(on), draft.bytes)
    data:put('', lp.BORN, lp.dec(draft.n), last)
    data:flush()
    lp.end_draft(on)
    on:set({
      te = epoch, ts = last, tc = chain, be = epoch, bs = last, bc = chain, cm = last, ap = last,
      bytes = data.bytes, pe = epoch, ver = on.group.version,
    })
    on:moved()
  end

  -- How far the draft is; it becomes a shard if it is ripe.
  function lp.answer_draft(on, draft)
    local shown, final = {}, 0
    for i, parent in ipairs(draft.parents) do
      shown[i] = {parent.by, parent.phase, parent.epoch, parent.seq, parent.chain}
      final = final + (parent.phase == 'final' and 1 or 0)
    end
    if final == #draft.parents then
      ripen(on, draft)
      return {'OK', 1, {}}
    end
    return {'OK', 0, shown}
  end

  -- Whether a greater attempt has come, or this one was ended by the other parent.
  function lp.is_over(parent, attempt)
    if parent.by == attempt then
      return parent.phase == ''
    end
    return parent.by ~= '' and lp.is_later_attempt(parent.by, attempt)
  end

  -- Put the records of a page into the draft.
  function lp.take_page(on, draft, p, part, parsed)
    local data = lp.draft_data(on, p)
    lp.touch_draft(on)
    for _, record in ipairs(parsed) do
      data:take_record(part, record[1], record[2])
    end
    data:flush()
    draft.bytes = data.bytes
  end

  -- Apply entries from `first` on, up to the one that closes.
  function lp.take_entries_of(on, draft, p, first, entries)
    local data = lp.draft_data(on, p)
    lp.touch_draft(on)
    for i, entry in ipairs(entries) do
      data:apply(first + i - 1, entry)
      lp.reach(data.parent, entry[1], first + i - 1, entry[4])
      if data.parent.phase == 'final' then
        break
      end
    end
    data:flush()
    draft.bytes = data.bytes
  end

  local function has_parents(draft, parents)
    for i, parent in ipairs(draft.parents) do
      local slots = parents[i] or {}
      if parent.first ~= slots[1] or parent.last ~= slots[2] then
        return false
      end
    end
    return #draft.parents == #parents
  end

  lp.command.draft = {
    arguments = {check.text, check.positive, check.parents},
    run = function(call, group, arguments)
      local name, number, parents = unpack(arguments)
      local on, draft, refusal = lp.on_draft(call, group, name, number)
      if draft and not has_parents(draft, parents) then
        return {'CONFLICT'}
      elseif refusal and refusal[1] ~= 'UNKNOWN' then
        return refusal
      end
      return lp.answer_draft(on, draft or lp.make_draft(on, number, parents))
    end,
  }

  -- Whether a page shows that the parent was closed by another resharding, or has nothing left.
  local function shows_another_end(part, parsed, number)
    for _, record in ipairs(part == 'kv' and parsed or {}) do
      local name = record[1]
      local key = name:sub(name:find('\0', 1, true) + 1)
      local other = key == lp.CLOSED and tonumber(record[2][2]) ~= number
      if key == lp.WIPED or other then
        return true
      end
    end
    return false
  end

  local function stale(draft, parent)
    return {'STALE', draft.n, parent.by}
  end

  lp.command.draft_page = {
    arguments = {
      check.text, check.positive, check.flag, check.attempt, check.any_text, check.listed,
    },
    run = function(call, group, arguments)
      local name, number, p, attempt, part, pairs_of = unpack(arguments)
      local parsed = lp.parse_page(part, pairs_of)
      if not parsed then
        return nil
      end
      local on, draft, refusal = lp.on_draft(call, group, name, number)
      local parent = draft and draft.parents[p + 1]
      if not parent then
        return refusal
      elseif lp.is_over(parent, attempt) or (parent.by == attempt and parent.phase ~= 'pages') then
        return stale(draft, parent)
      elseif parent.phase == 'final' then
        return {'EXISTS'}
      elseif shows_another_end(part, parsed, number) then
        return {'CONFLICT'}
      end
      if parent.by ~= attempt then
        lp.begin_parent(on, p, attempt, 'pages')
      end
      if #parsed > 0 then
        lp.take_page(on, draft, p, part, parsed)
      end
      return lp.answer_draft(on, draft)
    end,
  }

  lp.command.draft_data = {
    arguments = {
      check.text, check.positive, check.flag, check.attempt, check.epoch_or_none, check.count,
      check.count,
    },
    run = function(call, group, arguments)
      local name, number, p, attempt, epoch, sequence, chain = unpack(arguments)
      local on, draft, refusal = lp.on_draft(call, group, name, number)
      local parent = draft and draft.parents[p + 1]
      if not parent then
        return refusal
      elseif parent.by ~= attempt or parent.phase == '' or parent.phase == 'walk' then
        return stale(draft, parent)
      elseif parent.phase == 'pages' then
        if parent.closing > 0 and sequence > parent.closing then
          return {'CONFLICT'}
        end
        lp.touch_draft(on)
        lp.reach(parent, epoch, sequence, chain)
      end
      return lp.answer_draft(on, draft)
    end,
  }

  -- The entries behind the cursor; nil if they are of another log, or end it otherwise.
  local function entries_behind(parent, before, before_chain, entries, number)
    local at_cursor = parent.seq - before
    local found = at_cursor == 0 and before_chain or (entries[at_cursor] or {})[4]
    if found and found ~= parent.chain then
      return nil
    end
    local new = {}
    for i = at_cursor + 1, #entries do
      if lp.closes_otherwise(entries[i], number) then
        return nil
      end
      new[#new + 1] = entries[i]
    end
    return new
  end

  -- Let an attempt go on where the cursor is.
  function lp.take_over(on, parent, attempt)
    if parent.by ~= attempt then
      lp.touch_draft(on)
      parent.by = attempt
    end
  end

  lp.command.draft_log = {
    arguments = {
      check.text, check.positive, check.flag, check.attempt, check.count, check.count,
      check.listed,
    },
    run = function(call, group, arguments)
      local name, number, p, attempt, before, before_chain, blobs = unpack(arguments)
      local entries = lp.parse_entries(blobs)
      if not entries then
        return nil
      end
      local on, draft, refusal = lp.on_draft(call, group, name, number)
      local parent = draft and draft.parents[p + 1]
      if not parent then
        return refusal
      elseif lp.is_over(parent, attempt) then
        return stale(draft, parent)
      elseif parent.phase == 'final' then
        return lp.answer_draft(on, draft)
      elseif parent.phase ~= 'log' then
        return stale(draft, parent)
      elseif before > parent.seq then
        return {'GAP', parent.seq}
      end
      local new = entries_behind(parent, before, before_chain, entries, number)
      if not new then
        return {'CONFLICT'}
      end
      lp.take_over(on, parent, attempt)
      if #new > 0 then
        lp.take_entries_of(on, draft, p, parent.seq + 1, new)
      end
      return lp.answer_draft(on, draft)
    end,
  }

  lp.command.draft_state = {
    arguments = {check.text, check.positive}, only_reads = true,
    run = function(call, group, arguments)
      local on, draft, refusal = lp.on_draft(call, group, arguments[1], arguments[2])
      return refusal or lp.answer_draft(on, draft)
    end,
  }

  lp.command.undraft = {
    arguments = {check.text, check.positive},
    run = function(call, group, arguments)
      local on = lp.on_shard(call, group, arguments[1])
      if not on.is_new then
        return {'EXISTS'}
      elseif lp.draft(on).n > arguments[2] then
        return {'STALE', lp.draft(on).n, ''}
      end
      lp.undraft(on, arguments[2])
      return {'OK'}
    end,
  }

  -- A page, unless what is left of the shard would be taken for all there is.
  lp.command.draft_read = {
    arguments = lp.command.page.arguments, only_reads = true, works_sealed = true,
    run = function(call, group, arguments)
      local on = lp.on_shard(call, group, arguments[1])
      local wiped = on:told(lp.WIPED)
      if wiped > 0 then
        return on:refused('CLOSED', wiped)
      end
      return lp.command.page.run(call, group, arguments)
    end,
  }
end
