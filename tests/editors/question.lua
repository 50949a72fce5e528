-- A person who chooses an answer when the server asks, through Neovim's own dialogue.

local harness = dofile(vim.json.decode(vim.env.ORDER).scripts .. "/harness.lua")
local asked

local function chosen(question, titles)
  asked = { question = question, answers = titles }
  for number, title in ipairs(titles) do
    if title == harness.order.answer then
      return number
    end
  end
  return 0
end

-- The dialogue of Neovim until 0.10, whose first two lines are the question.
rawset(vim.fn, "inputlist", function(lines)
  return chosen(
    lines[1],
    vim.tbl_map(function(line)
      return (line:gsub("^%d+%. ", ""))
    end, vim.list_slice(lines, 3))
  )
end)

-- That of Neovim from 0.11 on.
vim.ui.select = function(actions, options, choose)
  local titles = vim.tbl_map(function(action)
    return action.title
  end, actions)
  choose(actions[chosen(options.prompt, titles)])
end

local events = {}
vim.lsp.handlers["context/event"] = function(_, event)
  table.insert(events, event.kind)
end

harness.main(function(ullage)
  harness.report("ready")
  harness.wait("the question", function()
    return asked ~= nil
  end)
  harness.report("asked", asked)
  harness.wait("what was asked for", function()
    return vim.tbl_contains(events, harness.order.event)
  end)
  local _, status = harness.await("the status", function(done)
    ullage.request("context/status", vim.empty_dict(), done)
  end)
  harness.report("messages", status.usage.messages)
end)
