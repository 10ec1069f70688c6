-- docs/wireshark/holdfast_aead.lua — how are packets opened without a library?
--
-- ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (NIST SP 800-38D), opening only. Plain Lua, because
-- the Wireshark of most systems offers its dissectors no ciphers. Slow, and not in constant time:
-- for looking at captures, not for protecting anything.
local bit = bit or bit32
local bxor, band, lshift, rshift = bit.bxor, bit.band, bit.lshift, bit.rshift
local rol = bit.rol or bit.lrotate
local byte, char, floor = string.byte, string.char, math.floor
local function word32(value) return band(value, 0xffffffff) end

local function le32(text, at)
  local a, b, c, d = byte(text, at, at + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end
local function be32(text, at)
  local a, b, c, d = byte(text, at, at + 3)
  return d + c * 256 + b * 65536 + a * 16777216
end
local function le_bytes(word)
  return char(band(word, 255), band(rshift(word, 8), 255), band(rshift(word, 16), 255), rshift(word, 24))
end
local function be_bytes(word)
  return char(rshift(word, 24), band(rshift(word, 16), 255), band(rshift(word, 8), 255), band(word, 255))
end
local function padded(text, unit) return text .. ("\0"):rep(-#text % unit) end

-- ChaCha20 -----------------------------------------------------------------------------------------

local function quarter(s, a, b, c, d)
  local A, B, C, D = s[a], s[b], s[c], s[d]
  A = word32(A + B); D = rol(bxor(D, A), 16); C = word32(C + D); B = rol(bxor(B, C), 12)
  A = word32(A + B); D = rol(bxor(D, A), 8); C = word32(C + D); B = rol(bxor(B, C), 7)
  s[a], s[b], s[c], s[d] = A, B, C, D
end

-- Sixteen words of key stream.
local function chacha_block(key, counter, nonce)
  local start = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }
  for i = 0, 7 do start[5 + i] = le32(key, 1 + 4 * i) end
  start[13] = counter
  for i = 0, 2 do start[14 + i] = le32(nonce, 1 + 4 * i) end
  local s = {}
  for i = 1, 16 do s[i] = start[i] end
  for _ = 1, 10 do
    quarter(s, 1, 5, 9, 13); quarter(s, 2, 6, 10, 14)
    quarter(s, 3, 7, 11, 15); quarter(s, 4, 8, 12, 16)
    quarter(s, 1, 6, 11, 16); quarter(s, 2, 7, 12, 13)
    quarter(s, 3, 8, 9, 14); quarter(s, 4, 5, 10, 15)
  end
  for i = 1, 16 do s[i] = word32(s[i] + start[i]) end
  return s
end

local function chacha20(key, nonce, text)
  local input, out = padded(text, 64), {}
  for block = 0, #input / 64 - 1 do
    local stream = chacha_block(key, block + 1, nonce)
    for i = 1, 16 do
      out[#out + 1] = le_bytes(bxor(le32(input, block * 64 + i * 4 - 3), stream[i]))
    end
  end
  return table.concat(out):sub(1, #text)
end

-- Poly1305: six limbs of 22 bits, so that every sum of products stays exact in a double. ------------

local LIMB = 2 ^ 22

local function limbs_of(text)
  local limbs, acc, bits = {}, 0, 0
  for i = 1, 17 do
    acc = acc + (byte(text, i) or 0) * 2 ^ bits
    bits = bits + 8
    if bits >= 22 then
      limbs[#limbs + 1] = acc % LIMB
      acc, bits = floor(acc / LIMB), bits - 22
    end
  end
  return limbs
end

-- 2^132 is 20 modulo 2^130 - 5.
local function carry(h)
  for _ = 1, 2 do
    local c = 0
    for i = 1, 6 do
      local sum = h[i] + c
      h[i], c = sum % LIMB, floor(sum / LIMB)
    end
    h[1] = h[1] + 20 * c
  end
end

local function poly1305(key, message)
  local r = {}
  for i = 1, 16 do
    local mask = (i % 4 == 0) and 15 or (i % 4 == 1 and i > 1) and 252 or 255
    r[i] = char(band(byte(key, i), mask))
  end
  r = limbs_of(table.concat(r))
  local h = { 0, 0, 0, 0, 0, 0 }
  for at = 1, #message, 16 do
    local block = limbs_of(message:sub(at, at + 15) .. "\1")
    for i = 1, 6 do h[i] = h[i] + block[i] end
    local product = {}
    for k = 1, 6 do
      local sum = 0
      for i = 1, 6 do
        local j = k - i + 1
        sum = sum + h[i] * (j >= 1 and r[j] or 20 * r[j + 6])
      end
      product[k] = sum
    end
    h = product
    carry(h)
  end
  -- Bits from 2^130 up count as 5 each; then once more if it is not below the prime.
  for _ = 1, 2 do
    local top = floor(h[6] / 2 ^ 20)
    h[6], h[1] = h[6] % 2 ^ 20, h[1] + 5 * top
    carry(h)
  end
  local g = { h[1] + 5, h[2], h[3], h[4], h[5], h[6] }
  carry(g)
  if g[6] >= 2 ^ 20 then
    g[6] = g[6] - 2 ^ 20
    h = g
  end
  local out, acc, bits, limb, over = {}, 0, 0, 1, 0
  for i = 1, 16 do
    if bits < 8 then
      acc, bits, limb = acc + h[limb] * 2 ^ bits, bits + 22, limb + 1
    end
    local sum = acc % 256 + byte(key, 16 + i) + over
    out[i], over = char(sum % 256), floor(sum / 256)
    acc, bits = floor(acc / 256), bits - 8
  end
  return table.concat(out)
end

local function open_chacha(key, nonce, aad, ciphertext, tag)
  local stream, once = chacha_block(key, 0, nonce), {}
  for i = 1, 8 do once[i] = le_bytes(stream[i]) end
  local lengths = le_bytes(#aad) .. "\0\0\0\0" .. le_bytes(#ciphertext) .. "\0\0\0\0"
  local message = padded(aad, 16) .. padded(ciphertext, 16) .. lengths
  if poly1305(table.concat(once), message) ~= tag then return nil end
  return chacha20(key, nonce, ciphertext)
end

-- AES-256 -------------------------------------------------------------------------------------------

local SBOX, MIX = {}, {} -- MIX: the column (2s, s, s, 3s)
do
  local power, log, x = {}, {}, 1
  for i = 0, 254 do
    power[i], log[x] = x, i
    local twice = x * 2
    if twice > 255 then twice = bxor(twice, 0x11b) end
    x = bxor(twice, x) -- times 3, a generator
  end
  for i = 0, 255 do
    local inverse = i < 2 and i or power[(255 - log[i]) % 255]
    local s = inverse
    for shift = 1, 4 do
      s = bxor(s, band(lshift(inverse, shift), 255), rshift(inverse, 8 - shift))
    end
    s = bxor(s, 0x63)
    SBOX[i] = s
    local twice = s * 2
    if twice > 255 then twice = bxor(twice, 0x11b) end
    MIX[i] = word32(twice * 2 ^ 24 + s * 2 ^ 16 + s * 2 ^ 8 + bxor(twice, s))
  end
end

local function sub_word(w)
  return SBOX[rshift(w, 24)] * 2 ^ 24 + SBOX[band(rshift(w, 16), 255)] * 2 ^ 16
    + SBOX[band(rshift(w, 8), 255)] * 2 ^ 8 + SBOX[band(w, 255)]
end

local function expand_key(key)
  local w, round_constant = {}, 1
  for i = 0, 7 do w[i] = be32(key, 1 + 4 * i) end
  for i = 8, 59 do
    local t = w[i - 1]
    if i % 8 == 0 then
      t = bxor(sub_word(rol(t, 8)), round_constant * 2 ^ 24)
      round_constant = round_constant * 2
    elseif i % 8 == 4 then
      t = sub_word(t)
    end
    w[i] = bxor(w[i - 8], t)
  end
  return w
end

local function aes_block(w, a, b, c, d)
  a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
  local function column(p, q, r, s, round_key)
    return bxor(MIX[rshift(p, 24)], rol(MIX[band(rshift(q, 16), 255)], 24),
      rol(MIX[band(rshift(r, 8), 255)], 16), rol(MIX[band(s, 255)], 8), round_key)
  end
  for i = 4, 52, 4 do
    a, b, c, d = column(a, b, c, d, w[i]), column(b, c, d, a, w[i + 1]),
      column(c, d, a, b, w[i + 2]), column(d, a, b, c, w[i + 3])
  end
  local function last(p, q, r, s, round_key)
    return bxor(SBOX[rshift(p, 24)] * 2 ^ 24, SBOX[band(rshift(q, 16), 255)] * 2 ^ 16,
      SBOX[band(rshift(r, 8), 255)] * 2 ^ 8, SBOX[band(s, 255)], round_key)
  end
  return last(a, b, c, d, w[56]), last(b, c, d, a, w[57]), last(c, d, a, b, w[58]), last(d, a, b, c, w[59])
end

-- GCM: GHASH by nibbles ------------------------------------------------------------------------------

local function ghash(h0, h1, h2, h3, message)
  local times, reduced = { [0] = { 0, 0, 0, 0 } }, { [0] = 0 }
  local a, b, c, d, r = h0, h1, h2, h3, 0xe100
  for _, n in ipairs({ 8, 4, 2, 1 }) do
    times[n], reduced[n] = { a, b, c, d }, r
    local out = band(d, 1)
    a, b, c, d = rshift(a, 1), bxor(rshift(b, 1), lshift(a, 31)), bxor(rshift(c, 1), lshift(b, 31)),
      bxor(rshift(d, 1), lshift(c, 31))
    if out == 1 then a = bxor(a, 0xe1000000) end
    r = r / 2
  end
  for n = 1, 15 do
    if not times[n] then
      local sum, remainder = { 0, 0, 0, 0 }, 0
      for _, part in ipairs({ 8, 4, 2, 1 }) do
        if band(n, part) ~= 0 then
          for i = 1, 4 do sum[i] = bxor(sum[i], times[part][i]) end
          remainder = bxor(remainder, reduced[part])
        end
      end
      times[n], reduced[n] = sum, remainder
    end
  end
  local y0, y1, y2, y3 = 0, 0, 0, 0
  for at = 1, #message, 16 do
    local x = { bxor(y0, be32(message, at)), bxor(y1, be32(message, at + 4)),
      bxor(y2, be32(message, at + 8)), bxor(y3, be32(message, at + 12)) }
    y0, y1, y2, y3 = 0, 0, 0, 0
    for i = 4, 1, -1 do
      for shift = 0, 28, 4 do
        local carried = reduced[band(y3, 15)]
        y3 = bxor(rshift(y3, 4), lshift(y2, 28))
        y2 = bxor(rshift(y2, 4), lshift(y1, 28))
        y1 = bxor(rshift(y1, 4), lshift(y0, 28))
        y0 = bxor(rshift(y0, 4), lshift(carried, 16))
        local m = times[band(rshift(x[i], shift), 15)]
        y0, y1, y2, y3 = bxor(y0, m[1]), bxor(y1, m[2]), bxor(y2, m[3]), bxor(y3, m[4])
      end
    end
  end
  return y0, y1, y2, y3
end

local schedules = {} -- by key

local function open_aes_gcm(key, nonce, aad, ciphertext, tag)
  local w = schedules[key] or expand_key(key)
  schedules[key] = w
  local n0, n1, n2 = be32(nonce, 1), be32(nonce, 5), be32(nonce, 9)
  local lengths = "\0\0\0\0" .. be_bytes(#aad * 8) .. "\0\0\0\0" .. be_bytes(#ciphertext * 8)
  local message = padded(aad, 16) .. padded(ciphertext, 16) .. lengths
  local h0, h1, h2, h3 = aes_block(w, 0, 0, 0, 0)
  local g = { ghash(h0, h1, h2, h3, message) }
  local mask = { aes_block(w, n0, n1, n2, 1) }
  for i = 1, 4 do
    if be_bytes(bxor(g[i], mask[i])) ~= tag:sub(4 * i - 3, 4 * i) then return nil end
  end
  local input, out = padded(ciphertext, 16), {}
  for block = 0, #input / 16 - 1 do
    local stream = { aes_block(w, n0, n1, n2, block + 2) }
    for i = 1, 4 do
      out[#out + 1] = be_bytes(bxor(be32(input, block * 16 + i * 4 - 3), stream[i]))
    end
  end
  return table.concat(out):sub(1, #ciphertext)
end

-- By suite: (key 32, nonce 12, aad, ciphertext, tag 16) to the plaintext, or nil when the tag is wrong.
return { ["chacha20-poly1305"] = open_chacha, ["aes-256-gcm"] = open_aes_gcm }
