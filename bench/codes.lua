-- Requests random codes of a list: wrk -s codes.lua URL -- CODES_FILE
-- A line is a code, and behind tabs the header fields of its request.
local threads = 0

-- Each thread has a random order of its own, which is the same in every run.
function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init(arguments)
    codes = {}
    for line in io.lines(arguments[1]) do
        local code, fields = line:match("^([^\t]*)(.*)$")
        local headers = {}
        for name, value in fields:gmatch("\t([^:\t]*): ([^\t]*)") do headers[name] = value end
        codes[#codes + 1] = wrk.format("GET", "/" .. code, headers)
    end
    math.randomseed(seed)
end

function request()
    return codes[math.random(#codes)]
end
