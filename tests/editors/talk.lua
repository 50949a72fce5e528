-- A question, its answer piece by piece, and what the status line shows afterwards.

local harness = dofile(vim.json.decode(vim.env.ORDER).scripts .. "/harness.lua")

harness.main(function(ullage)
  local failure, result = harness.await("the answer", function(done)
    ullage.ask(harness.order.question, function(piece)
      harness.report("piece", piece)
    end, done)
  end)
  harness.report("answer", failure and failure.message or result.message.content)
  harness.wait("the status", function()
    return (vim.g.ullage_status or ""):find(tostring(result.usage.tokens), 1, true) ~= nil
  end)
  harness.report("status", vim.g.ullage_status)
end)
