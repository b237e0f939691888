-- Requests random codes of a list: wrk -s codes.lua URL -- CODES_FILE
local threads = 0

-- Each thread has a random order of its own, which is the same in every run.
function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init(arguments)
    codes = {}
    for code in io.lines(arguments[1]) do codes[#codes + 1] = wrk.format("GET", "/" .. code) end
    math.randomseed(seed)
end

function request()
    return codes[math.random(#codes)]
end
