-- A conversation in a buffer: what was said, and below it room for what is to be said next.

local connection = require("ullage.connection")
local contexts = require("ullage.contexts")
local tell_failure = require("ullage.notices")

local chat = {}

local SHOWN = 100
local SPACE = vim.api.nvim_create_namespace("ullage")
local HEADINGS = { user = "## You", assistant = "## Answer", system = "## System", tool = "## Tool" }
local ENDS = { cancelled = "stopped", length = "cut at its greatest length", toolCalls = "asks for a tool" }
local OLDER = "*Older messages are in* `:Ullage export`."
local STOPS, THINKS = "CTRL-C stops it", "thinking; CTRL-C stops it"
local WAITS = "the last message is not answered yet; sending nothing asks again"
local chats, asked = {}, 0

local function lines_of(text)
  return vim.split(text, "\n", { plain = true })
end

local function count(self)
  return vim.api.nvim_buf_line_count(self.buffer)
end

--- Put lines in place of everything from line `first` on. Windows that were at the end stay there.
local function write(self, first, lines)
  local last = count(self)
  local following = vim.tbl_filter(function(window)
    return vim.api.nvim_win_get_cursor(window)[1] == last
  end, vim.fn.win_findbuf(self.buffer))
  vim.bo[self.buffer].modifiable = true
  vim.api.nvim_buf_set_lines(self.buffer, first, -1, false, lines)
  vim.bo[self.buffer].modifiable, vim.bo[self.buffer].modified = not self.answering, false
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { count(self), #(lines[#lines] or "") })
  end
end

--- Words behind a heading; returns their mark.
local function remark(self, line, text, id)
  local words = text and { { "  " .. text, "Comment" } } or nil
  return vim.api.nvim_buf_set_extmark(self.buffer, SPACE, line, 0, { virt_text = words, id = id })
end

--- Room for what is to be said, from line `first` on.
local function invite(self, first, text, reason)
  self.answering = nil
  write(self, first, vim.list_extend({ HEADINGS.user, "" }, lines_of(text or "")))
  self.room = remark(self, first, reason)
end

local function first_of_room(self)
  return vim.api.nvim_buf_get_extmark_by_id(self.buffer, SPACE, self.room, {})[1]
end

--- What the person has typed so far; before anything was loaded the whole buffer is room.
local function typed(self)
  if self.answering then
    return self.answering.draft or ""
  end
  local lines = vim.api.nvim_buf_get_lines(self.buffer, self.room and first_of_room(self) or 0, -1, false)
  if lines[1] == HEADINGS.user then
    table.remove(lines, 1)
  end
  return vim.trim(table.concat(lines, "\n"))
end

local function joined(question, draft)
  return vim.trim((question or "") .. "\n\n" .. draft)
end

local function block(role, text)
  local lines = vim.list_extend({ HEADINGS[role], "" }, lines_of(text))
  table.insert(lines, "")
  return lines
end

local function text_of(message)
  local text = message.content
  for _, called in ipairs(message.toolCalls or {}) do
    text = ("%s\n`%s(%s)`"):format(text, called.name, called.arguments)
  end
  return vim.trim(text)
end

local function lines_of_page(page)
  local lines = page.hasMore and { OLDER, "" } or {}
  for _, message in ipairs(page.messages) do
    vim.list_extend(lines, block(message.role, text_of(message)))
  end
  return lines
end

--- While an answer is on its way, what is to be asked next waits where what was typed waits.
local function keep(self, question)
  self.answering.draft = joined(self.answering.draft, question or "")
end

--- Room, as it was, where what the server has kept could not be had.
local function invite_again(self, text)
  local first = self.answering and count(self) or self.room and first_of_room(self) or 0
  invite(self, first, text)
end

--- Show what the server has kept, and below it `question`, which may be unsent, and what was typed meanwhile.
--- With `ask` the question is left to that, and so is what was typed.
local function load(self, question, ask)
  local answering = self.answering
  local params = { contextId = self.id, view = "history", limit = SHOWN }
  connection.request("context/messages", params, function(failure, page)
    if not vim.api.nvim_buf_is_loaded(self.buffer) then
      return
    elseif self.answering ~= answering then
      return keep(self, question) -- something was asked since, and its answer goes where it was to go
    end
    tell_failure(failure)
    local draft = typed(self)
    if failure then
      return invite_again(self, joined(question, draft))
    end
    local newest = page.messages[#page.messages]
    local waits = newest ~= nil and (newest.role == "user" or newest.role == "tool")
    if waits and vim.trim(newest.content) == question then
      question = ""
    end
    local lines = lines_of_page(page)
    vim.api.nvim_buf_clear_namespace(self.buffer, SPACE, 0, -1)
    write(self, 0, lines)
    invite(self, #lines, ask and question or joined(question, draft), waits and WAITS or nil)
    if ask then
      ask(self, draft)
    end
  end)
end

local function show_piece(self, answering, value)
  if self.answering ~= answering or not vim.api.nvim_buf_is_loaded(self.buffer) then
    return
  end
  if value.reasoning and answering.text == "" then
    remark(self, answering.heading, THINKS, answering.mark)
  elseif value.delta then
    answering.text = answering.text .. value.delta
    remark(self, answering.heading, STOPS, answering.mark)
    write(self, answering.heading + 2, lines_of(answering.text))
  end
end

local function finish(self, answering, failure, result)
  if self.answering ~= answering or not vim.api.nvim_buf_is_loaded(self.buffer) then
    return
  end
  if failure then
    tell_failure(failure)
    if failure.final then
      invite_again(self, joined(answering.question, typed(self)))
    else
      load(self, answering.question)
    end
  else
    write(self, answering.heading, block("assistant", text_of(result.message)))
    remark(self, answering.heading, ENDS[result.stopReason], answering.mark)
    invite(self, count(self), answering.draft)
  end
  if answering.inserting and vim.api.nvim_get_current_buf() == self.buffer and vim.fn.mode() == "n" then
    vim.cmd("startinsert!")
  end
end

--- Ask the model. `on_piece` gets the parts of the answer as they come, `done` the failure and the result.
function chat.request(id, text, on_piece, done)
  asked = asked + 1
  local token = "ullage-chat-" .. asked
  connection.listeners[token] = on_piece
  local params = { contextId = id, text = text, partialResultToken = token }
  return contexts.request(id, "context/chat", params, function(failure, result)
    connection.listeners[token] = nil
    done(failure, result)
  end)
end

--- Say what was typed; where that is nothing, ask again for an answer that is missing. `draft` is kept for afterwards.
local function send(self, draft)
  if self.answering or not self.room then
    return
  end
  local question, first = typed(self), first_of_room(self)
  local lines = question ~= "" and block("user", question) or {}
  local answering = { text = "", question = question, draft = draft, heading = first + #lines }
  answering.inserting = vim.fn.mode() == "i"
  vim.cmd("stopinsert")
  vim.api.nvim_buf_clear_namespace(self.buffer, SPACE, first, -1)
  self.room, self.answering = nil, answering
  write(self, first, vim.list_extend(lines, { HEADINGS.assistant, "", "" }))
  answering.mark = remark(self, answering.heading, STOPS)
  answering.request = chat.request(self.id, question ~= "" and question or nil, function(value)
    show_piece(self, answering, value)
  end, function(failure, result)
    finish(self, answering, failure, result)
  end)
end

local function stop(self)
  if self.answering then
    connection.cancel(self.answering.request)
  else
    vim.cmd("stopinsert")
  end
end

local function map(self, modes, keys, action)
  vim.keymap.set(modes, keys, function()
    action(self)
  end, { buffer = self.buffer })
end

local function wipe(self)
  if chats[self.id] == self then
    chats[self.id] = nil
  end
  if vim.api.nvim_buf_is_valid(self.buffer) then
    vim.api.nvim_buf_delete(self.buffer, { force = true })
  end
end

--- As the window's title: two folders of one name stay apart by the end of the id.
local function title_of(id)
  local status = contexts.statuses[id]
  local folder = status and vim.fn.fnamemodify(vim.uri_to_fname(status.context.workspaceUri), ":t")
  local name = status and folder .. "/" .. status.context.name .. " " or ""
  return "ullage://" .. name .. id:sub(-6)
end

--- What makes it a chat is lost with `:bdelete`, so nothing is left of it then.
local function wipe_when_unloaded(self)
  vim.api.nvim_create_autocmd("BufUnload", {
    buffer = self.buffer,
    callback = vim.schedule_wrap(function()
      wipe(self)
    end),
  })
end

local function make(id)
  local buffer = vim.api.nvim_create_buf(true, false)
  local self = { id = id, buffer = buffer }
  vim.api.nvim_buf_set_name(buffer, title_of(id))
  vim.b[buffer].ullage_context = id
  vim.bo[buffer].buftype, vim.bo[buffer].bufhidden, vim.bo[buffer].swapfile = "nofile", "hide", false
  vim.bo[buffer].filetype = "markdown"
  map(self, "n", "<CR>", send)
  map(self, { "n", "i" }, "<C-s>", send)
  map(self, { "n", "i" }, "<C-c>", stop)
  wipe_when_unloaded(self)
  chats[id] = self
  return self
end

local function chat_of(id)
  local self = chats[id]
  if self and not vim.api.nvim_buf_is_loaded(self.buffer) then
    wipe(self) -- its name is to be another's
  end
  return chats[id] or make(id)
end

local function show(self)
  local window = vim.fn.win_findbuf(self.buffer)[1]
  if window then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd("botright split")
    vim.api.nvim_win_set_buf(0, self.buffer)
    vim.wo.wrap, vim.wo.linebreak = true, true
  end
  vim.api.nvim_win_set_cursor(0, { count(self), 0 })
end

--- The conversation of the present buffer in a window; a `question` is asked at once.
function chat.open(question)
  contexts.with_here(function(failure, id)
    if failure then
      return tell_failure(failure)
    end
    local self = chat_of(id)
    show(self)
    if self.answering then
      keep(self, question)
    else
      local asks = question ~= nil and question ~= ""
      load(self, question, asks and send or nil)
    end
  end)
end

return chat
