"""What has to happen in one step on the server, in Lua. A script names one key: no cluster runs more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1

#: What scripts do, by either word that stands for one on the wire: its hash, its text.
_PURPOSES: dict[object, str] = {}


@dataclass(frozen=True)
class Script:
    """`purpose` says what it does, where an error has to tell: "making a group"."""

    purpose: str
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())
        _PURPOSES[self.sha] = _PURPOSES[self.text] = self.purpose


def purpose_of(command: Sequence[object]) -> str:
    """What a command is for: its name, or of a script what that does."""
    scripted = _PURPOSES.get(command[1]) if len(command) > 1 else None
    return scripted or str(command[0])


_FIELDS = """
local function fields(flat)
  local named = {}
  for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
  return named
end
"""

#: ARGV: group. Returns 1 if the group was made.
#:
#: A group at 0 of a stream that was trimmed before counts as having read what was trimmed. Without being
#: told, the server cannot compute its lag (nil) or counts entries that are gone. Servers before 7 do not keep
#: that count.
ENSURE_GROUP = Script(
    "making a consumer group",
    _FIELDS
    + """
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, '^-?BUSYGROUP') then return 0 end
  return made
end
local stream = fields(redis.call('XINFO', 'STREAM', KEYS[1]))
local added = stream['entries-added']
if added then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0', 'ENTRIESREAD', added - stream['length'])
end
return 1
""",
)

#: ARGV: the count that is known. Returns the count with one more; -1, and counts nothing, when it is behind that.
#:
#: A broker that has lost the end of its file stays behind, whoever asks: had it caught up by counting on, a process
#: that dies before it has said what it saw would have destroyed the evidence. What is no number counts as lost too.
TALLY = Script(
    "counting a batch",
    """
local found = redis.pcall('GET', KEYS[1])
local count = 0
if type(found) == 'string' then count = tonumber(found) elseif found then count = nil end
if not count or count < tonumber(ARGV[1]) then return -1 end
return redis.call('INCR', KEYS[1])
""",
)

#: ARGV: entries kept, about; payloads. In one step: of entries sent one by one, a broker that is full for a moment
#: could refuse one and take the next, and what was refused would be appended behind it.
FEED = Script(
    "publishing events",
    """
for i = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end
if tonumber(ARGV[1]) > 0 then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1]) end
return #ARGV - 1
""",
)

#: ARGV: group, ids. Returns how many entries were trimmed.
#:
#: The floor is the lowest id that some group still needs: its lowest pending one, else the one after its last
#: delivered. Trimming at last-delivered would drop what is delivered and not acknowledged; MAXLEN would drop
#: what is not even read; XDEL in the middle would make lag unknown. Ids are compared as text, since Lua's
#: numbers hold 53 bits and ids 64.
ACK = Script(
    "acknowledging",
    _FIELDS
    + """
local function below(a, b)
  local a_time, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_time, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_time ~= b_time then a_seq, b_seq = a_time, b_time end
  if #a_seq ~= #b_seq then return #a_seq < #b_seq end
  return a_seq < b_seq
end

local function following(id)
  local time, seq = string.match(id, '^(%d+)-(%d+)$')
  return time .. '-' .. string.format('%.0f', tonumber(seq) + 1)
end

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))
local floor
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = fields(flat)
  local needed
  if group['pending'] > 0 then
    needed = redis.call('XPENDING', KEYS[1], group['name'], '-', '+', 1)[1][1]
  else
    needed = following(group['last-delivered-id'])
  end
  if not floor or below(needed, floor) then floor = needed end
end
if not floor then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '=', floor)
""",
)

#: ARGV: group, dead consumer, claiming consumer, count. Returns the ids claimed and their entries, in order.
#:
#: XGROUP DELCONSUMER forgets what is pending, so it is called only in the step that saw nothing pending.
#: Redis 6.2 out of memory refuses it, which must not cost the caller what was claimed: the next claim removes.
CLAIM = Script(
    "taking entries over",
    """
local ids, deliveries = {}, {}
for i, entry in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])) do
  ids[i], deliveries[i] = entry[1], entry[4]
end
local entries = {}
if #ids > 0 then
  entries = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, unpack(ids))
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return {ids, deliveries, entries}
""",
)

#: ARGV: group, consumer. Removes the consumer from the group if nothing is pending for it.
LEAVE = Script(
    "leaving a consumer group",
    """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 0
""",
)

#: Returns {length, first id, {{group, lag, pending, oldest pending id, {consumers}}, ...}} as seen at one
#: moment.
#:
#: Where the server cannot tell the lag (before 7, or after somebody's XDEL) it is counted: nothing after the
#: last delivered entry is 0, otherwise the length without the delivered head. The head is short, for it is
#: what the slowest consumers have in hand. Beyond 10,000 entries the count stops, and the lag is given too
#: high, never too low.
STATE = Script(
    "looking at a stream",
    _FIELDS
    + """
local function counted(last, length)
  if #redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1) == 0 then return 0 end
  return length - #redis.call('XRANGE', KEYS[1], '-', last, 'COUNT', 10000)
end

if redis.call('EXISTS', KEYS[1]) == 0 then return {0, false, {}} end
local length = redis.call('XLEN', KEYS[1])
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local groups = {}
for i, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = fields(flat)
  local oldest = redis.call('XPENDING', KEYS[1], group['name'], '-', '+', 1)[1]
  local consumers = {}
  for n, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], group['name'])) do
    consumers[n] = fields(consumer)['name']
  end
  groups[i] = {
    group['name'],
    group['lag'] or counted(group['last-delivered-id'], length),
    group['pending'],
    oldest and oldest[1] or false,
    consumers,
  }
end
return {length, first and first[1] or false, groups}
""",
)
