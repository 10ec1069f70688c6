-- docs/wireshark/holdfast.lua — what is in a datagram of the holdfast transport?
--
-- Put this file and holdfast_aead.lua into Wireshark's folder of personal Lua plugins, or load it
-- with -X lua_script:docs/wireshark/holdfast.lua. Datagrams are found by their first packet (magic,
-- length, CRC-32), whatever the port. With the preference "Key log file" (what HOLDFAST_KEYLOG
-- wrote) DATA packets are opened. The bytes are described in protocol/README.md.
package.prepend_path(__DIR__)
local aead = require("holdfast_aead")
local bit = bit or bit32

local HEADER, TAG, KEY, MAGIC = 24, 16, 32, 0x0b
local HELLO, RETRY, ACCEPT, DATA, VERSIONS, RESET, REFUSED = 0, 1, 2, 3, 4, 5, 6
local TYPES = {
  [HELLO] = "HELLO", [RETRY] = "RETRY", [ACCEPT] = "ACCEPT", [DATA] = "DATA",
  [VERSIONS] = "VERSIONS", [RESET] = "RESET", [REFUSED] = "REFUSED",
}
local REASONS = { [1] = "busy", [2] = "bad token", [3] = "wrong version", [4] = "draining",
  [5] = "wrong key" }
local CRC_BAD, CRC_FULL, CRC_HEADER = 0, 1, 2
local NULL_TAG = ("\0"):rep(TAG)
local PACKETS_MAX = 64

local proto = Proto("holdfast", "Holdfast transport")
proto.prefs.keylog = Pref.string("Key log file", "", "Lines HOLDFAST_KEY cid phase suite key salt")

-- Fields --------------------------------------------------------------------------------------------

local fields = {}
local function field(make, name, title, ...)
  fields[name] = make("holdfast." .. name, title, ...)
end
field(ProtoField.uint8, "magic", "Magic", base.HEX)
field(ProtoField.uint8, "version", "Version", base.DEC, nil, 0xe0)
field(ProtoField.uint8, "type", "Type", base.DEC, TYPES, 0x1e)
field(ProtoField.uint8, "key_phase", "Key phase", base.DEC, nil, 0x01)
field(ProtoField.uint16, "length", "Length")
field(ProtoField.bytes, "dcid", "Destination CID", base.NONE)
field(ProtoField.bytes, "scid", "Source CID", base.NONE)
field(ProtoField.uint32, "crc", "CRC-32", base.HEX)
field(ProtoField.uint8, "crc_status", "CRC-32 status", base.DEC,
  { [CRC_BAD] = "bad", [CRC_FULL] = "good", [CRC_HEADER] = "good (covers the header)" })
field(ProtoField.uint64, "packet_number", "Packet number")
field(ProtoField.bytes, "token", "Token", base.NONE)
field(ProtoField.bytes, "noise", "Noise message", base.NONE)
field(ProtoField.bytes, "ephemeral", "Ephemeral key e", base.NONE)
field(ProtoField.bytes, "static", "Static key, encrypted", base.NONE)
field(ProtoField.bytes, "payload", "Payload, encrypted", base.NONE)
field(ProtoField.bytes, "mac1", "mac1", base.NONE)
field(ProtoField.bytes, "tag", "Tag", base.NONE)
field(ProtoField.uint8, "reason", "Reason", base.DEC, REASONS)
field(ProtoField.uint8, "offered", "Version offered")
field(ProtoField.bytes, "random", "Random bytes", base.NONE)
field(ProtoField.bytes, "reset_token", "Stateless reset token", base.NONE)
field(ProtoField.bytes, "ciphertext", "Ciphertext", base.NONE)
field(ProtoField.string, "protection", "Protection")
field(ProtoField.uint8, "frame", "Frame", base.HEX)
field(ProtoField.string, "range", "Acknowledged")
for name, title in pairs({
  stream_id = "Stream", offset = "Offset", data_length = "Length", final_size = "Final size",
  limit = "Limit", direction = "Direction (0 both, 1 one)", code = "Code", frame_type = "Frame type",
  largest = "Largest", delay_us = "ACK delay, µs", ranges = "Ranges", sequence = "Sequence",
  threshold = "Threshold", max_delay = "Longest delay", reorder = "Reordering", retire = "Retire prior to",
  last_stream = "Last peer stream", urgency = "Urgency", incremental = "Incremental",
}) do
  field(ProtoField.uint64, name, title)
