-- Tell that the server is there, and stay until a file is; then leave as a person does.

local harness = dofile(vim.json.decode(vim.env.ORDER).scripts .. "/harness.lua")

harness.main(function()
  harness.report("ready")
  harness.wait("the end", function()
    return vim.loop.fs_stat(harness.order.until_there) ~= nil
  end)
end)
