-- What the server tells unasked, as sentences for a person.

local connection = require("ullage.connection")

local function grouped(number)
  local text = tostring(number):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function made_room(detail)
  if detail.origin == "client" then
    return nil -- the person's own command has answered
  end
  local text = "Room was made in the window: %s → %s tokens; %d messages left it and stay in the history. "
    .. ":Ullage undo takes it back."
  return text:format(grouped(detail.originalTokens), grouped(detail.compressedTokens), detail.removed)
end

local sentences = {
  trimmed = made_room,
  compressed = made_room,
  snapshotCreated = function(detail)
    return detail.trigger ~= "manual" and "A snapshot of the window was kept. :Ullage restore lists them." or nil
  end,
  preOverflow = function(detail)
    return ("The window is nearly full: %s / %s tokens."):format(grouped(detail.tokens), grouped(detail.limit))
  end,
  truncatedByServer = function(detail)
    local text = "The model server cut the prompt: %s of %s tokens were read. "
      .. "Load the model there with a larger context."
    return text:format(grouped(detail.evaluated), grouped(detail.sent))
  end,
  recovered = function()
    return "What could be read of a damaged store was brought back."
  end,
}

local LOUD = { preOverflow = true, truncatedByServer = true }

connection.on("context/event", function(event)
  local sentence = sentences[event.kind]
  local text = sentence and sentence(event.detail)
  if text then
    vim.notify("Ullage: " .. text, LOUD[event.kind] and vim.log.levels.WARN or vim.log.levels.INFO)
  end
end)

local function size(bytes)
  return ("%.1f GB"):format(bytes / 2 ^ 30)
end

connection.on("context/lowMemory", function(params)
  local reading = params.reading
  local free = reading.available ~= vim.NIL and size(reading.available) or "little"
  local total = reading.total ~= vim.NIL and " of " .. size(reading.total) or ""
  local text = "Ullage: Memory is short: %s%s is free. :Ullage compress makes the conversation smaller, "
    .. ":Ullage size the window."
  vim.notify(text:format(free, total), vim.log.levels.WARN)
end)

--- Show a failure once.
return function(failure)
  if failure and not failure.told and not connection.is_cancelled(failure) then
    vim.notify("Ullage: " .. failure.message, vim.log.levels.ERROR)
  end
end