end
field(ProtoField.bytes, "data", "Data", base.NONE)
field(ProtoField.bytes, "new_cid", "CID", base.NONE)
field(ProtoField.string, "text", "Reason")
local list = {}
for _, one in pairs(fields) do list[#list + 1] = one end
proto.fields = list

local bad_crc = ProtoExpert.new("holdfast.bad_crc", "CRC-32 is wrong", expert.group.CHECKSUM,
  expert.severity.ERROR)
local bad_frame = ProtoExpert.new("holdfast.bad_frame", "Frame cannot be read", expert.group.MALFORMED,
  expert.severity.ERROR)
local no_key = ProtoExpert.new("holdfast.no_key", "No key of the key log opens it",
  expert.group.DECRYPTION, expert.severity.NOTE)
proto.experts = { bad_crc, bad_frame, no_key }

-- CRC-32 --------------------------------------------------------------------------------------------

local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do
    c = bit.band(c, 1) == 1 and bit.bxor(bit.rshift(c, 1), 0xedb88320) or bit.rshift(c, 1)
  end
  crc_table[i] = c
end

local function crc32(text)
  local c = 0xffffffff
  for i = 1, #text do
    c = bit.bxor(bit.rshift(c, 8), crc_table[bit.band(bit.bxor(c, text:byte(i)), 255)])
  end
  return bit.bxor(c, 0xffffffff) % 2 ^ 32
end

local function crc_status(packet)
  local want = packet(12, 4):le_uint()
  local head = packet:raw(0, 12)
  if crc32(head .. packet:raw(16)) == want then return CRC_FULL end
  local type = bit.band(bit.rshift(packet(1, 1):uint(), 1), 15)
  if type == DATA and crc32(head .. packet:raw(16, 8)) == want then return CRC_HEADER end
  return CRC_BAD
end

-- Key log -------------------------------------------------------------------------------------------

local keys, known, key_path, key_offset, owner = {}, {}, nil, 0, {}

local function unhex(text)
  return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- Reads the lines that came since the last time; the file may still grow.
local function load_keys()
  local path = proto.prefs.keylog
  if path ~= key_path then keys, known, key_path, key_offset, owner = {}, {}, path, 0, {} end
  local file = path ~= "" and io.open(path, "r")
  if not file then return end
  file:seek("set", key_offset)
  for line in file:lines() do
    local cid, phase, suite, key, salt =
      line:match("^HOLDFAST_KEY (%x+) (%d+) (%S+) (%x+) (%x+)%s*$")
    local is_key = cid and #cid == 16 and #key == 64 and #salt == 8 and aead[suite]
    if is_key and not known[line] then -- both ends may write to one file
      known[line] = true
      local one = { cid = cid:lower(), bit = tonumber(phase) % 2, open = aead[suite] }
      one.key, one.salt = unhex(key), unhex(salt)
      table.insert(keys, 1, one)
    end
  end
  key_offset = file:seek("end")
  file:close()
end

-- Those of the packet's CID, newest first; then all others: a connection goes on with a new CID and
-- its old keys. The tag decides.
local function try_keys(cid, phase, open)
  local own = owner[cid] or cid
  for _, isOwn in ipairs({ true, false }) do
    for _, one in ipairs(keys) do
      if one.bit == phase and (one.cid == own) == isOwn then
        local plain = open(one)
        if plain then
          owner[cid] = one.cid
          return plain
        end
      end
    end
  end
end

local function decrypt(packet, cid, phase)
  local length = packet:len()
  local inner = length - HEADER - TAG
  local aad = packet:raw(0, 2) .. packet:raw(4, 8) .. "\0" .. string.char(math.floor(inner / 256), inner % 256)
  local function open(one)
    local ciphertext = inner > 0 and packet:raw(HEADER, inner) or ""
    return one.open(one.key, one.salt .. packet:raw(16, 8), aad, ciphertext, packet:raw(length - TAG))
  end
  local plain = try_keys(cid, phase, open)
  if plain then return plain end
  local before = #keys
  load_keys()
  return #keys ~= before and try_keys(cid, phase, open) or nil
end

-- Frames --------------------------------------------------------------------------------------------

-- Name, then field and form of each part. v is a variable-length integer; bytes and text are as long
-- as the number before them.
local STREAM = { { "stream_id", 4 }, { "offset", 6 }, { "data_length", 2 }, { "data", "rest" } }
local FRAMES = {
  [0x00] = { "PADDING" }, [0x01] = { "PING" }, [0x02] = { "ACK" },
  [0x03] = { "ACK_FREQUENCY", { "sequence", "v" }, { "threshold", "v" }, { "max_delay", "v" }, { "reorder", "v" } },
  [0x04] = { "IMMEDIATE_ACK" },
  [0x08] = { "STREAM", table.unpack(STREAM) }, [0x09] = { "STREAM+FIN", table.unpack(STREAM) },
  [0x0a] = { "RESET_STREAM", { "stream_id", 4 }, { "code", "v" }, { "final_size", 6 } },
  [0x0b] = { "STOP_SENDING", { "stream_id", 4 }, { "code", "v" } },
  [0x10] = { "MAX_DATA", { "limit", 6 } },
  [0x11] = { "MAX_STREAM_DATA", { "stream_id", 4 }, { "limit", 6 } },
  [0x12] = { "MAX_STREAMS", { "direction", 1 }, { "limit", 4 } },
  [0x13] = { "DATA_BLOCKED", { "limit", 6 } },
  [0x14] = { "STREAM_DATA_BLOCKED", { "stream_id", 4 }, { "limit", 6 } },
  [0x15] = { "STREAMS_BLOCKED", { "direction", 1 }, { "limit", 4 } },
  [0x18] = { "PATH_CHALLENGE", { "data", 8 } }, [0x19] = { "PATH_RESPONSE", { "data", 8 } },
  [0x1a] = { "NEW_CID", { "sequence", "v" }, { "retire", "v" }, { "new_cid", 8 }, { "reset_token", 16 } },
  [0x1b] = { "RETIRE_CID", { "sequence", "v" } },
  [0x1c] = { "CLOSE", { "code", "v" }, { "frame_type", "v" }, { "data_length", 2 }, { "text", "rest" } },
  [0x1d] = { "CLOSE (application)", { "code", "v" }, { "data_length", 2 }, { "text", "rest" } },
  [0x1e] = { "HANDSHAKE_DONE" },
  [0x20] = { "DATAGRAM", { "data_length", 2 }, { "data", "rest" } },
  [0x21] = { "DRAIN", { "last_stream", 4 } },
  [0x22] = { "STREAM_PRIORITY", { "stream_id", 4 }, { "urgency", 1 }, { "incremental", 1 } },
}

-- Value and size of a variable-length integer; nil: the form is not allowed.
local function varint(bytes, at)
  local size = ({ [0] = 1, 2, 4 })[bit.rshift(bytes(at, 1):uint(), 6)]
  return size and bytes(at, size):uint() % 2 ^ (8 * size - 2), size
end

-- Adds one number and returns it with the place behind it.
local function add_number(tree, name, bytes, at, form)
  local value, size
  if form == "v" then
    value, size = varint(bytes, at)
    if not size then error("a variable-length integer with prefix 11") end
  else
    size = form
    value = size == 6 and bytes(at, 6):le_uint64():tonumber() or bytes(at, size):le_uint()
  end
  tree:add(fields[name], bytes(at, size), UInt64.new(value % 2 ^ 32, math.floor(value / 2 ^ 32)))
  return value, at + size
end

local function add_ack(tree, bytes, at)
  local high, count, step, size, _
  high, at = add_number(tree, "largest", bytes, at, 6)
  _, at = add_number(tree, "delay_us", bytes, at, 4)
  count, at = add_number(tree, "ranges", bytes, at, 1)
  local parts = {}
  for index = 1, count do
    local from = at
    if index > 1 then
      step, size = varint(bytes, at)
      high, at = high - step - 2, at + size
    end
    step, size = varint(bytes, at)
    at = at + size
    local text = ("%.0f-%.0f"):format(high - step, high)
    tree:add(fields.range, bytes(from, at - from), text)
    parts[index], high = text, high - step
  end
  return at, " " .. table.concat(parts, " ")
end

local function add_parts(tree, bytes, at, frame)
  local summary, seen = "", {}
  for index = 2, #frame do
    local name, form = frame[index][1], frame[index][2]
    local is_number = form == "v" or form ~= "rest" and form <= 6
    if is_number then
      seen[name], at = add_number(tree, name, bytes, at, form)
    else
      local size = form == "rest" and seen.data_length or form
      if size > 0 then tree:add(fields[name], bytes(at, size)) end
      at = at + size
    end
  end
  if seen.stream_id then summary = (" %d"):format(seen.stream_id) end
  if seen.offset then summary = summary .. (" %.0f+%d"):format(seen.offset, seen.data_length) end
  if seen.code then summary = summary .. (" code %d"):format(seen.code) end
  if seen.limit then summary = summary .. (" %.0f"):format(seen.limit) end
  return at, summary
end

-- Returns the names of the frames for the list of packets.
local function add_frames(tree, bytes)
  local at, names = 0, {}
  while at < bytes:len() do
    local start, type = at, bytes(at, 1):uint()
    local frame = FRAMES[type]
    local branch = tree:add(fields.frame, bytes(at, 1))
    at = at + 1
    if type == 0 then
      while at < bytes:len() and bytes(at, 1):uint() == 0 do at = at + 1 end
    end
    local ok, next_at, summary = pcall(function()
      if not frame then error("no such frame type") end
      if type == 2 then return add_ack(branch, bytes, at) end
      return add_parts(branch, bytes, at, frame)
    end)
    if not ok then
      branch:append_text(" (cannot be read)")
      branch:add_proto_expert_info(bad_frame)
      names[#names + 1] = "?"
      break
    end
    at = next_at
    branch:set_len(at - start)
    branch:set_text(frame[1] .. summary)
    names[#names + 1] = frame[1] .. summary
  end
  return table.concat(names, ", ")
end

-- Packets -------------------------------------------------------------------------------------------

local function add_data(tree, packet, cid, phase)
  local inner = packet:len() - HEADER - TAG
  local tag = packet(packet:len() - TAG, TAG)
  local is_null = tag:raw() == NULL_TAG
  local plain = nil
  if not is_null then plain = decrypt(packet, cid, phase) end
  local how = is_null and "none (null tag)" or plain and "opened, the tag is right" or "closed: no key"
  tree:add(fields.protection, tag, how):set_generated()
  local info = ""
  if is_null and inner > 0 then
    info = add_frames(tree, packet(HEADER, inner):tvb())
  elseif inner > 0 then
    local item = tree:add(fields.ciphertext, packet(HEADER, inner))
    if plain then info = add_frames(tree, ByteArray.new(plain, true):tvb("Opened frames"))
    else item:add_proto_expert_info(no_key) end
  end
  tree:add(fields.tag, tag)
  return info
end

-- Returns the place behind the message.
local function add_noise(tree, packet, at, static)
  local length = packet(at, 2):le_uint()
  local branch = tree:add(fields.noise, packet(at + 2, length))
  branch:add(fields.ephemeral, packet(at + 2, KEY))
  if static > 0 then branch:add(fields.static, packet(at + 2 + KEY, static)) end
  branch:add(fields.payload, packet(at + 2 + KEY + static, length - KEY - static))
  return at + 2 + length
end

local BODIES = {
  [HELLO] = function(tree, packet)
    local token = packet(32, 1):uint()
    if token > 0 then tree:add(fields.token, packet(33, token)) end
    add_noise(tree, packet, 33 + token, KEY + TAG)
    tree:add(fields.mac1, packet(packet:len() - TAG, TAG))
  end,
  [RETRY] = function(tree, packet)
    tree:add(fields.token, packet(33, packet(32, 1):uint()))
    tree:add(fields.tag, packet(packet:len() - TAG, TAG))
  end,
  [ACCEPT] = function(tree, packet) add_noise(tree, packet, 32, 0) end,
  [VERSIONS] = function(tree, packet)
    for at = 33, 32 + packet(32, 1):uint() do tree:add(fields.offered, packet(at, 1)) end
  end,
  [REFUSED] = function(tree, packet)
    tree:add(fields.reason, packet(32, 1))
    tree:add(fields.tag, packet(packet:len() - TAG, TAG))
    return REASONS[packet(32, 1):uint()]
  end,
}

local function add_packet(root, packet)
  local tree = root:add(proto, packet(), "Holdfast")
  local type = bit.band(bit.rshift(packet(1, 1):uint(), 1), 15)
  local phase = bit.band(packet(1, 1):uint(), 1)
  local number = packet(16, 8):uint64()
  tree:add(fields.magic, packet(0, 1))
  for _, name in ipairs({ "version", "type", "key_phase" }) do tree:add(fields[name], packet(1, 1)) end
  tree:add_le(fields.length, packet(2, 2))
  tree:add(fields.dcid, packet(4, 8))
  tree:add_le(fields.crc, packet(12, 4))
  local status = crc_status(packet)
  local item = tree:add(fields.crc_status, packet(12, 4), status):set_generated()
  if status == CRC_BAD then item:add_proto_expert_info(bad_crc) end
  tree:add(fields.packet_number, packet(16, 8))
  local info, detail = TYPES[type] or ("type " .. type), nil
  if status == CRC_BAD then
    info = info .. " (bad CRC)"
  elseif type == DATA then
    info = info .. " " .. tostring(number)
    detail = add_data(tree, packet, packet(4, 8):bytes():tohex(true), phase)
  elseif type == RESET then
    tree:add(fields.random, packet(HEADER, packet:len() - HEADER - TAG))
    tree:add(fields.reset_token, packet(packet:len() - TAG, TAG))
  elseif BODIES[type] then
    tree:add(fields.scid, packet(24, 8))
    local ok, words = pcall(BODIES[type], tree, packet)
    if ok then detail = words else tree:add_proto_expert_info(bad_frame) end
  end
  if detail and detail ~= "" then info = info .. ": " .. detail end
  tree:append_text(", " .. info)
  return info, status ~= CRC_BAD
end

-- The packet that begins there, cut out; nil when there is none.
local function packet_at(buffer, at)
  local rest = buffer:len() - at
  if rest < HEADER + TAG or buffer(at, 1):uint() ~= MAGIC then return nil end
  local length = buffer(at + 2, 2):le_uint()
  if length < HEADER + TAG or length > rest then return nil end
  return buffer(at, length):tvb()
end

function proto.dissector(buffer, pinfo, root)
  pinfo.cols.protocol = "Holdfast"
  local at, stride, infos = 0, 0, {}
  for _ = 1, PACKETS_MAX do
    if at >= buffer:len() then break end
    local packet = packet_at(buffer, at)
    local good, step = false, stride
    if packet then
      infos[#infos + 1], good = add_packet(root, packet)
      if good and stride == 0 then stride = packet:len() end
      step = (good or stride == 0) and packet:len() or stride
    end
    if step == 0 then break end
    at = at + step
  end
  pinfo.cols.info = #infos > 0 and table.concat(infos, " | ") or "no packet"
  return buffer:len()
end

function proto.init() keys, key_path = {}, nil end
function proto.prefs_changed() keys, key_path = {}, nil end

local function is_ours(buffer, pinfo, root)
  local packet = packet_at(buffer, 0)
  if not packet or crc_status(packet) == CRC_BAD then return false end
  pinfo.conversation = proto -- what comes with a bad CRC later is shown as well
  proto.dissector(buffer, pinfo, root)
  return true
end

proto:register_heuristic("udp", is_ours)
DissectorTable.get("udp.port"):add_for_decode_as(proto)
