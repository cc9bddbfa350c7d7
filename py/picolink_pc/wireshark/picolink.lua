-- picolink's packets in Wireshark, as docs/protocol.md has them:
--
--     wireshark -X lua_script:picolink.lua air-PicoA.btsnoop
--
-- A characteristic on which a greeting packet has passed is picolink's; captures must hold the handshake.
-- tests/test_wireshark.py compares the numbers with the engine's.

local HELLO, IDENTITY, BYE, KEYED, KIND = 0x01, 0x21, 0x41, 0x61, 0x61
local READY, RENEWED = 0x02, 0x10
local ASK, GAP, OVERRUN, COMMIT = 0x04, 0x08, 0x10, 0x20
local HEADER, CRC = 8, 4
local CRC_RESIDUE = 0x2144DF1C
local GREETING_SIZE, KEYED_SIZE, PROVEN_BYE_SIZE = 20, 44, 28
local MAX_PACKET = 244

local KINDS = { [HELLO] = "HELLO", [IDENTITY] = "IDENTITY", [BYE] = "BYE", [KEYED] = "KEYED" }
local REASONS = {
  "CLOSING", "PROGRAM_FAILED", "PARTNER_KNOWN", "OTHER_VERSION", "KEY_WANTED", "KEY_WRONG", "NONSENSE", "PACKETS_SMALL",
}

local picolink = Proto("picolink", "picolink")
local f = {
  kind = ProtoField.string("picolink.kind", "Kind"),
  flags = ProtoField.uint8("picolink.flags", "Flags", base.HEX),
  version = ProtoField.uint8("picolink.version", "Version"),
  tag = ProtoField.uint8("picolink.tag", "Tag", base.HEX),
  answered_tag = ProtoField.uint8("picolink.answered_tag", "Answered tag", base.HEX),
  session = ProtoField.uint32("picolink.session", "Session", base.HEX),
  answered = ProtoField.uint32("picolink.answered_session", "Answered session", base.HEX),
  ring_bits = ProtoField.uint8("picolink.ring_bits", "Ring bits"),
  features = ProtoField.uint8("picolink.features", "Features", base.HEX),
  expected = ProtoField.uint16("picolink.expected", "Expected"),
  largest = ProtoField.uint8("picolink.largest", "Largest packet"),
  identity = ProtoField.bytes("picolink.identity", "Identity"),
  reason = ProtoField.uint8("picolink.reason", "Reason", base.DEC, REASONS),
  offset = ProtoField.uint16("picolink.offset", "Offset"),
  ack = ProtoField.uint16("picolink.ack", "Ack"),
  credit = ProtoField.uint16("picolink.credit", "Credit"),
  gap = ProtoField.uint16("picolink.gap", "Length of the gap"),
  uncommitted = ProtoField.uint16("picolink.uncommitted", "Not committed"),
  stream = ProtoField.bytes("picolink.stream", "Stream bytes"),
  length = ProtoField.uint16("picolink.stream_length", "Number of stream bytes"),
}
picolink.fields = f

local att_value = Field.new("btatt.value")
local att_handle = Field.new("btatt.handle")

local function crc32(bytes)
  local crc = -1
  for i = 0, bytes:len() - 1 do
    crc = bit.bxor(crc, bytes:get_index(i))
    for _ = 1, 8 do
      local odd = bit.band(crc, 1)
      crc = bit.rshift(crc, 1)
      if odd == 1 then
        crc = bit.bxor(crc, 0xEDB88320)
      end
    end
  end
  return bit.bnot(crc)
end

local function is_greeting(bytes)
  local size = bytes:len()
  if size ~= GREETING_SIZE and size ~= KEYED_SIZE and size ~= PROVEN_BYE_SIZE then
    return false
  end
  return bit.band(bytes:get_index(0), 1) == 1 and crc32(bytes) == bit.tobit(CRC_RESIDUE)
end

local function names(flags, known)
  local set = {}
  for _, each in ipairs(known) do
    if bit.band(flags, each[1]) ~= 0 then
      set[#set + 1] = each[2]
    end
  end
  return #set > 0 and " " .. table.concat(set, " ") or ""
end

local function greeting(packet, tree, flags)
  local kind = bit.band(flags, KIND)
  tree:add(f.version, packet(1, 1))
  tree:add(f.tag, packet(2, 1))
  tree:add(kind == IDENTITY and f.largest or f.answered_tag, packet(3, 1))
  tree:add_le(f.session, packet(4, 4))
  if kind == IDENTITY then
    tree:add(f.identity, packet(8, 8))
    return KINDS[kind]
  end
  tree:add_le(f.answered, packet(8, 4))
  if kind == BYE then
    tree:add(f.reason, packet(12, 1))
    return KINDS[kind] .. " " .. (REASONS[packet(12, 1):uint()] or packet(12, 1):uint())
  end
  tree:add(f.ring_bits, packet(12, 1))
  tree:add(f.features, packet(13, 1))
  tree:add_le(f.expected, packet(14, 2))
  return KINDS[kind] .. names(flags, { { READY, "READY" }, { RENEWED, "RENEWED" } })
end

local function data(packet, tree, flags)
  local size = packet:len() - HEADER - CRC
  tree:add(f.tag, packet(1, 1))
  tree:add_le(f.offset, packet(2, 2))
  tree:add_le(f.ack, packet(4, 2))
  local meaning = bit.band(flags, GAP) ~= 0 and f.gap or bit.band(flags, COMMIT) ~= 0 and f.uncommitted or f.credit
  tree:add_le(meaning, packet(6, 2))
  tree:add(f.length, size):set_generated()
  if size > 0 then
    tree:add(f.stream, packet(HEADER, size))
  end
  local what = names(flags, { { ASK, "ASK" }, { GAP, "GAP" }, { OVERRUN, "OVERRUN" }, { COMMIT, "COMMIT" } })
  return (size > 0 and size .. " bytes at " .. packet(2, 2):le_uint() or "ack") .. what
end

local ours = {} -- ATT handles on which a greeting has passed

function picolink.init()
  ours = {}
end

function picolink.dissector(_, info, root)
  local value, handle = att_value(), att_handle()
  if not value or not handle then
    return
  end
  local packet = value.range
  local bytes = packet:bytes()
  local size = bytes:len()
  if size < HEADER + CRC or size > MAX_PACKET then
    return
  end
  local greets = is_greeting(bytes)
  if greets then
    ours[handle.value] = true
  end
  local flags = bytes:get_index(0)
  if not greets and (not ours[handle.value] or bit.band(flags, 1) == 1) then
    return
  end
  local tree = root:add(picolink, packet)
  tree:add(f.flags, packet(0, 1))
  local said = (greets and greeting or data)(packet, tree, flags)
  tree:add(f.kind, greets and KINDS[bit.band(flags, KIND)] or "data"):set_generated()
  tree:append_text(": " .. said)
  info.cols.protocol = "picolink"
  info.cols.info = said
end

register_postdissector(picolink)
